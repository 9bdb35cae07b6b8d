"""Network cameras through GStreamer and OpenCV: a real RTSP server on loopback, joined late and losing packets."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from csflow.runtime.errors import (
    SourceError,
)
from csflow.runtime.source import open_source
from csflow.runtime.sources.gstreamer.pipelines import RtspStream, rtsp_pipeline
from csflow.runtime.types import Frame

from .pipelines import SYSTEM_PYTHON, first, has

pytestmark = pytest.mark.skipif(
    not has("videotestsrc", "gdppay"), reason="gstreamer1.0-tools, -plugins-base, -plugins-good or -plugins-bad missing"
)

BALL = (
    "videotestsrc is-live=true pattern=ball background-color=0xff806040 "
    "! video/x-raw,format=I420,width=320,height=240,framerate=25/1"
)
H264 = (
    f"{BALL} ! x264enc key-int-max=50 tune=zerolatency bitrate=2000 ! video/x-h264,profile=baseline "
    "! rtph264pay mtu=400 config-interval=1"
)


@pytest.fixture
def rtsp(request: pytest.FixtureRequest) -> Iterator[str]:
    if not has("jpegenc", "rtpjpegpay", "rtspsrc"):
        pytest.skip("gstreamer1.0-plugins-good is not installed")
    shown = getattr(request, "param", "")
    if shown and not has("x264enc", "avdec_h264", "x265enc", "avdec_h265"):
        pytest.skip("gstreamer1.0-plugins-bad, -plugins-ugly or gstreamer1.0-libav is not installed")
    script = str(Path(__file__).with_name("rtsp_server.py"))
    words = [SYSTEM_PYTHON, script, *([shown] if shown else [])]
    server = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert server.stdout is not None
    assert server.stderr is not None
    port = server.stdout.readline().strip()
    if not port:
        reason = server.stderr.read().strip().splitlines()[-1]
        server.wait()
        pytest.skip(f"gir1.2-gst-rtsp-server-1.0 and python3-gi are not installed ({reason})")
    yield f"rtsp://admin:s3cret@127.0.0.1:{port}/part"
    server.kill()
    server.communicate()


def ball(frame: Frame) -> int:
    """How many pixels are the ball; decoder garbage has fewer or more."""
    background = np.median(frame.image.reshape(-1, 3), axis=0)
    return int((np.abs(frame.image - background).max(axis=2) > 60).sum())


H265 = f"{BALL} ! x265enc key-int-max=50 tune=zerolatency speed-preset=ultrafast ! rtph265pay mtu=400 config-interval=1"


@pytest.mark.parametrize("rtsp", [f"{H264} name=pay0", f"{H265} name=pay0"], indirect=True, ids=["H264", "H265"])
def test_who_joins_between_two_key_frames_gets_no_garbage_before_the_next(rtsp: str) -> None:
    with open_source("gst+" + rtsp, 60.0) as early:
        usual = ball(first(early))
        with open_source("gst+" + rtsp, 60.0) as late:
            seen = [ball(first(late)) for _ in range(30)]
    assert usual > 500
    assert all(abs(count - usual) < 0.2 * usual for count in seen)


LOSING = "identity drop-probability=0.01 name=pay0"


@pytest.mark.parametrize(
    "rtsp",
    [f"{H264} ! {LOSING}", f"{H265.replace('key-int-max=50', 'key-int-max=15')} ! {LOSING}"],
    indirect=True,
    ids=["H264", "H265"],
)
def test_what_follows_a_lost_packet_is_no_picture_until_the_next_key_frame(rtsp: str) -> None:
    with open_source("gst+" + rtsp, 60.0) as source:
        usual = ball(first(source))
        seen = [ball(first(source)) for _ in range(15)]
    assert usual > 500
    assert all(abs(count - usual) < 0.2 * usual for count in seen)


def test_untagged_video_has_the_same_colours_through_gstreamer_and_opencv(tmp_path: Path) -> None:
    pytest.importorskip("cv2", reason="videos need csflow[camera]")
    if not has("x264enc", "avdec_h264", "capssetter") or shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg, gstreamer1.0-plugins-ugly or gstreamer1.0-libav is not installed")
    path = tmp_path / "red.mp4"
    words = "-v error -f lavfi -i color=c=red:size=1280x720:rate=5 -frames:v 3 -pix_fmt yuv420p -c:v libx264 -qp 0"
    subprocess.run(["ffmpeg", *words.split(), str(path)], check=True)
    with open_source(str(path)) as opencv:
        expected = opencv.read(5.0)
    tail = rtsp_pipeline("gst+rtsp://h", lambda _: False, RtspStream("H265", False)).partition("media=video ! ")[2]
    with open_source(f"gst:filesrc location={path} ! {tail}", 60.0) as source:
        got = first(source)
    assert expected is not None
    assert np.abs(got.image.astype(int) - expected.image).max() <= 1


def test_a_network_camera_through_gstreamer(rtsp: str) -> None:
    with open_source("gst+" + rtsp, 60.0) as source:
        frame = first(source)
        assert source.live
        assert "s3cret" not in source.name + frame.source
    assert frame.image.shape == (240, 320, 3)
    assert np.abs(frame.image[40, 300].astype(int) - (0, 0, 255)).max() < 40


def test_the_same_camera_through_opencv(rtsp: str) -> None:
    pytest.importorskip("cv2", reason="network streams need csflow[camera]")
    with open_source(rtsp, 60.0) as source:
        frame = source.read(60.0)
    assert frame is not None
    assert frame.image.shape == (240, 320, 3)
    assert np.abs(frame.image[40, 300].astype(int) - (0, 0, 255)).max() < 40


def test_a_network_camera_that_is_not_there_is_named_without_its_password() -> None:
    source = open_source("gst+rtsp://admin:s3cret@127.0.0.1:9/part", 60.0)
    with source, pytest.raises(SourceError, match=r"gst\+rtsp://\*\*\*@127\.0\.0\.1:9/part") as caught:
        source.read(60.0)
    assert "s3cret" not in str(caught.value)
