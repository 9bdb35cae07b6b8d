"""What the machine tells of itself: its temperature, and the room that is left on the disk."""

from __future__ import annotations

import contextlib
import shutil
import threading
from pathlib import Path

from csflow.runtime.plc.process_image import NO_SHARE

__all__ = ["Host"]

EVERY_S = 5.0
SENSORS = ("class/thermal/thermal_zone*/temp", "class/hwmon/hwmon*/temp*_input")
LIKELY_MC = range(1, 150_000)
"""Thousandths of a degree Celsius; sensors that are not connected tell numbers far outside."""


class Host:
    """Looks every five seconds, in a thread of its own: a disk that hangs does not hold up the line."""

    def __init__(self, folder: Path, system: Path = Path("/sys")) -> None:
        """Begin to look.

        Args:
            folder: on the disk whose room is told.
            system: where the kernel shows its sensors.
        """
        self._folder, self._system = folder, system
        self.temperature_x10 = NO_SHARE
        """Of the hottest sensor, in tenths of a degree Celsius."""
        self.free_disk_mb = NO_SHARE
        """65534 is that much or more."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="csflow-plc-host", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            self.temperature_x10 = self._temperature()
            self.free_disk_mb = self._free()
            if self._stop.wait(EVERY_S):
                return

    def _temperature(self) -> int:
        found = []
        for pattern in SENSORS:
            for sensor in self._system.glob(pattern):
                with contextlib.suppress(OSError, ValueError):
                    found.append(int(sensor.read_text(encoding="ascii")))
        return max((one // 100 for one in found if one in LIKELY_MC), default=NO_SHARE)

    def _free(self) -> int:
        try:
            return min(shutil.disk_usage(self._folder).free // 1_000_000, NO_SHARE - 1)
        except OSError:
            return NO_SHARE

    def close(self) -> None:
        """Look no more. Does not wait."""
        self._stop.set()
