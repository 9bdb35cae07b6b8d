"""The source with the virtual cameras of the genicam package, and with drivers that the test plays."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest

from csflow.runtime.errors import ConfigError, FrameError, SourceError, SourceLost
from csflow.runtime.source import TriggeredSource, open_source
from csflow.runtime.sources.genicam import source
from csflow.runtime.sources.genicam.source import GenicamSource
from csflow.runtime.sources.genicam.wish import Wish

pytest.importorskip("harvesters.core", reason="the extra genicam is not installed")
SEVEN = Wish("7")


def drain(camera: GenicamSource) -> None:
    while True:
        camera.read(60.0)


@pytest.fixture
def viky(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three virtual cameras, found as a maker's are."""
    module = pytest.importorskip("genicam", reason="the extra genicam is not installed")
    monkeypatch.setenv("GENICAM_GENTL64_PATH", os.path.dirname(module.__file__))


@pytest.mark.usefixtures("viky")
def test_a_virtual_camera_is_set_read_back_seen_and_lost_when_its_process_is_killed() -> None:
    uri = "genicam:1?PixelFormat=Mono8&Width=320&AcquisitionFrameRate=100"
    with open_source(uri, 60.0) as camera:
        assert isinstance(camera, GenicamSource)
        assert camera.device == "1 (Machine Vision Games Ltd. Viky)"
        assert camera.features == {"PixelFormat": "Mono8", "Width": "320", "AcquisitionFrameRate": "100"}
        frame = camera.read(60.0)
        assert frame is not None
        assert frame.image.shape == (400, 320, 3)
        assert frame.camera["frame_id"] >= 1
        assert "ChunkNrBounces" in frame.camera
        assert "device_ns" not in frame.camera
        assert (frame.image[:, :, 0] == frame.image[:, :, 2]).all()
        os.killpg(camera._child.pid, signal.SIGKILL)
        with pytest.raises(SourceLost, match=r"genicam:1 was lost: its driver ended \(-9\)"):
            drain(camera)


@pytest.mark.usefixtures("viky")
def test_a_feature_that_the_camera_does_not_have_is_a_wrong_option_also_through_the_process() -> None:
    with pytest.raises(ConfigError, match="no feature 'Witdh'; did you mean Width"):
        open_source("genicam:0?Witdh=320", 60.0)


def played(monkeypatch: pytest.MonkeyPatch, code: str, stall_s: float = 60.0, wish: Wish = SEVEN) -> GenicamSource:
    """A source whose driver is a few lines of Python."""
    words = (
        "import sys, time, numpy as np; from csflow.runtime.sources.genicam.packets import write_packet; "
        "tell = lambda data=None, **told: write_packet(int(sys.argv[2]), told, data); "
        "tell(event='opened', device='d', features={});" + code
    )
    monkeypatch.setattr(source, "DRIVER", ("-c", words))
    return GenicamSource("genicam:7", wish, stall_s)


def test_a_driver_that_says_nothing_is_killed_though_it_does_not_listen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "STOP_S", 0.1)
    camera = played(monkeypatch, "time.sleep(3600)", stall_s=0.2)
    with pytest.raises(SourceError, match=r"hangs in its driver: it said nothing for 0\.2 s"):
        camera.read(60.0)
    assert camera._child.returncode == -signal.SIGKILL


def test_a_camera_that_waits_for_software_is_fired_through_its_process(monkeypatch: pytest.MonkeyPatch) -> None:
    told = "event='picture', captured_ns=5, shape=[1, 1], dtype='uint8', camera={}, dropped=0"
    code = f"[tell(np.zeros(1, 'u1'), {told}) for _ in iter(lambda: sys.stdin.buffer.read(1), b'')]"
    fired = Wish("7", (("TriggerMode", "On"), ("TriggerSource", "Software")))
    with played(monkeypatch, code, wish=fired) as camera:
        assert isinstance(camera, TriggeredSource)
        assert camera.waits
        assert camera.read(0.01) is None
        for index in range(2):
            camera.fire()
            frame = camera.read(60.0)
            assert frame is not None
            assert frame.index == index
    camera.fire()  # closed: nobody listens


def test_silence_bad_pictures_and_last_words_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        "tell(event='idle'); tell(event='incomplete'); tell(event='warning', message='hot'); "
        "tell(np.array([3, 4], 'u1'), "
        "event='picture', captured_ns=5, shape=[1, 2], dtype='uint8', camera={}, dropped=0)"
        "\n"
        "print('bus error', file=sys.stderr); sys.exit(3)"
    )
    with played(monkeypatch, code) as camera:
        with pytest.raises(FrameError) as caught:
            camera.read(60.0)
        assert (caught.value.fault, caught.value.index) == ("truncated", 0)
        frame = camera.read(60.0)
        assert frame is not None
        assert (frame.index, frame.captured_ns, frame.image.tolist()) == (1, 5, [[[3, 3, 3], [4, 4, 4]]])
        with pytest.raises(SourceLost, match=r"its driver ended \(3\): bus error"):
            camera.read(60.0)


def test_levels_of_more_than_eight_bits_come_as_the_camera_sent_them(monkeypatch: pytest.MonkeyPatch) -> None:
    told = "event='picture', captured_ns=5, shape=[1, 2], dtype='uint16', camera={'frame_id': 7}, dropped=0"
    with played(monkeypatch, f"tell(np.array([4095, 1], 'u2'), {told})") as camera:
        frame = camera.read(60.0)
    assert frame is not None
    assert (frame.image.dtype, frame.image.tolist(), frame.camera) == (np.uint16, [[4095, 1]], {"frame_id": 7})


def test_numbers_of_frames_count_what_was_lost_on_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    one = "tell(np.zeros(1, 'u1'), event='picture', captured_ns=5, shape=[1, 1], dtype='uint8', "
    numbers = [
        *(f"camera={{'frame_id': {number}}}, dropped=0)" for number in (65533, 65535, 1, 2)),
        "camera={}, dropped=0)",
    ]
    numbers += ["camera={}, dropped=2)", "camera={'frame_id': 9}, dropped=2)"]
    code = ";".join(one + rest for rest in numbers) + ";tell(event='incomplete');" + one
    code += "camera={'frame_id': 12}, dropped=2)"
    with played(monkeypatch, code) as camera:
        indices = [frame.index for _ in numbers if (frame := camera.read(60.0)) is not None]
        assert indices == [0, 2, 3, 4, 5, 8, 9]
        with pytest.raises(FrameError):
            camera.read(60.0)
        last = camera.read(60.0)
    assert last is not None
    assert last.index == 12  # 10 was the damaged one, 11 was lost


def test_triggers_that_the_camera_missed_are_parts_without_a_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    one = "tell(np.zeros(1, 'u1'), event='picture', captured_ns=5, shape=[1, 1], dtype='uint8', dropped=0, "
    counts = ((1, 0), (2, 2), (3, 2), (5, 3), (6, 0))
    code = ";".join(one + f"camera={{'frame_id': {number}, 'missed_triggers': {missed}}})" for number, missed in counts)
    with played(monkeypatch, code) as camera:
        frames = [camera.read(60.0) for _ in counts]
    assert [frame.index for frame in frames if frame is not None] == [0, 3, 4, 7, 8]
