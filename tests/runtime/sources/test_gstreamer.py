"""GStreamer pipelines as sources, with real pipelines, a real RTSP server and Aravis' fake GigE camera."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from csflow.runtime.errors import (
    BackendUnavailable,
    ConfigError,
    EndOfStream,
    FrameError,
    SourceError,
    SourceLost,
)
from csflow.runtime.source import open_source
from csflow.runtime.sources.gstreamer import source as gstreamer
from csflow.runtime.sources.gstreamer.source import GstSource
from csflow.runtime.synthetic.product import part_at

from .pipelines import drain, first, has

TEST_PICTURE = "videotestsrc is-live=true ! video/x-raw,width=66,height=50,framerate=50/1"


pytestmark = pytest.mark.skipif(
    not has("videotestsrc", "gdppay"), reason="gstreamer1.0-tools, -plugins-base, -plugins-good or -plugins-bad missing"
)


def child(source: object) -> int:
    assert isinstance(source, GstSource)
    return source._child.pid


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_pictures_arrive_whole_in_rgb_though_their_rows_are_padded() -> None:
    with open_source("gst:" + TEST_PICTURE, 60.0) as source:
        frames = [first(source) for _ in range(3)]
    assert [f.index for f in frames] == [0, 1, 2]
    for frame in frames:
        assert frame.image.shape == (50, 66, 3)
        # The test picture's bars: white at the left, blue at the right.
        assert frame.image[5, 0].tolist() == [255, 255, 255]
        assert frame.image[5, 65].tolist() == [0, 0, 255]


def test_a_read_keeps_its_time_limit_and_a_pipeline_that_stands_still_is_lost() -> None:
    with open_source(f"gst:{TEST_PICTURE} ! valve drop=true", 0.5) as source:
        assert source.read(0.01) is None
        with pytest.raises(SourceError, match=r"gave no frame for 0\.5 s"):
            source.read(30.0)


def test_closing_ends_the_process_and_a_second_time_does_nothing() -> None:
    source = open_source("gst:" + TEST_PICTURE, 60.0)
    first(source)
    pid = child(source)
    source.close()
    source.close()
    assert gone(pid)
    with pytest.raises(EndOfStream):
        source.read(0.0)


def test_a_pipeline_that_ignores_the_request_to_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gstreamer, "STOP_S", 0.2)
    source = open_source("gst:" + TEST_PICTURE, 60.0)
    first(source)
    os.kill(child(source), signal.SIGSTOP)
    source.close()
    assert gone(child(source))


def test_a_pipeline_that_dies_is_lost_at_once() -> None:
    with open_source("gst:" + TEST_PICTURE, 60.0) as source:
        first(source)
        os.kill(child(source), signal.SIGKILL)
        with pytest.raises(SourceLost, match=r"died \(-9\)"):
            drain(source)


def test_the_pipelines_own_words_say_why_it_failed() -> None:
    with pytest.raises(SourceError, match='no element "nosuch"'), open_source("gst:videotestsrc ! nosuch") as source:
        source.read(60.0)
    with pytest.raises(SourceError, match="/dev/video77"), open_source("gst:v4l2src device=/dev/video77") as source:
        source.read(60.0)


@pytest.mark.parametrize("end", ["! jpegdec", "! image/jpeg", "! image/jpeg, framerate=5/1 ! jpegdec"])
def test_a_pipeline_that_ends_in_jpeg_is_decoded_here_strictly(end: str, tmp_path: Path) -> None:
    pytest.importorskip("simplejpeg", reason="the extra camera is not installed")
    parts = [part_at(3, i, 0.0, (96, 64)).image for i in range(3)]
    for number, image in enumerate(parts):
        Image.fromarray(image).save(tmp_path / f"{number}.jpg", quality=90)
    expected = [np.asarray(Image.open(tmp_path / f"{number}.jpg").convert("RGB")) for number in range(3)]
    cut = tmp_path / "1.jpg"
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    pipeline = f"gst:multifilesrc location={tmp_path}/%d.jpg stop-index=2 caps=image/jpeg,framerate=5/1 {end}"
    with open_source(pipeline, 60.0) as source:
        np.testing.assert_array_equal(first(source).image, expected[0])
        with pytest.raises(FrameError, match="cut off") as caught:
            source.read(60.0)
        np.testing.assert_array_equal(first(source).image, expected[2])
    assert caught.value.fault == "truncated"


def test_sixteen_bit_grey_is_refused_instead_of_losing_its_lower_bits() -> None:
    deep = "gst:videotestsrc ! video/x-raw,format=GRAY16_LE"
    with open_source(deep, 60.0) as source, pytest.raises(SourceError, match="16-bit grey"):
        source.read(60.0)
    with open_source(f"{deep} ! videoconvert ! video/x-raw,format=GRAY8", 60.0) as source:
        assert first(source).image.shape == (240, 320, 3)


@pytest.mark.parametrize("codec", ["libx264", "mjpeg"])
def test_a_video_that_is_stored_turned_comes_upright_by_every_way(codec: str, tmp_path: Path) -> None:
    pytest.importorskip("cv2", reason="videos need csflow[camera]")
    if shutil.which("ffmpeg") is None or not has("avdec_h264"):
        pytest.skip("ffmpeg or gstreamer1.0-libav is not installed")
    flat, turned = tmp_path / "flat.mov", tmp_path / "turned.mov"
    red_and_blue = "-f lavfi -i color=c=red:size=96x64:rate=5 -vf drawbox=x=48:w=48:color=blue:t=fill,format=yuvj420p"
    subprocess.run(f"ffmpeg -v error {red_and_blue} -frames:v 3 -c:v {codec} {flat}".split(), check=True)
    subprocess.run(f"ffmpeg -v error -i {flat} -c copy -metadata:s:v rotate=90 {turned}".split(), check=True)
    for uri in (str(turned), f"gst:filesrc location={turned} ! decodebin"):
        with open_source(uri, 60.0) as source:
            frames = [source.read(5.0) for _ in range(3)]
        for frame in frames:
            assert frame is not None
            assert frame.image.shape == (96, 64, 3)
            assert frame.image[5, 32, 2] > 200
            assert frame.image[-5, 32, 0] > 200


def test_a_file_is_taken_frame_by_frame_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "line.y4m"
    write = "gst-launch-1.0 -q videotestsrc num-buffers=9 ! video/x-raw,width=64,height=48 ! y4menc ! filesink"
    subprocess.run([*write.split(), f"location={path}"], check=True)
    with open_source(f"gst:filesrc location={path} ! decodebin", 60.0) as source:
        assert not source.live
        frames = []
        with pytest.raises(EndOfStream):
            drain(source, frames)
    assert [f.index for f in frames] == list(range(9))
    assert frames[8].source.endswith("#8")


def test_the_end_of_a_camera_is_a_loss_and_the_end_of_a_counted_pipeline_is_not() -> None:
    with open_source("gst:videotestsrc num-buffers=1", 60.0) as source:
        first(source)
        with pytest.raises(EndOfStream):
            source.read(60.0)
    endless = GstSource("camera", "videotestsrc num-buffers=1", 60.0)
    with endless, pytest.raises(SourceLost, match="camera ended"):
        drain(endless)


def test_a_pipeline_without_pictures_or_words_is_refused() -> None:
    with pytest.raises(ConfigError, match="needs a pipeline"):
        open_source("gst: ")
    with pytest.raises(ConfigError, match="cannot be read"):
        open_source("gst:videotestsrc 'pattern=ball")


def test_without_gstreamer_the_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gstreamer, "LAUNCHER", ("gst-launch-nowhere",))
    with pytest.raises(BackendUnavailable, match=r"apt-get install gstreamer1\.0-tools"):
        open_source("gst:videotestsrc")


def test_no_descriptor_is_left_after_many_pipelines() -> None:
    def descriptors() -> int:
        gc.collect()  # what earlier tests left to the collector would be counted once and not again
        return len(os.listdir("/proc/self/fd"))

    before = descriptors()
    for _ in range(5):
        with open_source("gst:videotestsrc num-buffers=1", 60.0) as source:
            first(source)
    assert descriptors() == before
