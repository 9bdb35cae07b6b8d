"""Settings of a V4L2 camera: only what reads back counts. The camera is a fake with the habits of real drivers."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from csflow.runtime.errors import ConfigError, SourceError
from csflow.runtime.source import source_kind
from csflow.runtime.sources.v4l2 import CameraSettings, apply_settings, bound_uri, split_uri

cv2 = pytest.importorskip("cv2", reason="cameras need csflow[camera]")
FULL = "0?format=MJPG&size=1280x720&fps=30&buffers=1&exposure=100&gain=0&white_balance=4600&focus=30"


class Driver:
    """Takes what it is given, but for `stubborn` keys; under automatic exposure the time stays as it is."""

    def __init__(self, stubborn: dict[int, float] | None = None) -> None:
        self.values: dict[int, float] = {cv2.CAP_PROP_AUTO_EXPOSURE: 3.0}
        self.stubborn = stubborn or {}
        self.order: list[int] = []

    def set(self, key: int, value: float) -> bool:
        self.order.append(key)
        ignored = key == cv2.CAP_PROP_EXPOSURE and self.get(cv2.CAP_PROP_AUTO_EXPOSURE) != 1.0
        if not ignored:
            self.values[key] = value
        return True

    def get(self, key: int) -> float:
        return self.stubborn.get(key, self.values.get(key, 0.0))


def test_everything_asked_for_is_set_and_nothing_else() -> None:
    driver = Driver()
    apply_settings(cv2, driver, split_uri(FULL)[1], "camera")
    assert driver.values[cv2.CAP_PROP_FOURCC] == cv2.VideoWriter_fourcc(*"MJPG")
    assert (driver.values[cv2.CAP_PROP_FRAME_WIDTH], driver.values[cv2.CAP_PROP_FRAME_HEIGHT]) == (1280, 720)
    assert driver.values[cv2.CAP_PROP_EXPOSURE] == 100
    assert driver.values[cv2.CAP_PROP_AUTO_WB] == driver.values[cv2.CAP_PROP_AUTOFOCUS] == 0
    untouched = Driver()
    apply_settings(cv2, untouched, CameraSettings(), "camera")
    assert untouched.order == []


def test_the_format_comes_before_the_size_and_the_automatic_before_the_exposure() -> None:
    driver = Driver()
    apply_settings(cv2, driver, split_uri(FULL)[1], "camera")
    order = [driver.order.index(k) for k in (cv2.CAP_PROP_FOURCC, cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FPS)]
    assert order == sorted(order)
    assert driver.order.index(cv2.CAP_PROP_AUTO_EXPOSURE) < driver.order.index(cv2.CAP_PROP_EXPOSURE)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        (cv2.CAP_PROP_FRAME_WIDTH, 640.0, "width is 640 instead of 1280"),
        (cv2.CAP_PROP_FOURCC, float(cv2.VideoWriter_fourcc(*"YUYV")), "format is YUYV instead of MJPG"),
        (cv2.CAP_PROP_FPS, 15.0, "fps is 15 instead of 30"),
        (cv2.CAP_PROP_AUTO_EXPOSURE, 3.0, "automatic exposure is 3 instead of 1, exposure is 0 instead of 100"),
        (cv2.CAP_PROP_BUFFERSIZE, 4.0, "buffers is 4 instead of 1"),
    ],
)
def test_what_reads_back_differently_is_an_error(key: int, value: float, words: str) -> None:
    with pytest.raises(SourceError, match=words):
        apply_settings(cv2, Driver({key: value}), split_uri(FULL)[1], "camera")


def test_without_strict_it_is_told_and_the_camera_is_used(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        apply_settings(cv2, Driver({cv2.CAP_PROP_GAIN: 7.0}), split_uri("0?gain=3&strict=0")[1], "/dev/video0")
    assert "/dev/video0 does not take its settings: gain is 7 instead of 3" in caplog.text


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("sise=1x1", "did you mean 'size'"),
        ("format=MJPEG", "for example MJPG"),
        ("exposure=0", "no valid value"),
        ("gain=nan", "no valid value"),
        ("buffers=11", "1 to 10"),
        ("strict=no", "0 or 1"),
    ],
)
def test_a_wrong_setting_is_refused(query: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        split_uri(f"0?{query}")


def test_an_index_with_settings_is_a_camera_and_a_glob_is_not() -> None:
    assert source_kind("0?size=640x480") == "camera"
    assert source_kind("/dev/v4l/by-id/usb-cam-index0?gain=1") == "camera"
    assert source_kind("p?.png") == "files"


def test_an_index_becomes_the_name_that_stays_with_the_device(tmp_path: Path) -> None:
    # C9: the by-id folder of udev, rebuilt in a temporary place.
    (tmp_path / "usb-Acme-1234-video-index0").symlink_to("/dev/video3")
    (tmp_path / "usb-Acme-9999-video-index0").symlink_to("/dev/video0")
    assert bound_uri("0?gain=1", tmp_path) == f"{tmp_path}/usb-Acme-9999-video-index0?gain=1"
    assert bound_uri("/dev/video3", tmp_path) == f"{tmp_path}/usb-Acme-1234-video-index0"
    assert bound_uri("1", tmp_path) == "1"
    for other in ("rtsp://h/live", "/dev/v4l/by-path/x", "parts/"):
        assert bound_uri(other, tmp_path) == other
