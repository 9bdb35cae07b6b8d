"""The grammar of --camera, and what is said when it names nothing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from csflow.runtime.errors import BackendUnavailable, ConfigError, SourceError
from csflow.runtime.source import open_source, source_kind


@pytest.mark.parametrize(
    ("uri", "kind"),
    [
        ("0", "camera"),
        ("12", "camera"),
        ("/dev/video3", "camera"),
        ("/dev/v4l/by-id/usb-046d-video-index0", "camera"),
        (".", "files"),
        ("parts/*.png", "files"),
        ("missing.png", "files"),
        (__file__, "video"),
        ("rtsp://camera/stream", "network"),
        ("RTSP://camera/stream", "network"),
        ("https://camera/mjpeg", "http"),
        ("synthetic://?fps=0", "synthetic"),
    ],
)
def test_the_string_selects_the_kind_of_source(uri: str, kind: str) -> None:
    assert source_kind(uri) == kind


def test_a_folder_named_like_an_index_or_glob_is_reachable_by_a_path(tmp_path: Path) -> None:
    (tmp_path / "lot[1]").mkdir()
    assert source_kind(str(tmp_path / "lot[1]")) == "files"


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("genicam://40012345", "write genicam: without the slashes"),
        ("Pylon://40012345", "write pylon: without the slashes"),
        ("Genicam:40012345?Gain=6", "did you mean genicam: in small letters"),
    ],
)
def test_a_kind_with_slashes_or_capitals_is_answered_with_the_right_one(uri: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        source_kind(uri)


def test_a_misspelt_scheme_is_answered_with_the_right_one_and_without_the_password() -> None:
    with pytest.raises(ConfigError, match="rtsp://") as caught:
        open_source("rstp://admin:secret@10.0.0.7/live")
    assert "secret" not in str(caught.value)


def test_what_does_not_exist_is_an_error_that_lists_what_is_possible() -> None:
    with pytest.raises(SourceError, match=r"'nowhere\.mp4'.*expected a camera"):
        open_source("nowhere.mp4")


def test_a_camera_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glob.glob", lambda _: ["/dev/video7", "/dev/video2"])
    with pytest.raises(SourceError, match="no camera /dev/video99; there are /dev/video2, /dev/video7"):
        open_source("99")


def test_without_opencv_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    video = tmp_path / "line.mp4"
    video.touch()
    with pytest.raises(BackendUnavailable, match=r"\[camera\]'"):
        open_source(str(video))


def test_only_devices_are_cameras(tmp_path: Path) -> None:
    if not Path("/dev/shm").is_dir() or not Path("/dev/null").is_char_device():
        pytest.skip("this system has no /dev/shm or /dev/null")
    assert source_kind("/dev/shm") == "files"
    assert source_kind("/dev/shm/parts/*.png") == "files"
    assert source_kind("/dev/null") == "camera"
    (tmp_path / "front").symlink_to("/dev/null")
    assert source_kind(str(tmp_path / "front")) == "camera"
