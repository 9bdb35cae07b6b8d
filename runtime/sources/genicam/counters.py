"""What a camera and its producer count beside pictures: missed triggers, packets asked for again, buffers without room.

The camera's counter is a feature that the user names, for standard names there are only for what a counter counts
(SFNC, Counter and Timer Control). Of the producer's stream these are the number of buffers that it had no room for
(GenTL 1.6, STREAM_INFO_NUM_UNDERRUN) and, by their makers' names, statistics of resends. What is not counted is absent.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from csflow.runtime.errors import ConfigError

__all__ = ["Counters"]

EVERY_S = 1.0
"""How often the producer's statistics are read; the camera's counter with each picture."""
RESENDS = (re.compile("Resend.*Request.*Count"), re.compile("Resend.*Count"), re.compile("Resend"))
"""Names of statistics, the preferred first."""


class Counters:
    """Counts since it was made."""

    def __init__(
        self, nodes: Any, streams: Sequence[Any], missed: str = "", now_s: Callable[[], float] = time.monotonic
    ) -> None:
        """Find what there is.

        Args:
            nodes: the camera's node map.
            streams: the data streams, each with `node_map` and `num_underrun` as harvesters has them.
            missed: the feature that counts missed triggers; empty for none.

        Raises ConfigError where the camera has no such number.
        """
        self._now_s, self._due_s = now_s, -EVERY_S
        self._sources: dict[str, Callable[[], int | None]] = {}
        if missed:
            self._sources["missed_triggers"] = partial(_whole, nodes, missed)
            if self._sources["missed_triggers"]() is None:
                raise ConfigError(f"the camera has no number {missed!r} that could count missed triggers")
        self._slow: dict[str, Callable[[], int | None]] = {}
        for stream in streams[:1]:
            self._slow["underruns"] = partial(_told, stream, "num_underrun")
            if (name := _resends(stream)) is not None:
                self._slow["resends"] = partial(_whole, stream.node_map, name)
        self._base = dict(self._values({**self._sources, **self._slow}))
        self._last: dict[str, int] = {}
        self._warned = 0

    def read(self) -> dict[str, int]:
        """Numbers by name: `missed_triggers`, `underruns`, `resends`."""
        if self._now_s() - self._due_s >= EVERY_S:
            self._due_s = self._now_s()
            self._last = self._since(self._slow)
        return {**self._since(self._sources), **self._last}

    def warning(self) -> str | None:
        """What to say of resends, when there are some and whenever they have doubled since."""
        count = self._last.get("resends", 0)
        if count == 0 or count < 2 * self._warned:
            return None
        self._warned = count
        return f"{count} packets were asked for again so far: check network card, switch and MTU ('csflow cameras')"

    def _since(self, sources: dict[str, Callable[[], int | None]]) -> dict[str, int]:
        found = dict(self._values(sources))
        # One that was set anew, or came round, begins at 0; what appears later did not count before.
        self._base.update({name: 0 for name, value in found.items() if value < self._base.get(name, value + 1)})
        return {name: value - self._base[name] for name, value in found.items()}

    def _values(self, sources: dict[str, Callable[[], int | None]]) -> Iterator[tuple[str, int]]:
        return ((name, value) for name, source in sources.items() if (value := source()) is not None)


def _resends(stream: Any) -> str | None:
    try:
        names = [name for name in dir(stream.node_map) if _whole(stream.node_map, name) is not None]
    except Exception:  # noqa: BLE001 - the binding's errors have no common base that is public
        return None
    return next((name for pattern in RESENDS for name in names if pattern.search(name)), None)


def _whole(nodes: Any, name: str) -> int | None:
    try:
        return _number(nodes.get_node(name).value)
    except Exception:  # noqa: BLE001 - as above
        return None


def _told(thing: Any, word: str) -> int | None:
    try:
        return _number(getattr(thing, word))
    except Exception:  # noqa: BLE001 - as above
        return None


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
