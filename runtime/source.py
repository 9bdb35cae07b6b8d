"""Sources of frames: the protocol, and the one grammar that selects a source.

0, /dev/video0, /dev/v4l/by-id/...     a camera, as any character device      extra: camera
0?size=1280x720&fps=30&exposure=100    the same with settings that are read back
parts/, 'parts/*.png', part.png        pictures, in natural order
watch:lot/                             pictures as they appear in a folder
line.mp4                               a video file                           extra: camera
rtsp://, rtsps://                      a network camera                       extra: camera
http://, https://                      a network camera: MJPEG, or a picture a request; likewise
gst+rtsp://                            the same through GStreamer             Debian: gstreamer1.0-tools, ...
gst:PIPELINE, csi:0, aravis:NAME       GStreamer, a Jetson's CSI, GenICam     likewise
genicam:SERIAL?ExposureTime=5000       GenICam through a GenTL producer       extra: genicam
pylon:SERIAL?ExposureTime=5000         Basler's cameras through pylon         extra: pylon
synthetic://?defects=0.1&fps=10        drawn metal parts, some with defects
"""

from __future__ import annotations

import difflib
import glob
import importlib
import os
import re
import stat
from pathlib import Path
from typing import Protocol, cast, runtime_checkable

from csflow.runtime.errors import BackendUnavailable, ConfigError, SourceError
from csflow.runtime.machine.install import pip_install
from csflow.runtime.picture.images import IMAGE_SUFFIXES
from csflow.runtime.types import Frame

__all__ = ["PREFIXES", "SCHEMES", "SOURCES", "FrameSource", "TriggeredSource", "open_source", "source_kind"]

SOURCES = {
    "camera": ("csflow.runtime.sources.opencv", "open_camera"),
    "aravis": ("csflow.runtime.sources.gstreamer.source", "open_aravis"),
    "csi": ("csflow.runtime.sources.gstreamer.source", "open_csi"),
    "files": ("csflow.runtime.sources.files", "open_files"),
    "genicam": ("csflow.runtime.sources.genicam.source", "open_genicam"),
    "gst": ("csflow.runtime.sources.gstreamer.source", "open_gst"),
    "gst-rtsp": ("csflow.runtime.sources.gstreamer.source", "open_gst_rtsp"),
    "http": ("csflow.runtime.sources.http", "open_http"),
    "network": ("csflow.runtime.sources.opencv", "open_network"),
    "pylon": ("csflow.runtime.sources.genicam.source", "open_genicam"),
    "synthetic": ("csflow.runtime.sources.synthetic", "open_synthetic"),
    "video": ("csflow.runtime.sources.opencv", "open_video"),
    "watch": ("csflow.runtime.sources.watch", "open_watch"),
}
"""Kind of source: (module, function that opens it)."""

SCHEMES = {
    "rtsp": "network",
    "rtsps": "network",
    "http": "http",
    "https": "http",
    "gst+rtsp": "gst-rtsp",
    "gst+rtsps": "gst-rtsp",
    "synthetic": "synthetic",
}
"""What stands before :// and the kind of source it selects."""

PREFIXES = ("gst", "csi", "aravis", "genicam", "pylon", "watch")
"""Kinds of source that are named before a colon alone."""


@runtime_checkable
class FrameSource(Protocol):
    """Delivers frames. One thread calls `read`."""

    name: str
    """What the user asked for: the path or URI, without credentials."""
    live: bool
    """True where frames come at their own pace (cameras): late readers want the newest, not every frame."""

    def read(self, timeout_s: float) -> Frame | None:
        """The next frame, or None when none came within `timeout_s` seconds.

        Raises:
            EndOfStream: after the last frame.
            FrameError: this one frame cannot be delivered; the next call goes on with the next.
            SourceLost: a source that had worked failed.
            SourceError: otherwise.
        """

    def close(self) -> None:
        """Release the device. May be called twice."""

    def __enter__(self) -> FrameSource: ...

    def __exit__(self, *exc: object) -> None: ...


@runtime_checkable
class TriggeredSource(FrameSource, Protocol):
    """A camera that may expose only when it is told to."""

    waits: bool
    """Whether it does so now: its silence is no loss, for its driver says that it is there."""

    def fire(self) -> None:
        """Let it expose, where it waits for software; else nothing. From any thread; a picture follows, or none."""


def open_source(uri: str, timeout_s: float = 5.0) -> FrameSource:
    """Open what `uri` names; the module docstring has the grammar.

    Args:
        uri: a camera index, a path, a glob or a URI.
        timeout_s: longest time in seconds that a camera may take to open or to answer.

    Raises:
        ConfigError: unknown scheme, or an option in the URI that is not one of its options.
        SourceError: there is nothing there, or it cannot be opened; the message says what there is instead.
        BackendUnavailable: a library is missing; the message names the extra.
    """
    module, name = SOURCES[source_kind(uri)]
    try:
        opener = getattr(importlib.import_module(module), name)
        return cast(FrameSource, opener(uri, timeout_s))
    except ImportError as error:
        raise BackendUnavailable(
            f"cameras and videos need OpenCV and simplejpeg, of which one does not load ({error}); "
            f"install them with: {pip_install('camera')}"
        ) from None


def source_kind(uri: str) -> str:
    """Which of `SOURCES` the string `uri` selects; raises as `open_source` does when it is none."""
    if prefix := re.match(rf"({'|'.join(PREFIXES)}):(?!//)", uri):
        return prefix[1]
    scheme, separator, _ = uri.partition("://")
    if separator:
        return _scheme_kind(scheme)
    if re.fullmatch(r"([0-9]{1,3}|/dev/video[0-9]+|/dev/v4l/[^?]+)(\?.*)?", uri) or _is_device(uri.partition("?")[0]):
        return "camera"
    path = Path(uri)
    if (shouted := re.match(rf"({'|'.join(PREFIXES)}):", uri, re.IGNORECASE)) and not path.exists():
        raise ConfigError(f"no source begins with {shouted[0]} did you mean {shouted[0].lower()} in small letters?")
    if path.is_dir() or path.suffix.lower() in IMAGE_SUFFIXES or (glob.has_magic(uri) and not path.exists()):
        return "files"
    if path.is_file():
        return "video"
    raise SourceError(
        f"there is no file or folder {uri!r}: expected a camera (0, /dev/video0), a folder, a quoted glob, "
        "a picture, a video, rtsp://... or synthetic://"
    )


def _is_device(path: str) -> bool:
    try:
        return stat.S_ISCHR(os.stat(path).st_mode)
    except (OSError, ValueError):
        return False


def _scheme_kind(scheme: str) -> str:
    if scheme.lower() in SCHEMES:
        return SCHEMES[scheme.lower()]
    # The rest of the URI is not repeated: it may hold a password.
    if scheme.lower() in PREFIXES:
        raise ConfigError(f"no source has the scheme {scheme}: write {scheme.lower()}: without the slashes")
    close = difflib.get_close_matches(scheme, list(SCHEMES), n=1)
    hint = f"did you mean {close[0]}://?" if close else f"expected one of {', '.join(SCHEMES)}"
    raise ConfigError(f"no source has the scheme {scheme[:32]!r}: {hint}")
