"""Cameras, video files and network streams through OpenCV."""

from __future__ import annotations

import glob
import importlib
import math
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from csflow.runtime.errors import ConfigError, DataError, EndOfStream, FrameError, SourceError, SourceLost
from csflow.runtime.faults import FaultWord
from csflow.runtime.picture.jpeg import decode_jpeg
from csflow.runtime.picture.origin import OPENCV, PILLOW
from csflow.runtime.sources.containers import shortfall
from csflow.runtime.sources.v4l2 import apply_settings, split_uri
from csflow.runtime.types import Frame

__all__ = ["OpenCVSource", "open_camera", "open_network", "open_video", "redact"]

CLOSE_TIMEOUT_S = 1.0
JPEG_CODES = (b"MJPG", b"JPEG")
"""FOURCC of streams whose every frame is a JPEG."""
BAD_FRAME_PAUSE_S = 0.01
"""A driver that fails at once, again and again, must not take the processor from the detector."""


class OpenCVSource:
    """Frames of a `cv2.VideoCapture`, which knows no wait: a read ends when the device or driver gives up."""

    def __init__(
        self,
        capture: Any,
        name: str,
        live: bool = True,
        encoded: bool = False,
        quarters: int = 0,
        missing: Callable[[], str] = lambda: "",
    ) -> None:
        """Take over an opened capture.

        Args:
            capture: the `cv2.VideoCapture`.
            name: shown to people, without credentials.
            live: a camera; else a file, every frame of which is taken.
            encoded: the capture gives JPEG as it came, which is decoded here, strictly.
            quarters: turns by 90 degrees, counter-clockwise, that bring the picture upright.
            missing: what a file lacks at its end, in words; asked when no more frames come.
        """
        self.name = name
        self.live = live
        self.decoder = PILLOW if encoded else OPENCV
        """What makes the pixels (`csflow.runtime.picture.origin`)."""
        self._capture = capture
        self._encoded = encoded
        self._quarters = quarters
        self._missing = missing
        self._next = 0
        self._closed = False
        self._lock = threading.Lock()

    def read(self, timeout_s: float) -> Frame | None:  # noqa: ARG002 - the device's own time limit holds
        """The next frame; blocks until the device gives up (the `timeout_s` of `open_source`).

        A frame that is empty, no 8-bit colour picture or, from a camera, not decodable is a FrameError with
        its index; so is a JPEG that was cut off or damaged, with the fault 'truncated'.
        """
        delivered, image, problem = self._grab()
        captured_ns = time.monotonic_ns()
        if not delivered:
            raise self._end(problem)
        index, self._next = self._next, self._next + 1
        source = self.name if self.live else f"{self.name}#{index}"
        cut = ""
        if self._encoded and not problem:
            image, cut = _decoded(image)
        if problem or cut:
            time.sleep(BAD_FRAME_PAUSE_S if self.live else 0.0)
            fault: FaultWord = "truncated" if cut else "frame"
            raise FrameError(f"{self.name} delivered {problem or cut}", index, source, fault)
        image = image if self._encoded else image[:, :, ::-1]
        return Frame(np.ascontiguousarray(np.rot90(image, self._quarters)), index, captured_ns, source)

    def _grab(self) -> tuple[bool, Any, str]:
        """Whether the stream goes on, what came, and what is wrong with it."""
        import cv2

        with self._lock:
            if self._closed:
                raise EndOfStream
            try:
                delivered, image = self._capture.read()
            except cv2.error as error:
                # A file need not have moved on, and would fail here for ever.
                return self.live, None, f"a frame that OpenCV cannot decode ({_one_line(error)})"
        if not delivered or self._encoded:
            return delivered, image, ""
        # OpenCV has reported success with an empty or stale buffer (opencv#10927, #14044).
        odd = not _is_picture(image)
        return True, image, f"{_shown(image)} instead of an 8-bit colour picture: check its format" if odd else ""

    def _end(self, problem: str) -> Exception:
        if self._next == 0 and not problem:
            return SourceError(f"{self.name} was opened but delivers no frame: is another program using it?")
        if self.live:
            return SourceLost(f"{self.name} stopped after {self._next} frames: check cable, power and network")
        if missing := problem or self._missing():
            return SourceError(
                f"{self.name} is damaged or was cut off, its pictures end after {self._next} frames ({missing}): "
                "copy it again"
            )
        return EndOfStream()

    def close(self) -> None:
        """Release the device. While a read hangs in the driver, the device stays with that read."""
        self._closed = True
        if self._lock.acquire(timeout=CLOSE_TIMEOUT_S):
            try:
                self._capture.release()
            finally:
                self._lock.release()

    def __enter__(self) -> OpenCVSource:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def open_camera(uri: str, timeout_s: float) -> OpenCVSource:
    """A V4L2 camera by index or by device path, with settings after a question mark (`CameraSettings`).

    Raises:
        ConfigError: an option that there is not.
        SourceError: there is no such camera (the message names those there are), or it does not take the settings.
    """
    device, settings = split_uri(uri)
    path = f"/dev/video{device}" if device.isdecimal() else device
    if not os.path.exists(path):
        raise SourceError(f"there is no camera {path}; {_present()}")
    if not os.access(path, os.R_OK | os.W_OK):
        raise SourceError(f"no permission to use {path}: add this user to the group 'video' and log in again")
    cv2 = _cv2(timeout_s)
    capture = _opened(lambda: cv2.VideoCapture(path, cv2.CAP_V4L2), f"{path} is no camera, or in use; {_present()}")
    try:
        apply_settings(cv2, capture, settings, path)
        encoded = _undecoded(cv2, capture, cv2.CAP_PROP_CONVERT_RGB, 0)
    except BaseException:
        capture.release()
        raise
    return OpenCVSource(capture, path, encoded=encoded)


def open_network(uri: str, timeout_s: float) -> OpenCVSource:
    """An rtsp:// or http:// stream; credentials in `uri` are used but never shown. Raises SourceError."""
    name = redact(uri)
    cv2 = _cv2(timeout_s)
    limit_ms = math.ceil(timeout_s * 1000)
    limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, limit_ms, cv2.CAP_PROP_READ_TIMEOUT_MSEC, limit_ms]
    problem = f"{name} does not answer with a stream within {timeout_s:g} s: check address, credentials and network"
    capture = _opened(lambda: cv2.VideoCapture(uri, cv2.CAP_FFMPEG, limits), problem)
    # What announces its frames is a file on a server.
    live = not capture.get(cv2.CAP_PROP_FRAME_COUNT) >= 1
    return OpenCVSource(capture, name, live, *_packets(cv2, capture))


def open_video(uri: str, timeout_s: float) -> OpenCVSource:
    """A video file, every frame, upright as its rotation says. Raises SourceError when it cannot be decoded.

    It ends where its frames end. When it holds fewer bytes than its container says, that end is a SourceError.
    """
    cv2 = _cv2(timeout_s)
    problem = f"{uri} is no video that OpenCV can decode, nor a picture: check the file"
    capture = _opened(lambda: cv2.VideoCapture(uri), problem)
    return OpenCVSource(capture, uri, False, *_packets(cv2, capture), missing=lambda: shortfall(Path(uri)))


def redact(uri: str) -> str:
    """`uri` without user, password and query, fit for logs. Raises ConfigError when malformed.

    A password may hold '/', '#' or '?' unescaped, where the standard would end the host: all up to the last
    '@' counts as secret, even where that '@' belongs to the path.
    """
    scheme, _, rest = uri.partition("://")
    _, at, address = rest.rpartition("@")
    try:
        parts = urlsplit(f"{scheme}://{address}")
    except ValueError:
        raise ConfigError("the camera's address is malformed: expected rtsp://user:password@host:port/path") from None
    secret = "***@" if at else ""
    return f"{parts.scheme}://{secret}{parts.netloc}{parts.path}" + ("?***" if parts.query else "")


def _cv2(timeout_s: float) -> Any:
    # Read once, when OpenCV loads: by itself it waits 10 s for a camera, and logs URLs with passwords.
    os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", str(math.ceil(timeout_s)))
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    import cv2

    # Absent, it is to be missed now and not at the first JPEG.
    importlib.import_module("simplejpeg")
    return cv2


def _is_picture(image: Any) -> bool:
    return isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.shape[2:] == (3,) and image.size > 0


def _shown(image: Any) -> str:
    return f"an array {image.shape} {image.dtype}" if isinstance(image, np.ndarray) else "nothing"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _opened(opener: Callable[[], Any], problem: str) -> Any:
    capture = opener()
    if not capture.isOpened():
        capture.release()
        raise SourceError(problem)
    return capture


def _packets(cv2: Any, capture: Any) -> tuple[bool, int]:
    """Whether the capture gives JPEG undecoded, and by how many quarters its pictures are to be turned then."""
    degrees = capture.get(cv2.CAP_PROP_ORIENTATION_META)
    if not _undecoded(cv2, capture, cv2.CAP_PROP_FORMAT, -1):
        return False, 0  # OpenCV turns what it decodes
    # It would turn the bytes as well.
    capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)
    return True, -round(degrees / 90) % 4


def _undecoded(cv2: Any, capture: Any, key: int, value: int) -> bool:
    """Ask for JPEG as it came: OpenCV's decoders fill what a cut picture lacks, and call it a success."""
    code = int(capture.get(cv2.CAP_PROP_FOURCC)) & 0xFFFFFFFF
    name = code.to_bytes(4, "little").upper()
    return name in JPEG_CODES and bool(capture.set(key, value))


def _decoded(data: Any) -> tuple[Any, str]:
    if not isinstance(data, np.ndarray):
        return None, _shown(data)
    try:
        return decode_jpeg(data.tobytes()), ""
    except DataError as error:
        return None, str(error)


def _present() -> str:
    found = sorted(glob.glob("/dev/video*"))
    return f"there are {', '.join(found)}" if found else "no camera is connected (there is no /dev/video*)"
