"""GStreamer pipelines as sources, with real pipelines, a real RTSP server and Aravis' fake GigE camera."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
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
from csflow.runtime.sources.gstreamer.pipelines import RtspStream, rtsp_pipeline
from csflow.runtime.sources.gstreamer.source import GstSource
from csflow.runtime.synthetic.product import part_at
from csflow.runtime.types import Frame

TEST_PICTURE = "videotestsrc is-live=true ! video/x-raw,width=66,height=50,framerate=50/1"
SYSTEM_PYTHON = "/usr/bin/python3"


def has(*elements: str) -> bool:
    if shutil.which("gst-inspect-1.0") is None:
        return False
    asked = (subprocess.run(["gst-inspect-1.0", e], check=False, capture_output=True) for e in elements)
    return all(answer.returncode == 0 for answer in asked)


pytestmark = pytest.mark.skipif(
    not has("videotestsrc", "gdppay"), reason="gstreamer1.0-tools, -plugins-base, -plugins-good or -plugins-bad missing"
)


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


# An RTSP camera on loopback


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


@pytest.mark.parametrize("rtsp", [f"{H264} ! identity drop-probability=0.01 name=pay0"], indirect=True)
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


# A GigE camera on loopback


@pytest.fixture
def gige(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    if not has("aravissrc") or shutil.which("arv-fake-gv-camera-0.8") is None:
        pytest.skip("aravis-tools is not installed")
    if os.geteuid() == 0:
        # A packet socket, which Aravis prefers where it is allowed to, sees nothing of the fake camera on loopback.
        user = ("setpriv", "--reuid=65534", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all")
        monkeypatch.setattr(gstreamer, "LAUNCHER", (*user, "gst-launch-1.0"))
    lost_of_1000 = getattr(request, "param", 0)
    serial = f"CSF{os.getpid()}"
    words = ["arv-fake-gv-camera-0.8", "-i", "127.0.0.1", "-s", serial, "-r", str(lost_of_1000)]
    camera = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(0.2)
    if camera.poll() is not None:
        pytest.skip("the fake GigE camera's port is taken")
    yield f"aravis:Aravis-Fake-{serial}"
    camera.kill()
    camera.wait()


def test_a_genicam_camera_gives_pictures_in_the_size_asked_for(gige: str) -> None:
    with open_source(gige + "?size=128x96&fps=20&exposure_us=5000", 60.0) as source:
        frames = [first(source) for _ in range(3)]
    assert [f.image.shape for f in frames] == [(96, 128, 3)] * 3
    assert all(f.image.std() > 10 for f in frames)


@pytest.mark.parametrize("gige", [300], indirect=True)
def test_lost_packets_never_give_half_a_picture(gige: str) -> None:
    # C10. The fake camera draws a ramp, (x + y + t) mod 255; a picture of this size needs four packets.
    ramp = np.add.outer(np.arange(48), np.arange(48))
    with open_source(gige + "?size=48x48&fps=20", 60.0) as source:
        frames = [first(source) for _ in range(4)]
    for frame in frames:
        grey = frame.image[:, :, 0].astype(int)
        assert ((grey - grey[0, 0] - ramp) % 255 == 0).all()


def test_a_size_that_the_camera_cannot_give_is_an_error_not_another_size(gige: str) -> None:
    with open_source(gige + "?size=4096x4096", 60.0) as source, pytest.raises(SourceError, match="aravis"):
        source.read(60.0)


def test_a_line_cameras_long_picture_arrives_whole() -> None:
    with open_source(
        "gst:videotestsrc num-buffers=1 ! video/x-raw,width=16384,height=8192,format=GRAY8", 60.0
    ) as source:
        assert first(source).image.shape == (8192, 16384, 3)
