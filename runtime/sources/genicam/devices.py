"""GenTL producers on this machine, and the cameras that they see."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from csflow.runtime.errors import BackendUnavailable, SourceError

__all__ = ["PATH_VARIABLE", "Device", "chosen", "device_of", "producers"]

PATH_VARIABLE = "GENICAM_GENTL64_PATH"
READ_WRITE = (0, 1)
"""DEVICE_ACCESS_STATUS (GenTL 1.6, 6.4.3): unknown, and readable and writable."""
ACCESS = {
    2: "another program controls it",
    3: "it does not answer: is its address in this machine's network?",
    4: "another program has it",
    5: "another program has it",
}


@dataclass(frozen=True)
class Device:
    """A camera as its producer tells; what the producer does not know is empty."""

    id: str
    serial: str
    user_name: str
    model: str
    vendor: str
    access: int
    """DEVICE_ACCESS_STATUS."""
    transport: str
    """GEV (GigE Vision), U3V (USB3 Vision), CXP, CL, ... or Custom."""

    @property
    def label(self) -> str:
        """For people."""
        called = f" {self.user_name!r}" if self.user_name else ""
        return f"{self.serial or self.id} ({self.vendor} {self.model}{called})"

    @property
    def problem(self) -> str:
        """Why it cannot be opened now; empty where nothing is known against it."""
        return "" if self.access in READ_WRITE else ACCESS.get(self.access, f"its access status is {self.access}")


def producers(cti: str = "") -> list[str]:
    """Paths of GenTL producers: `cti`, or all in the folders that GENICAM_GENTL64_PATH names.

    Raises:
        SourceError: `cti` is no file.
        BackendUnavailable: none is installed.
    """
    if cti:
        if not os.path.isfile(cti):
            raise SourceError(f"there is no GenTL producer {cti}: expected the path of a .cti file")
        return [os.path.abspath(cti)]
    folders = [Path(folder) for folder in os.environ.get(PATH_VARIABLE, "").split(os.pathsep) if folder]
    found = sorted({str(path) for folder in folders if folder.is_dir() for path in folder.glob("*.cti")})
    if not found:
        where = f"{PATH_VARIABLE} names {', '.join(map(str, folders))}" if folders else f"{PATH_VARIABLE} is not set"
        raise BackendUnavailable(
            f"no GenTL producer is known ({where}): install the software of the camera's maker and log in again, or "
            "name its .cti file: 'genicam:?cti=/path/to/producer.cti'"
        )
    return found


def device_of(info: Any) -> Device:
    """What a producer's device information says; a field that it does not know raises there, and is empty here."""

    def told(word: str, otherwise: Any = "") -> Any:
        try:
            return getattr(info, word)
        except Exception:  # noqa: BLE001 - the binding's errors have no common base that is public
            return otherwise

    return Device(
        id=str(told("id_")),
        serial=str(told("serial_number")),
        user_name=str(told("user_defined_name")),
        model=str(told("model")),
        vendor=str(told("vendor")),
        access=int(told("access_status", 0)),
        transport=str(told("tl_type")),
    )


def chosen(devices: Sequence[Device], name: str) -> int:
    """Position of the camera that `name` names: by id, serial number, name given to it, or model, in this order.

    Raises SourceError where none or several are meant.
    """
    there = f"there are {', '.join(device.label for device in devices)}" if devices else "no camera is seen"
    if not name:
        if len(devices) == 1:
            return 0
        raise SourceError(f"which camera? {there}" + (": name one by its serial number" if devices else ""))
    for word in ("id", "serial", "user_name", "model"):
        same = [number for number, device in enumerate(devices) if getattr(device, word) == name]
        if len(same) == 1:
            return same[0]
        if same:
            labels = ", ".join(devices[number].label for number in same)
            raise SourceError(f"{name!r} names several cameras: {labels}; name one by its serial number")
    raise SourceError(f"there is no camera {name!r}; {there}")
