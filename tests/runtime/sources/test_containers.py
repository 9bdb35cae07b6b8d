"""Whether a video is as long as its container says; its announced number of frames is another question."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from csflow.runtime.errors import EndOfStream, SourceError
from csflow.runtime.source import open_source
from csflow.runtime.sources.containers import shortfall

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="the program ffmpeg is not installed")
VIDEOS = {
    "h264.mp4": ["-c:v", "libx264"],
    "fragments.mp4": ["-c:v", "libx264", "-movflags", "frag_keyframe+empty_moov"],
    "mjpeg.mov": ["-c:v", "mjpeg"],
    "h264.mkv": ["-c:v", "libx264"],
    "live.mkv": ["-c:v", "libx264", "-live", "1"],
    "vp8.webm": ["-c:v", "libvpx", "-b:v", "1M"],
    "mjpeg.avi": ["-c:v", "mjpeg"],
    "h264.avi": ["-c:v", "libx264"],
    "h264.ts": ["-c:v", "libx264"],
}
FRAMES = 20


def write(path: Path, words: list[str]) -> Path:
    # Rates that change: ten frames a second, then two.
    pattern = "testsrc2=size=160x120:rate=10,settb=1/1000,setpts='if(lt(N,10),N,10+5*(N-10))/10/TB'"
    source = ["-f", "lavfi", "-i", pattern, "-frames:v", str(FRAMES), "-fps_mode", "passthrough"]
    subprocess.run(
        ["ffmpeg", "-v", "error", *source, "-pix_fmt", "yuv420p", "-strict", "-1", *words, str(path)], check=True
    )
    return path


def frames(path: Path) -> int:
    count = 0
    with open_source(str(path)) as source:
        try:
            while source.read(5.0):
                count += 1
        except EndOfStream:
            return count


@needs_ffmpeg
@pytest.mark.parametrize("name", VIDEOS)
def test_a_whole_video_is_whole_whatever_it_announces(name: str, tmp_path: Path) -> None:
    pytest.importorskip("cv2", reason="videos need csflow[camera]")
    path = write(tmp_path / name, VIDEOS[name])
    assert shortfall(path) == ""
    assert frames(path) == FRAMES


@needs_ffmpeg
def test_h264_copied_into_avi_is_whole_though_it_announces_twice_its_frames(tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2", reason="videos need csflow[camera]")
    path = tmp_path / "copied.avi"
    words = ["-v", "error", "-i", write(tmp_path / "h264.ts", ["-c:v", "libx264"]), "-c", "copy", path]
    subprocess.run(["ffmpeg", *map(str, words)], check=True)
    assert frames(path) in (FRAMES - 1, FRAMES)
    assert cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FRAME_COUNT) > FRAMES + 5


@needs_ffmpeg
@pytest.mark.parametrize("name", ["mjpeg.mov", "h264.mkv", "vp8.webm", "mjpeg.avi", "h264.avi", "h264.ts"])
def test_a_video_that_was_cut_off_is_an_error(name: str, tmp_path: Path) -> None:
    pytest.importorskip("cv2", reason="videos need csflow[camera]")
    path = write(tmp_path / name, VIDEOS[name])
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3 - 1])
    assert "bytes, its container" in shortfall(path)
    with pytest.raises(SourceError):
        frames(path)


@pytest.mark.parametrize(
    ("data", "whole"),
    [
        (b"", True),
        (b"RIFF", True),
        (b"RIFF\x04\0\0\0AVI ", True),
        (b"RIFF\x05\0\0\0AVI ", False),
        (b"RIFF\0\0\0\0AVI ", True),
        (b"RIFF\x04\0\0\0AVI RIFF\x09\0\0\0AVIX", False),
        (b"\0\0\0\x08ftyp\0\0\0\0mdat", True),
        (b"\0\0\0\x08ftyp\0\0\0\x01mdat\0\0\0\0\0\0\0\x10", True),
        (b"\0\0\0\x08ftyp\0\0\0\x01mdat\0\0\0\0\0\0\0\x11", False),
        (b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\x81x", True),
        (b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\x82x", False),
        (b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\xffx", True),
        (b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\x00x", True),
        (b"\x1a\x45\xdf\xa3\x84", True),
        ((b"\x47" + bytes(187)) * 3, True),
        ((b"\x47" + bytes(187)) * 3 + b"\x47", False),
    ],
)
def test_lengths_are_compared_to_the_byte(data: bytes, whole: bool, tmp_path: Path) -> None:
    path = tmp_path / "video"
    path.write_bytes(data)
    assert (shortfall(path) == "") == whole
