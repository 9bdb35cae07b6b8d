"""What tests of GStreamer pipelines share."""

from __future__ import annotations

import shutil
import subprocess

from csflow.runtime.sources.gstreamer.source import GstSource
from csflow.runtime.types import Frame

SYSTEM_PYTHON = "/usr/bin/python3"


def has(*elements: str) -> bool:
    if shutil.which("gst-inspect-1.0") is None:
        return False
    asked = (subprocess.run(["gst-inspect-1.0", e], check=False, capture_output=True) for e in elements)
    return all(answer.returncode == 0 for answer in asked)


def first(source: object, timeout_s: float = 60.0) -> Frame:
    assert isinstance(source, GstSource)
    frame = source.read(timeout_s)
    assert frame is not None
    return frame


def drain(source: object, frames: list[Frame] | None = None) -> None:
    while True:
        frame = first(source)
        if frames is not None:
            frames.append(frame)
