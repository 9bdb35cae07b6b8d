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

from csflow.runtime.errors import BackendUnavailable, ConfigError, EndOfStream, SourceError, SourceLost
from csflow.runtime.source import open_source
from csflow.runtime.sources.gstreamer import source as gstreamer
from csflow.runtime.sources.gstreamer.source import GstSource
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


@pytest.fixture
def rtsp() -> Iterator[str]:
    if not has("jpegenc", "rtpjpegpay", "rtspsrc"):
        pytest.skip("gstreamer1.0-plugins-good is not installed")
    script = str(Path(__file__).with_name("rtsp_server.py"))
    server = subprocess.Popen([SYSTEM_PYTHON, script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
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
