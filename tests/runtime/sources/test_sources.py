"""What every source promises, and what each kind promises beyond."""

from __future__ import annotations

import io
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from csflow.runtime.errors import ConfigError, EndOfStream, FrameError, SourceError, SourceLost
from csflow.runtime.line.grabber import Grabber
from csflow.runtime.picture.images import read_image
from csflow.runtime.source import FrameSource, open_source
from csflow.runtime.sources.fake import FakeSource, Step
from csflow.runtime.sources.files import natural_key
from csflow.runtime.sources.opencv import OpenCVSource, redact
from csflow.runtime.sources.reconnect import Reconnecting
from csflow.runtime.synthetic.product import part_at
from csflow.runtime.types import Frame

RED = np.full((48, 64, 3), (200, 20, 10), dtype=np.uint8)
FRAMES = 3


def write_folder(folder: Path, names: tuple[str, ...] = ("p1.png", "p2.png", "p10.png")) -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        Image.fromarray(RED).save(folder / name)
    return folder


def write_video(path: Path, frames: int = FRAMES) -> Path:
    cv2 = pytest.importorskip("cv2", reason="videos need csflow[camera]")
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    for _ in range(frames):
        writer.write(np.ascontiguousarray(RED[:, :, ::-1]))
    writer.release()
    return path


class Capture:
    """Stands for cv2.VideoCapture: plays (ok, image) pairs, then fails."""

    def __init__(self, *reads: tuple[bool, NDArray[np.uint8] | None]) -> None:
        self._reads = list(reads)
        self.releases = 0

    def read(self) -> tuple[bool, NDArray[np.uint8] | None]:
        return self._reads.pop(0) if self._reads else (False, None)

    def release(self) -> None:
        self.releases += 1


class Clock:
    """Stands for the time module: passes only while somebody sleeps, so that no frame is ever late."""

    def __init__(self) -> None:
        self._now_ns = 0

    def monotonic_ns(self) -> int:
        return self._now_ns

    def sleep(self, seconds: float) -> None:
        self._now_ns += round(seconds * 1e9)


class Prompt(Grabber):
    """The newest frame of a camera that waits until each frame was taken."""

    def __init__(self) -> None:
        self._taken = threading.Semaphore()
        super().__init__(FakeSource(self._script(), live=True))

    def _script(self) -> Iterator[Step]:
        for _ in range(FRAMES):
            while not self._taken.acquire(timeout=0.02):
                yield None
            yield RED

    def read(self, timeout_s: float) -> Frame | None:
        frame = super().read(timeout_s)
        self._taken.release()
        return frame


SOURCES: dict[str, Callable[[Path], FrameSource]] = {
    "folder": lambda tmp: open_source(str(write_folder(tmp / "parts"))),
    "glob": lambda tmp: open_source(str(write_folder(tmp / "parts") / "p*.png")),
    "video": lambda tmp: open_source(str(write_video(tmp / "line.avi"))),
    "synthetic": lambda _: open_source("synthetic://?frames=3&fps=0&size=64x64"),
    "synthetic live": lambda _: open_source("synthetic://?frames=3&fps=50&size=64x64"),
    "fake": lambda _: FakeSource([RED, RED, RED]),
    "newest": lambda _: Prompt(),
    "reconnecting": lambda _: Reconnecting(lambda: Prompt(), 60.0),
}


@pytest.fixture(params=list(SOURCES))
def source(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FrameSource:
    if request.param == "synthetic live":
        monkeypatch.setattr("csflow.runtime.sources.synthetic.time", Clock())
    return SOURCES[request.param](tmp_path)


def drain(source: FrameSource) -> list[Frame]:
    frames = []
    while True:
        try:
            frame = source.read(5.0)
        except EndOfStream:
            return frames
        assert frame is not None
        frames.append(frame)


def test_a_source_gives_numbered_rgb_frames_then_ends_for_good(source: FrameSource) -> None:
    with source:
        assert isinstance(source, FrameSource)
        assert source.name
        frames = drain(source)
        with pytest.raises(EndOfStream):
            source.read(0.0)
    assert [f.index for f in frames] == list(range(FRAMES))
    for frame in frames:
        assert frame.image.dtype == np.uint8
        assert frame.image.ndim == 3
        assert frame.image.shape[2] == 3
        assert frame.source
    stamps = [f.captured_ns for f in frames]
    assert stamps == sorted(stamps)
    assert stamps[-1] <= time.monotonic_ns()


def test_a_source_may_be_closed_twice_and_gives_nothing_afterwards(source: FrameSource) -> None:
    source.close()
    source.close()
    with pytest.raises(EndOfStream):
        source.read(0.0)


@pytest.mark.parametrize("kind", ["folder", "video"])
def test_colours_arrive_as_rgb(kind: str, tmp_path: Path) -> None:
    with SOURCES[kind](tmp_path) as source:
        frame = source.read(1.0)
    assert frame is not None
    assert np.abs(frame.image.reshape(-1, 3).mean(axis=0) - (200, 20, 10)).max() < 12


# Files


def test_files_come_in_natural_order_and_stay_one_stream(tmp_path: Path) -> None:
    with open_source(str(write_folder(tmp_path / "parts"))) as source:
        assert not source.live
        assert [Path(f.source).name for f in drain(source)] == ["p1.png", "p2.png", "p10.png"]


def test_natural_order_compares_any_two_names() -> None:
    names = ["1", "1a", "10", "a", "a/2", "a1", "a01b", "b9/1", "b10/1", "²"]
    assert [str(p) for p in sorted(map(Path, reversed(names)), key=natural_key)] == names


def test_an_unreadable_file_is_an_error_in_its_place_and_the_stream_goes_on(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "parts", ("p1.png", "p3.png"))
    (folder / "p2.png").write_bytes(b"no picture")
    with open_source(str(folder)) as source:
        assert source.read(0.0) is not None
        with pytest.raises(FrameError, match=r"p2\.png") as caught:
            source.read(0.0)
        third = source.read(0.0)
    assert (caught.value.index, Path(caught.value.source).name) == (1, "p2.png")
    assert third is not None
    assert third.index == 2


def test_a_jpeg_with_a_gap_is_an_error_in_its_place_and_every_whole_one_is_pillows(tmp_path: Path) -> None:
    pytest.importorskip("simplejpeg", reason="the extra camera is not installed")
    image = Image.fromarray(part_at(3, 0, 0.0, (256, 192)).image)
    for name, mode in (("p1.jpg", "RGB"), ("p3.jpeg", "L"), ("p4.jfif", "CMYK")):
        image.convert(mode).save(tmp_path / name, "JPEG", quality=90)
    data = (tmp_path / "p1.jpg").read_bytes()
    (tmp_path / "p2.jpg").write_bytes(data[: len(data) // 2] + data[len(data) // 2 + 2000 :])
    assert read_image(tmp_path / "p2.jpg").shape == (192, 256, 3), "Pillow sees gaps now: this can go"
    with open_source(str(tmp_path)) as source:
        first = source.read(0.0)
        with pytest.raises(FrameError, match=r"p2\.jpg holds a JPEG that is cut off or damaged"):
            source.read(0.0)
        rest = drain(source)
    assert first is not None
    for frame in (first, *rest):
        assert np.array_equal(frame.image, read_image(Path(frame.source)))
    assert len(rest) == 2


@pytest.mark.parametrize("pattern", ["", "*.png"])
def test_a_link_to_nothing_is_an_error_in_its_place(pattern: str, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "parts", ("p1.png",))
    (folder / "p2.png").symlink_to("gone.png")
    with open_source(str(folder / pattern)) as source:
        assert source.read(0.0) is not None
        with pytest.raises(FrameError, match=r"p2\.png is a link to nothing"):
            source.read(0.0)


@pytest.mark.parametrize("pattern", ["", "*.png", "missing.png"])
def test_a_place_without_pictures_is_an_error_at_once(pattern: str, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(SourceError, match="picture"):
        open_source(str(tmp_path / pattern))


def test_a_glob_takes_pictures_only_and_descends_on_two_stars(tmp_path: Path) -> None:
    write_folder(tmp_path / "good", ("a.png",))
    write_folder(tmp_path / "bad", ("b.png",))
    (tmp_path / "bad" / "labels.json").touch()
    with open_source(f"{tmp_path}/**/*") as source:
        assert [Path(f.source).name for f in drain(source)] == ["b.png", "a.png"]


# Videos, cameras and network streams


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
