"""The grammar of genicam:NAME?feature=value&option=value, and of pylon: alike.

genicam:                                       the only camera there is
genicam:40012345?ExposureTime=5000&Gain=6      by serial number, name given to it, model or id; features in this order
genicam:40012345?UserSetSelector=Line3&UserSetLoad=     a command is a feature without a value
genicam:?cti=/opt/maker/lib/maker.cti&strict=0&buffers=4     options of csflow are in small letters
genicam:?missed=CounterValue&stamp=begin       what counts missed triggers; what the camera's stamp means
genicam:?load=line3.pfs&Gain=7                 features of a file, a name and a value a line, before the others
pylon:40012345?Gain=6                          the same through Basler's own library; without cti
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

from csflow.runtime.errors import ConfigError
from csflow.runtime.options import Option, read_options, switch_option

__all__ = ["Wish"]

STAMPS = ("begin", "end")
_FEATURE = re.compile(r"[A-Z][A-Za-z0-9_]{0,99}")


def _buffers(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 64:
        raise ValueError(text)
    return value


def _path(text: str) -> str:
    if not text:
        raise ValueError(text)
    return text


def _feature(text: str) -> str:
    if not _FEATURE.fullmatch(text):
        raise ValueError(text)
    return text


def _stamp(text: str) -> str:
    if text not in STAMPS:
        raise ValueError(text)
    return text


_OPTIONS: dict[str, Option] = {
    "load": (_path, "line3.pfs"),
    "cti": (_path, "/opt/maker/lib/maker.cti"),
    "strict": (switch_option, "0 or 1"),
    "buffers": (_buffers, "1 to 64"),
    "missed": (_feature, "CounterValue"),
    "stamp": (_stamp, "begin or end"),
}


@dataclass(frozen=True)
class Wish:
    """Which camera, and how it is to be set."""

    name: str
    """Serial number, name given by the user, model or id; empty for the only camera there is."""
    features: tuple[tuple[str, str], ...] = ()
    """Name and text of each feature, in the order in which they are set; a name may come again."""
    cti: str = ""
    """The GenTL producer; empty for all that GENICAM_GENTL64_PATH names."""
    strict: bool = True
    """Whether a value that reads back differently is an error, or only told."""
    buffers: int = 4
    """Pictures that the producer may fill while nobody takes them."""
    missed: str = ""
    """The feature that counts missed triggers; empty where none does."""
    stamp: str = "end"
    """What the camera's stamp of a picture means: 'begin' of the exposure, whose time is added to it, or its 'end'."""

    library: str = "genicam"
    """What opens the camera: 'genicam', a GenTL producer, or 'pylon'."""

    @property
    def trigger(self) -> str:
        """What the camera waits for before it exposes: Software, Line1, ...; empty where it runs freely."""
        last = dict(self.features)
        return last.get("TriggerSource", "its own setting") if last.get("TriggerMode") == "On" else ""

    @classmethod
    def parse(cls, uri: str) -> Wish:
        """Raises ConfigError."""
        library, _, rest = uri.partition(":")
        name, _, query = rest.partition("?")
        pairs = parse_qsl(query, keep_blank_values=True)
        features = tuple((key, text) for key, text in pairs if _FEATURE.fullmatch(key))
        others = "&".join(part for part in query.split("&") if not _FEATURE.fullmatch(unquote(part.partition("=")[0])))
        options: dict[str, Any] = read_options(uri, others, _OPTIONS)
        if any(not text.isprintable() for pair in features for text in pair):
            raise ConfigError(f"{uri!r}: a feature's value holds characters that cannot be printed")
        if path := options.pop("load", ""):
            features = (*_features_in(Path(path)), *features)
        if library == "pylon" and "cti" in options:
            raise ConfigError(
                f"{uri!r}: cti names a GenTL producer, and pylon: needs none: leave it out, or say genicam:"
            )
        return cls(unquote(name), features, **options, library=library)


def _features_in(path: Path) -> tuple[tuple[str, str], ...]:
    """What a file lists, in its order, as Pylon's and other makers' programs save it. Raises ConfigError."""
    try:
        lines = path.read_bytes().decode("utf-8-sig").splitlines()
    except OSError as error:
        raise ConfigError(f"cannot read the features in {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is no text: expected a feature and its value a line") from None
    found = []
    for number, line in enumerate(lines, start=1):
        words = line.strip().split(None, 1)
        if not words or words[0].startswith(("#", "//")):
            continue
        if len(words) < 2 or not _FEATURE.fullmatch(words[0]):
            raise ConfigError(f"{path}, line {number}: {line[:80]!r} is no feature with a value, such as 'Gain 6'")
        found.append((words[0], words[1]))
    if not found:
        raise ConfigError(f"{path} lists no feature: expected one and its value a line, such as 'Gain 6'")
    return tuple(found)
