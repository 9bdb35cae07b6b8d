"""One contract for every kind of source: what a frame is, how it is numbered and stamped, how it ends and closes."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from csflow.runtime.errors import EndOfStream
from csflow.runtime.source import SOURCES, FrameSource, open_source
from csflow.runtime.sources.fake import FakeSource
from csflow.runtime.synthetic.product import part_at
from csflow.runtime.types import Frame

from .gige import fake_gige

TIMEOUT_S = 60.0
ELSEWHERE = {"camera", "csi", "gst-rtsp", "http", "network"}
"""Kinds that need a server or a device: test_gstreamer, test_http and test_v4l2 play what can be played."""


@dataclass
class Played:
    """A source, and whether it ends."""

    source: FrameSource
    ends: bool = True
    after: Callable[[], None] = lambda: None
    """Called once the source is closed."""


def fake(_folder: Path) -> Played:
    return Played(FakeSource([part_at(1, i, 0.0, (96, 64)).image for i in range(3)]))


def pictures(folder: Path) -> None:
    for i in range(3):
        Image.fromarray(part_at(1, i, 0.0, (96, 64)).image).save(folder / f"{i}.png")


def files(folder: Path) -> Played:
    pictures(folder)
    return Played(open_source(str(folder)))


def watch(folder: Path) -> Played:
    pictures(folder)
    return Played(open_source(f"watch:{folder}?existing=1&settle=0"), ends=False)


def synthetic(_folder: Path) -> Played:
    return Played(open_source("synthetic://?frames=3&fps=0&size=96x64"))


def video(folder: Path) -> Played:
    cv2 = pytest.importorskip("cv2", reason="the extra camera is not installed")
    path = folder / "line.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (96, 64))
    for i in range(3):
        writer.write(part_at(1, i, 0.0, (96, 64)).image[:, :, ::-1])
    writer.release()
    return Played(open_source(str(path)))


def gst(_folder: Path) -> Played:
    tools = shutil.which("gst-launch-1.0") and shutil.which("gst-inspect-1.0")
    if not tools or subprocess.run(["gst-inspect-1.0", "gdppay"], check=False, capture_output=True).returncode:
        pytest.skip("gstreamer1.0-tools or -plugins-bad is not installed")
    pipeline = "gst:videotestsrc is-live=true ! video/x-raw,width=96,height=64,framerate=50/1"
    return Played(open_source(pipeline, TIMEOUT_S), ends=False)


def genicam(_folder: Path) -> Played:
    module = pytest.importorskip("genicam", reason="the extra genicam is not installed")
    pytest.importorskip("harvesters", reason="the extra genicam is not installed")
    producer = os.path.join(os.path.dirname(module.__file__), "viky.cti")
    return Played(open_source(f"genicam:1?PixelFormat=Mono8&cti={producer}", TIMEOUT_S), ends=False)


def pylon(_folder: Path) -> Played:
    pytest.importorskip("pypylon", reason="the extra pylon is not installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYLON_CAMEMU", "2")
        return Played(open_source("pylon:0815-0001?PixelFormat=Mono8&Width=96&Height=64", TIMEOUT_S), ends=False)


def aravis(_folder: Path) -> Played:
    with contextlib.ExitStack() as stack:
        source = open_source(stack.enter_context(fake_gige()) + "?size=128x96&fps=20", TIMEOUT_S)
        return Played(source, ends=False, after=stack.pop_all().close)


PLAYED: dict[str, Callable[[Path], Played]] = {
    "aravis": aravis,
    "fake": fake,
    "files": files,
    "genicam": genicam,
    "gst": gst,
    "pylon": pylon,
    "synthetic": synthetic,
    "video": video,
    "watch": watch,
}


def test_every_kind_of_source_is_played_or_known_to_need_a_device() -> None:
    assert set(PLAYED) | ELSEWHERE == {*SOURCES, "fake"}


def soon(source: FrameSource) -> Frame:
    end_s = time.monotonic() + TIMEOUT_S
    while time.monotonic() < end_s:
        if (frame := source.read(1.0)) is not None:
            return frame
    raise AssertionError("no frame came")


@pytest.mark.parametrize("kind", PLAYED)
def test_a_source_keeps_the_contract(kind: str, tmp_path: Path) -> None:
    played = PLAYED[kind](tmp_path)
    with contextlib.ExitStack() as stack, played.source as source:
        stack.callback(played.after)
        assert source is played.source
        assert isinstance(source, FrameSource)
        assert source.name
        frames = [soon(source) for _ in range(3)]
        after_ns = time.monotonic_ns()
        if played.ends:
            with pytest.raises(EndOfStream):
                soon(source)
    indices = [frame.index for frame in frames]
    assert indices == sorted(set(indices))
    assert source.live or indices == [0, 1, 2]
    stamps = [frame.captured_ns for frame in frames]
    assert stamps == sorted(stamps)
    assert stamps[-1] <= after_ns
    if source.live:
        assert len(set(stamps)) == 3
    for frame in frames:
        assert frame.image.dtype == np.uint8
        assert frame.image.shape == (*frames[0].image.shape[:2], 3)
        assert frame.image.flags["C_CONTIGUOUS"]
        assert frame.source.startswith(source.name) or Path(frame.source).exists()
    source.close()
    with pytest.raises(EndOfStream):
        source.read(0.0)
