"""Settings of a V4L2 camera: asked for in the URI, set, and read back; and the name by which it stays the same camera.

A driver may take a value, round it, or ignore it in silence; only what is read back counts.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from csflow.runtime.errors import SourceError
from csflow.runtime.options import Option, read_options, size_option, switch_option

__all__ = ["BY_ID", "CameraSettings", "apply_settings", "bound_uri", "split_uri"]

BY_ID = Path("/dev/v4l/by-id")
MANUAL_EXPOSURE = 1.0
"""V4L2_EXPOSURE_MANUAL; under automatic exposure a driver ignores the exposure time."""
TOLERANCE = 0.02
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class CameraSettings:
    """What a camera's URI asks for; None leaves a setting as the camera has it."""

    format: str | None = None
    """FOURCC such as MJPG or YUYV."""
    size: tuple[int, int] | None = None
    """Width and height in pixels."""
    fps: float | None = None
    buffers: int | None = None
    """Frames that the driver holds; the fewer, the fresher the newest one."""
    exposure: float | None = None
    """Exposure time in the driver's unit, 100 µs for V4L2; switches the automatic off."""
    gain: float | None = None
    white_balance: float | None = None
    """Colour temperature in kelvin; switches the automatic off."""
    focus: float | None = None
    """In the driver's unit; switches the automatic off."""
    strict: bool = True
    """Whether a value that reads back differently is an error, or only told."""


class _Capture(Protocol):
    def get(self, key: int) -> float: ...

    def set(self, key: int, value: float) -> bool: ...


def split_uri(uri: str) -> tuple[str, CameraSettings]:
    """The device and the settings in '0?size=1280x720&exposure=100'. Raises ConfigError."""
    device, _, query = uri.partition("?")
    return device, replace(CameraSettings(), **read_options(uri, query, _OPTIONS))


def bound_uri(uri: str, by_id: Path = BY_ID) -> str:
    """`uri` with the camera's name under /dev/v4l/by-id in place of its index, where it has one.

    An index goes to the next camera when cables are changed; this name stays with the device.
    """
    device, question, query = uri.partition("?")
    path = f"/dev/video{device}" if device.isdecimal() else device
    if not path.startswith("/dev/video"):
        return uri
    names = sorted(by_id.glob("*")) if by_id.is_dir() else []
    same = (str(name) for name in names if os.path.realpath(name) == os.path.realpath(path))
    return next(same, device) + question + query


def apply_settings(cv2: Any, capture: _Capture, settings: CameraSettings, name: str) -> None:
    """Set what is asked for, in the order drivers need, and read all of it back.

    Raises SourceError naming every setting that reads back differently; where `strict` is off, logs it as a warning.
    """
    wanted = _wanted(cv2, settings)
    for key, value, _ in wanted:
        capture.set(key, value)
    wrong = [
        f"{word} is {_shown(got, word)} instead of {_shown(value, word)}" for word, value, got in _read(capture, wanted)
    ]
    if not wrong:
        return
    message = f"{name} does not take its settings: {', '.join(wrong)}"
    if settings.strict:
        raise SourceError(f"{message}; ask for values it has ('v4l2-ctl --list-formats-ext'), or add strict=0")
    _LOG.warning("%s", message)


def _wanted(cv2: Any, settings: CameraSettings) -> Sequence[tuple[int, float, str]]:
    width, height = settings.size or (None, None)
    # Format before size before rate: each limits the next. Automatics off before the values they would override.
    rows = [
        (cv2.CAP_PROP_FOURCC, None if settings.format is None else _fourcc(settings.format), "format"),
        (cv2.CAP_PROP_FRAME_WIDTH, width, "width"),
        (cv2.CAP_PROP_FRAME_HEIGHT, height, "height"),
        (cv2.CAP_PROP_FPS, settings.fps, "fps"),
        (cv2.CAP_PROP_BUFFERSIZE, settings.buffers, "buffers"),
        (cv2.CAP_PROP_AUTO_EXPOSURE, None if settings.exposure is None else MANUAL_EXPOSURE, "automatic exposure"),
        (cv2.CAP_PROP_EXPOSURE, settings.exposure, "exposure"),
        (cv2.CAP_PROP_GAIN, settings.gain, "gain"),
        (cv2.CAP_PROP_AUTO_WB, None if settings.white_balance is None else 0.0, "automatic white balance"),
        (cv2.CAP_PROP_WB_TEMPERATURE, settings.white_balance, "white_balance"),
        (cv2.CAP_PROP_AUTOFOCUS, None if settings.focus is None else 0.0, "automatic focus"),
        (cv2.CAP_PROP_FOCUS, settings.focus, "focus"),
    ]
    return [(key, float(value), word) for key, value, word in rows if value is not None]


def _read(capture: _Capture, wanted: Sequence[tuple[int, float, str]]) -> list[tuple[str, float, float]]:
    got = [(word, value, float(capture.get(key))) for key, value, word in wanted]
    return [
        (w, v, g) for w, v, g in got if not math.isclose(v, g, rel_tol=TOLERANCE if w == "fps" else 0, abs_tol=1e-6)
    ]


def _shown(value: float, word: str) -> str:
    return _fourcc_text(value) if word == "format" else f"{value:g}"


def _fourcc(text: str) -> int:
    return sum(ord(c) << 8 * i for i, c in enumerate(text))


def _fourcc_text(value: float) -> str:
    code = int(value) if math.isfinite(value) and value >= 0 else 0
    text = "".join(chr(code >> 8 * i & 0xFF) for i in range(4))
    return text if text.isprintable() and text.isascii() else f"{code:#x}"


def _format(text: str) -> str:
    if len(text) != 4 or not (text.isascii() and text.isprintable()):
        raise ValueError(text)
    return text


def _above_zero(text: str) -> float:
    value = float(text)
    if not 0 < value < math.inf:
        raise ValueError(text)
    return value


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _buffers(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 10:  # what OpenCV takes
        raise ValueError(text)
    return value


_OPTIONS: dict[str, Option] = {
    "format": (_format, "MJPG"),
    "size": (size_option, "1280x720"),
    "fps": (_above_zero, "30"),
    "buffers": (_buffers, "1 to 10"),
    "exposure": (_above_zero, "100"),
    "gain": (_finite, "0"),
    "white_balance": (_above_zero, "4600"),
    "focus": (_finite, "30"),
    "strict": (switch_option, "0 or 1"),
}
