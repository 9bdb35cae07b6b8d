"""Videos, cameras and network streams through OpenCV."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from csflow.runtime.errors import ConfigError, FrameError, SourceError, SourceLost
from csflow.runtime.source import open_source
from csflow.runtime.sources.opencv import OpenCVSource, redact

from .pictures import RED, drain, write_video


class Capture:
    """Stands for cv2.VideoCapture: plays (ok, image) pairs, then fails."""

    def __init__(self, *reads: tuple[bool, NDArray[np.uint8] | None]) -> None:
        self._reads = list(reads)
        self.releases = 0

    def read(self) -> tuple[bool, NDArray[np.uint8] | None]:
        return self._reads.pop(0) if self._reads else (False, None)

    def release(self) -> None:
        self.releases += 1


def test_a_truncated_video_does_not_pass_for_a_whole_one(tmp_path: Path) -> None:
    path = write_video(tmp_path / "line.avi", frames=60)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    with open_source(str(path)) as source:
        with pytest.raises(FrameError, match="cut off") as cut:
            drain(source)
        with pytest.raises(SourceError, match=r"bytes, its container .*copy it again"):
            source.read(1.0)
    assert cut.value.fault == "truncated"


def test_a_cut_jpeg_in_a_video_is_a_fault_in_its_place_and_the_others_equal_pillows(tmp_path: Path) -> None:
    path = write_video(tmp_path / "line.avi", frames=4)
    data = path.read_bytes()
    starts = [m.start() for m in re.finditer(rb"00dc(?=....\xff\xd8)", data)]
    length = int.from_bytes(data[starts[1] + 4 : starts[1] + 8], "little")
    first = data[starts[0] + 8 : starts[0] + 8 + int.from_bytes(data[starts[0] + 4 : starts[0] + 8], "little")]
    middle = starts[1] + 8 + length // 2
    path.write_bytes(data[:middle] + bytes(starts[1] + 8 + length - middle) + data[starts[1] + 8 + length :])
    with open_source(str(path)) as source:
        frame = source.read(1.0)
        with pytest.raises(FrameError, match="cut off") as cut:
            source.read(1.0)
        rest = drain(source)
    assert frame is not None
    assert np.array_equal(frame.image, np.asarray(Image.open(io.BytesIO(first)).convert("RGB")))
    assert (cut.value.fault, cut.value.index, cut.value.source) == ("truncated", 1, f"{path}#1")
    assert [f.index for f in rest] == [2, 3]


def test_a_file_that_is_no_video_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("cv2", reason="videos need csflow[camera]")
    path = tmp_path / "notes.txt"
    path.write_text("no video")
    with pytest.raises(SourceError, match=r"notes\.txt is no video"):
        open_source(str(path))


def test_a_camera_that_stops_is_lost_and_one_that_never_started_is_not_there() -> None:
    pytest.importorskip("cv2", reason="cameras need csflow[camera]")
    lost = OpenCVSource(Capture((True, RED)), "/dev/video0")
    assert lost.live
    assert lost.read(0.0) is not None
    with pytest.raises(SourceLost, match="/dev/video0 stopped after 1 frames"):
        lost.read(0.0)
    with pytest.raises(SourceError, match="delivers no frame") as caught:
        OpenCVSource(Capture(), "/dev/video0").read(0.0)
    assert not isinstance(caught.value, SourceLost)


@pytest.mark.parametrize("image", [None, RED[:, :, 0], RED[:0], RED.astype(np.uint16)])
def test_success_without_a_picture_costs_one_frame_not_the_stream(image: NDArray[np.uint8] | None) -> None:
    pytest.importorskip("cv2", reason="cameras need csflow[camera]")
    source = OpenCVSource(Capture((True, RED), (True, image), (True, RED)), "/dev/video0")
    assert source.read(0.0) is not None
    with pytest.raises(FrameError, match="instead of an 8-bit colour picture") as caught:
        source.read(0.0)
    third = source.read(0.0)
    assert (caught.value.index, caught.value.source) == (1, "/dev/video0")
    assert third is not None
    assert third.index == 2


def test_what_opencv_cannot_decode_costs_a_camera_one_frame_and_ends_a_file() -> None:
    cv2 = pytest.importorskip("cv2", reason="cameras need csflow[camera]")

    class Failing(Capture):
        def read(self) -> tuple[bool, NDArray[np.uint8] | None]:
            ok, image = super().read()
            if image is None:
                cv2.imdecode(np.zeros(0, np.uint8), cv2.IMREAD_COLOR)
            return ok, image

    camera = OpenCVSource(Failing((True, None), (True, RED)), "/dev/video0")
    with pytest.raises(FrameError, match="cannot decode") as caught:
        camera.read(0.0)
    assert caught.value.index == 0
    assert camera.read(0.0) is not None
    video = OpenCVSource(Failing((True, RED), (True, None)), "line.mp4", live=False)
    assert video.read(0.0) is not None
    with pytest.raises(SourceError, match=r"end after 1 frames .*cannot decode") as ended:
        video.read(0.0)
    assert not isinstance(ended.value, FrameError)


def test_a_camera_that_gives_jpeg_is_asked_for_it_undecoded(monkeypatch: pytest.MonkeyPatch) -> None:
    cv2 = pytest.importorskip("cv2", reason="cameras need csflow[camera]")
    buffer = io.BytesIO()
    Image.fromarray(RED).save(buffer, "JPEG")
    # OpenCV gives the driver's buffer, which is longer than what the camera sent.
    data = np.frombuffer(buffer.getvalue() + bytes(99), np.uint8).reshape(1, -1)
    cut = data.copy()
    cut[:, data.size // 2 :] = 0

    class Driver(Capture):
        settings: ClassVar[dict[int, float]] = {}

        def isOpened(self) -> bool:  # noqa: N802 - OpenCV's name
            return True

        def get(self, key: int) -> float:
            return float(cv2.VideoWriter_fourcc(*"MJPG")) if key == cv2.CAP_PROP_FOURCC else 0.0

        def set(self, key: int, value: float) -> bool:
            self.settings[key] = value
            return True

    monkeypatch.setattr(cv2, "VideoCapture", lambda *_: Driver((True, data), (True, cut), (True, None), (True, data)))
    with open_source("/dev/null") as source:
        frame = source.read(0.0)
        for _ in range(2):
            with pytest.raises(FrameError) as caught:
                source.read(0.0)
            assert caught.value.fault == "truncated"
        assert source.read(0.0) is not None
    assert Driver.settings == {cv2.CAP_PROP_CONVERT_RGB: 0}
    assert frame is not None
    assert np.array_equal(frame.image, np.asarray(Image.open(buffer).convert("RGB")))


def test_a_capture_is_released_once_its_source_is_closed() -> None:
    capture = Capture()
    with OpenCVSource(capture, "/dev/video0"):
        assert capture.releases == 0
    assert capture.releases > 0


@pytest.mark.parametrize("uri", ["rtsp://admin:s3cret@127.0.0.1:9/live", "http://127.0.0.1:9/mjpeg?password=s3cret"])
def test_credentials_are_never_shown(uri: str, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("cv2", reason="network streams need csflow[camera]")
    with pytest.raises(SourceError, match=r"127\.0\.0\.1") as caught:
        open_source(uri, timeout_s=0.5)
    assert "s3cret" not in str(caught.value) + redact(uri) + "".join(capfd.readouterr())


@pytest.mark.parametrize("password", ["s/cret", "se#cret", "s?cret", "s@c/r?et", "cret"])
def test_no_part_of_a_password_is_shown_whatever_it_holds(password: str) -> None:
    assert redact(f"rtsp://admin:{password}@h:554/live?token=cret#cret") == "rtsp://***@h:554/live?***"


def test_a_malformed_address_is_refused_without_being_shown() -> None:
    with pytest.raises(ConfigError, match="malformed") as caught:
        open_source("rtsp://admin:s3cret@[::1/live")
    assert "s3cret" not in str(caught.value)
