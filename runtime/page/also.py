"""Other runs on this page: asked once a second while somebody watches, read only, each at its own fixed address.

Nothing of a request reaches them but the number of a part and one of three words, so that this is no way to anywhere
else. What they answer is bounded in size and time, and only what the page knows is passed on.
"""

from __future__ import annotations

import dataclasses
import http.client
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

from csflow.runtime.errors import ConfigError
from csflow.runtime.page.pictures import LISTED
from csflow.runtime.schema import SchemaError, from_mapping, parse_json

__all__ = ["OtherRun", "OtherRuns"]

PERIOD_S = 1.0
TIMEOUT_S = 2.0
GONE_S = 4.0
WATCHED_S = 3.0
MOST_RUNS = 15
MOST_CAMERAS = 16
MOST_BYTES = 1 << 20
PICTURE_BYTES = 4 << 20
PICTURES_AT_ONCE = 4
NO_ANSWER = (OSError, http.client.HTTPException, UnicodeError)
"""What a question may end with; the last is a host's name that no resolver is asked for, such as one too long."""
KINDS = ("raw", "overlay", "thumbnail")

T = TypeVar("T")


@dataclass(frozen=True)
class _Camera:
    name: str
    state: str
    age_s: float | None
    results: int
    errors: int
    reason: str


@dataclass(frozen=True)
class _Part:
    number: int
    camera: str
    verdict: str
    ratio: float | None
    source: str
    part: str
    trigger: str
    fault: str
    reason: str
    unix_s: float
    latency_ms: float
    picture: bool
    verified: bool
    age_s: float = 0.0


@dataclass(frozen=True)
class _Output:
    name: str
    written: int
    lost: int
    waiting: int
    error: str


@dataclass(frozen=True)
class _State:
    run: str
    distrust: str
    unsigned: bool
    triggered: bool

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[0-9a-f]{1,16}", self.run):
            raise ValueError("run is not one of csflow's")


@dataclass(frozen=True)
class _Answer:
    state: _State
    cameras: list[_Camera]
    shown: list[_Part]
    rejects: list[_Part]
    outputs: list[_Output]

    @classmethod
    def parse(cls, data: bytes) -> _Answer:
        """Raises SchemaError for what is no state of a run."""
        mapping = parse_json(data)
        if not isinstance(mapping, dict):
            raise SchemaError("expected an object")
        return cls(
            _known(_State, mapping),
            _several(_Camera, mapping.get("cameras"), MOST_CAMERAS),
            _several(_Part, mapping.get("shown"), MOST_CAMERAS),
            _several(_Part, mapping.get("rejects"), LISTED),
            _several(_Output, mapping.get("outputs"), MOST_CAMERAS),
        )


class OtherRun:
    """One other run, asked in a thread of its own."""

    def __init__(self, text: str, token: str | None) -> None:
        """Begin to ask.

        Args:
            text: NAME=http://HOST:PORT, or the address alone.
            token: what its page asks for; None where it asks for none.

        Raises ConfigError for anything else.
        """
        name, _, url = text.rpartition("=")
        self._where = _checked(url)
        self.name = name or self._where.netloc
        self._headers = {"User-Agent": "csflow", **({"Authorization": f"Bearer {token}"} if token else {})}
        self._answer: _Answer | None = None
        self._rejects: deque[tuple[int, _Part]] = deque(maxlen=LISTED)
        self._heard = 0
        self._last_number = 0
        self._answered_s: float | None = None
        self._why = ""
        self._watched_s = -WATCHED_S
        self._lock = threading.Lock()
        self._busy = threading.Semaphore(PICTURES_AT_ONCE)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="csflow-page-also", daemon=True)
        self._thread.start()

    def watch(self, since: int) -> tuple[int, dict[str, Any]]:
        """What is known of it as JSON, with the parts that were not OK and heard of after `since`; and up to where."""
        with self._lock:
            now_s = time.monotonic()
            self._watched_s = now_s
            silent = self._answered_s is not None and now_s - self._answered_s > GONE_S
            gone = self._why if self._answered_s is None or silent else ""
            rejects = [dataclasses.asdict(part) for heard, part in reversed(self._rejects) if heard > since]
            return self._heard, {"name": self.name, "gone": gone, "rejects": rejects, **_shown(self._answer)}

    def picture(self, number: int, kind: str) -> bytes:
        """JPEG of one of its parts; empty where it gives none."""
        if kind not in KINDS or not self._busy.acquire(blocking=False):
            return b""
        try:
            jpeg = self._get(f"/part/{number}/{kind}.jpg", PICTURE_BYTES)
        except NO_ANSWER:
            return b""
        finally:
            self._busy.release()
        return jpeg if jpeg.startswith(b"\xff\xd8") else b""

    def close(self) -> None:
        """Ask no more; an answer that is awaited is left to its thread."""
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.wait(PERIOD_S):
            with self._lock:
                watched = time.monotonic() - self._watched_s < WATCHED_S
            if watched:
                self.ask()

    def ask(self) -> None:
        """Ask once."""
        try:
            answer = _Answer.parse(self._get(f"/state?since={self._last_number}", MOST_BYTES))
        except NO_ANSWER as error:
            self._fails(getattr(error, "strerror", None) or str(error) or "no answer")
        except SchemaError as error:
            self._fails(f"its answer is not csflow's: {error}")
        else:
            self._take(answer)

    def _fails(self, why: str) -> None:
        with self._lock:
            self._why = why

    def _take(self, answer: _Answer) -> None:
        with self._lock:
            if self._answer is not None and answer.state.run != self._answer.state.run:
                self._rejects.clear()
                self._last_number = 0
            self._answer, self._answered_s, self._why = answer, time.monotonic(), ""
            for part in sorted(answer.rejects, key=lambda part: part.number):
                if part.number > self._last_number:
                    self._heard += 1
                    self._last_number = part.number
                    self._rejects.append((self._heard, part))

    def _get(self, path: str, most: int) -> bytes:
        """The body of an answer 200. Raises OSError, or HTTPException."""
        secure = self._where.scheme == "https"
        connect: Callable[..., http.client.HTTPConnection] = (
            http.client.HTTPSConnection if secure else http.client.HTTPConnection
        )
        until_s = time.monotonic() + TIMEOUT_S
        connection = connect(self._where.hostname, self._where.port, timeout=TIMEOUT_S)
        try:
            connection.request("GET", path, headers=self._headers)
            answer = connection.getresponse()
            if answer.status != http.client.OK:
                raise OSError(0, f"it answered {answer.status} {answer.reason}")
            body = b""
            while piece := answer.read1(1 << 16):
                body += piece
                if len(body) > most or time.monotonic() > until_s:
                    raise OSError(0, "its answer is too long")
            return body
        finally:
            connection.close()


class OtherRuns:
    """All other runs on a page."""

    def __init__(self, texts: Sequence[str], token: str | None) -> None:
        """Begin to ask. Raises ConfigError for an address that is none, a name that is given twice, or too many."""
        names = [text.rpartition("=")[0] or text for text in texts]
        if len(texts) > MOST_RUNS or len(set(names)) < len(names):
            raise ConfigError(f"a page shows at most {MOST_RUNS} other runs, each under a name of its own")
        for text in texts:
            _checked(text.rpartition("=")[2])
        self._runs = [OtherRun(text, token) for text in texts]

    def __len__(self) -> int:
        return len(self._runs)

    def watch(self, since: Sequence[int]) -> tuple[tuple[int, ...], list[dict[str, Any]]]:
        """Of each run what `OtherRun.watch` gives."""
        both = [run.watch(after) for run, after in zip(self._runs, since, strict=True)]
        return tuple(heard for heard, _ in both), [shown for _, shown in both]

    def picture(self, index: int, number: int, kind: str) -> bytes:
        """JPEG of a part of run `index`; empty where there is none."""
        return self._runs[index].picture(number, kind) if index < len(self._runs) else b""

    def close(self) -> None:
        """Ask no more."""
        for run in self._runs:
            run.close()


def _checked(url: str) -> Any:
    try:
        where = urlsplit(url)
        port = where.port
    except ValueError:
        where, port = urlsplit(""), None
    plain = where.path in ("", "/") and not (where.query or where.fragment or "@" in where.netloc)
    if where.scheme not in ("http", "https") or not where.hostname or not plain or port == 0:
        raise ConfigError(
            "--also takes NAME=http://HOST:PORT, the address of another run's --serve; "
            "its token goes into CSFLOW_ALSO_TOKEN"
        )
    return where


def _shown(answer: _Answer | None) -> dict[str, Any]:
    if answer is None:
        return {**dataclasses.asdict(_State("0", "", False, False)), "cameras": [], "shown": [], "outputs": []}
    lists = {
        name: [dataclasses.asdict(one) for one in getattr(answer, name)] for name in ("cameras", "shown", "outputs")
    }
    return {**dataclasses.asdict(answer.state), **lists}


def _known(cls: type[T], mapping: Mapping[str, Any]) -> T:
    """A newer csflow may say more: what this one does not know is left out. Raises SchemaError."""
    names = {field.name for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    return from_mapping(cls, {name: value for name, value in mapping.items() if name in names})


def _several(cls: type[T], values: object, most: int) -> list[T]:
    if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
        raise SchemaError(f"expected an array of objects for {cls.__name__}")
    return [_known(cls, value) for value in values[:most]]
