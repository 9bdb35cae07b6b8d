"""What the machine tells of itself."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from csflow.runtime.plc import host
from csflow.runtime.plc.host import Host
from csflow.runtime.plc.process_image import NO_SHARE

LONG_S = 30.0


def looked(folder: Path, system: Path) -> tuple[int, int]:
    made = Host(folder, system)
    end = time.monotonic() + LONG_S
    while made._free() != made.free_disk_mb and folder.exists() and time.monotonic() < end:
        time.sleep(0.005)
    made.close()
    made._thread.join(LONG_S)
    return made.temperature_x10, made.free_disk_mb


def test_the_hottest_sensor_that_can_be_believed_is_told(tmp_path: Path) -> None:
    for place, text in (
        ("thermal/thermal_zone0/temp", "41500\n"),
        ("thermal/thermal_zone1/temp", "-273000\n"),
        ("hwmon/hwmon0/temp1_input", "62380\n"),
        ("hwmon/hwmon0/temp2_input", "2147483647\n"),
        ("hwmon/hwmon1/temp1_input", "broken\n"),
    ):
        sensor = tmp_path / "class" / place
        sensor.parent.mkdir(parents=True, exist_ok=True)
        sensor.write_text(text)
    assert looked(tmp_path, tmp_path)[0] == 623


def test_a_machine_that_tells_nothing(tmp_path: Path) -> None:
    assert looked(tmp_path / "gone", tmp_path) == (NO_SHARE, NO_SHARE)


@pytest.mark.parametrize(("free", "told"), [(0, 0), (12_345_678, 12), (10**15, NO_SHARE - 1)])
def test_the_room_on_the_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, told: int) -> None:
    monkeypatch.setattr(host.shutil, "disk_usage", lambda _: type("Usage", (), {"free": free}))
    assert looked(tmp_path, tmp_path)[1] == told
