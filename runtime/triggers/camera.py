"""--trigger camera: the camera's own input exposes, and every picture is one part.

camera                                        a rising edge of Line1
camera:Line3?edge=falling&delay_us=250        another input, another edge, and how long after it the exposure begins
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlencode

from csflow.runtime.errors import ConfigError
from csflow.runtime.options import Option, read_options
from csflow.runtime.source import source_kind

__all__ = ["camera_uri", "is_camera_trigger"]

EDGES = {"rising": "RisingEdge", "falling": "FallingEdge", "any": "AnyEdge"}
_LINE = re.compile(r"[A-Z][A-Za-z0-9]{0,30}")


def _edge(text: str) -> str:
    if text not in EDGES:
        raise ValueError(text)
    return EDGES[text]


def _delay(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 10_000_000:
        raise ValueError(text)
    return value


_OPTIONS: dict[str, Option] = {"edge": (_edge, " or ".join(EDGES)), "delay_us": (_delay, "250")}


def is_camera_trigger(text: str | None) -> bool:
    """Whether --trigger asks for the camera's own input."""
    return text is not None and re.fullmatch(r"camera(:.*)?", text) is not None


def camera_uri(text: str, uri: str) -> str:
    """A camera's URI with what makes its input expose (SFNC, Acquisition Control), before its other features.

    Args:
        text: as the module docstring has it.
        uri: genicam:NAME or pylon:NAME with features, none of them of the trigger.

    Raises ConfigError: another kind of camera, a feature of the trigger in its URI, or no input or option.
    """
    line, _, query = text.partition(":")[2].partition("?")
    if source_kind(uri) not in ("genicam", "pylon"):
        raise ConfigError(f"--trigger camera sets a camera's own input, which genicam: and pylon: can, not {uri!r}")
    name, _, features = uri.partition("?")
    if "Trigger" in features:
        raise ConfigError(f"{uri!r} sets a trigger of its own: leave it out, or leave out --trigger {text}")
    if line and not _LINE.fullmatch(line):
        raise ConfigError(f"{text!r}: expected an input as the camera calls it, for example camera:Line1?edge=rising")
    options: dict[str, Any] = read_options(text, query, _OPTIONS)
    wanted = {
        "TriggerSelector": "FrameStart",
        "TriggerMode": "On",
        "TriggerSource": line or "Line1",
        "TriggerActivation": options.get("edge", EDGES["rising"]),
        **({"TriggerDelay": f"{options['delay_us']:g}"} if "delay_us" in options else {}),
    }
    return f"{name}?{urlencode(wanted)}" + (f"&{features}" if features else "")
