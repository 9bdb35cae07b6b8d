"""An unfinished training: whose it is, said beside its progress, so that another one is refused before any work."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from csflow.runtime import schema
from csflow.runtime.atomic import alone_in, write_atomic
from csflow.runtime.errors import BundleError, ConfigError, SinkError
from csflow.runtime.machine.names import shown

__all__ = ["Unfinished", "require_fingerprint"]

SETTINGS = "settings.json"
SHOWN = 4
LONG = 40
"""Characters beyond which a value, a hash or a picture, tells nobody anything."""


@dataclass(frozen=True)
class Unfinished:
    """The folder of progress, and the training that it shall be of."""

    folder: Path
    fingerprint: str
    """As `Workplace.fingerprint`; every file of progress has it among its metadata."""
    settings: Mapping[str, Any]
    """What the fingerprint is made of, in the words of options; hashes of what has no words."""

    def require_same(self) -> None:
        """Raise ConfigError where the folder holds progress of another training, or damaged progress."""
        for file in sorted(self.folder.glob("*.safetensors")):
            try:
                with safe_open(file, framework="pt") as opened:
                    metadata = opened.metadata() or {}
            except (SafetensorError, OSError):
                raise ConfigError(f"{file} is damaged, or cannot be read: start over with --fresh") from None
            require_fingerprint(file, metadata, self.fingerprint, self._differences())

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the place of the work. Raises BundleError where another training has it, SinkError where it cannot be.

        Two would write features and checkpoint over each other's.
        """
        work = self.folder.parent
        refusal = BundleError(f"another training works in {work}: wait for it, or name another bundle")
        with ExitStack() as held:
            try:
                held.enter_context(alone_in(work, refusal))
            except OSError as error:
                raise _unwritable(work, error) from None
            yield

    def begin(self) -> None:
        """Write down whose progress the folder will hold; raises SinkError where it cannot be written."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomic(self.folder / SETTINGS, schema.dump_json(dict(self.settings)))
        except OSError as error:
            raise _unwritable(self.folder, error) from None

    def _differences(self) -> str:
        """What was another setting, in words; empty where nobody wrote it down."""
        try:
            before = dict(_leaves(schema.parse_json((self.folder / SETTINGS).read_bytes())))
        except (OSError, schema.SchemaError):
            return ""
        now = dict(_leaves(schema.parse_json(schema.dump_json(dict(self.settings)))))
        names = [name for name in {**now, **before} if before.get(name) != now.get(name)]
        told = [_told(name, before.get(name), now.get(name)) for name in names[:SHOWN]]
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        return f"{', '.join(told)}{more}" if told else ""


def _unwritable(folder: Path, error: OSError) -> SinkError:
    why = error.strerror or error
    return SinkError(f"cannot write {folder} ({why}): free the disk or name another bundle")


def require_fingerprint(file: Path, metadata: Mapping[str, str], fingerprint: str, differences: str = "") -> None:
    """Raise ConfigError where the metadata of this file of progress are of another training.

    Args:
        differences: what its settings were, in words.
    """
    if metadata.get("fingerprint") != fingerprint:
        told = f" ({differences})" if differences else ""
        raise ConfigError(
            f"{file} is an unfinished training with other images or settings{told}: "
            "repeat its options to resume it, or discard it with --fresh"
        )


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if not isinstance(value, dict):
        yield name, value
        return
    for key, inner in value.items():
        yield from _leaves(inner, f"{name}.{key}" if name else str(key))


def _told(name: str, before: Any, now: Any) -> str:
    words = _word(before), _word(now)
    return f"{name} differ" if max(map(len, words)) > LONG else f"{name} was {words[0]} and is {words[1]}"


def _word(value: Any) -> str:
    return "none" if value is None else shown(str(value))
