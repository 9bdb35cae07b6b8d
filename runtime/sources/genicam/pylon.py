"""Basler's cameras by their maker's own library, pypylon, in the shape that harvesters has.

The library's node maps are made by the same reference implementation of GenApi as those of the package genicam, with
the same names in camel case: `ToString` for `to_string`. So what is set, read back, latched and counted there, is here.
`PYLON_CAMEMU=2` of the environment adds two emulated cameras to those that it sees.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from csflow.runtime.errors import BackendUnavailable, SourceError
from csflow.runtime.machine.install import pip_install

__all__ = ["Acquirer", "Nodes", "PylonCameras", "open_pylon"]

TRANSPORTS = {"BaslerGigE": "GEV", "BaslerUsb": "U3V", "BaslerGenTlCxp": "CXP", "BaslerCamEmu": "Custom"}
"""Device classes of pylon, and what GenTL calls their transport."""
NO_NUMBER = (1 << 64) - 1
"""The number of a frame that has none."""
FREE, HELD = 1, 4
"""DEVICE_ACCESS_STATUS (GenTL 1.6, 6.4.3): readable and writable, and open already."""


def open_pylon() -> PylonCameras:
    """All cameras that the library sees. Raises BackendUnavailable where it does not load, or cannot look."""
    try:
        from pypylon import pylon
    except ImportError as error:
        raise BackendUnavailable(
            f"pylon: needs pypylon, which does not load ({error}); install it with: {pip_install('pylon')}"
        ) from None
    try:
        return PylonCameras(pylon)
    except Exception as error:  # noqa: BLE001 - the binding's errors have no common base that is public
        raise BackendUnavailable(f"pylon cannot look for cameras: {error}") from None


class PylonCameras:
    """What harvesters' `Harvester` is: a list of cameras, each of which can be opened."""

    def __init__(self, pylon: Any) -> None:
        self._pylon = pylon
        self._factory = pylon.TlFactory.GetInstance()
        self._found = list(self._factory.EnumerateDevices())
        self.device_info_list = [self._info(device) for device in self._found]

    def _info(self, device: Any) -> Any:
        free = self._factory.IsDeviceAccessible(device)
        return SimpleNamespace(
            id_=device.GetFullName(),
            serial_number=_said(device, "SerialNumber"),
            user_defined_name=_said(device, "UserDefinedName"),
            model=_said(device, "ModelName"),
            vendor=_said(device, "VendorName"),
            access_status=FREE if free else HELD,
            tl_type=TRANSPORTS.get(_said(device, "DeviceClass"), "Custom"),
        )

    def create(self, number: int) -> Acquirer:
        """Open the camera at this place of the list."""
        return Acquirer(self._pylon, self._factory.CreateDevice(self._found[number]))

    def reset(self) -> None:
        """Nothing is held but by an acquirer."""


def _said(device: Any, word: str) -> str:
    return str(getattr(device, f"Get{word}")()) if getattr(device, f"Is{word}Available")() else ""


class Acquirer:
    """What harvesters' `ImageAcquirer` is: an open camera."""

    min_num_buffers = 1

    def __init__(self, pylon: Any, device: Any) -> None:
        self._pylon = pylon
        self._camera = pylon.InstantCamera(device)
        # Its own configuration would switch the camera's triggers off.
        self._camera.RegisterConfiguration(
            pylon.ConfigurationEventHandler(), pylon.RegistrationMode_ReplaceAll, pylon.Cleanup_Delete
        )
        self._camera.Open()
        if (mode := Nodes(self._camera.GetNodeMap()).get_node("AcquisitionMode")) is not None:
            mode.from_string("Continuous")
        self.num_buffers = 1
        self.when_incomplete: Callable[[], None] = lambda: None
        """Called for each picture of which parts are missing."""
        self.remote_device = SimpleNamespace(node_map=Nodes(self._camera.GetNodeMap()))
        self.data_streams = [SimpleNamespace(node_map=Nodes(self._camera.GetStreamGrabberNodeMap()))]

    def start(self) -> None:
        """Let pictures come."""
        self._camera.MaxNumBuffer.Value = self.num_buffers
        self._camera.StartGrabbing(self._pylon.GrabStrategy_OneByOne)

    def try_fetch(self, *, timeout: float, is_raw: bool) -> Any:  # noqa: ARG002 - harvesters' signature
        """The next picture, or None where none came, or not whole, within so many seconds."""
        if self._camera.IsCameraDeviceRemoved():
            raise SourceError("it was removed")
        result = self._camera.RetrieveResult(round(1000 * timeout), self._pylon.TimeoutHandling_Return)
        if not result.IsValid():
            return None
        if not result.GrabSucceeded():
            result.Release()
            self.when_incomplete()
            return None
        return _buffer(result)

    def stop(self) -> None:
        """Let go of the camera."""
        with contextlib.suppress(Exception):
            self._camera.StopGrabbing()
        self._camera.Close()


def _buffer(result: Any) -> Any:
    """A picture as `genicam.gentl` gives it; what the camera does not say is absent."""
    said = {}
    if result.BlockID != NO_NUMBER:
        said["frame_id"] = result.BlockID
    if result.TimeStamp:
        said["timestamp"] = result.TimeStamp
    return SimpleNamespace(
        parts=(),
        pixel_format=result.PixelType,
        width=result.Width,
        height=result.Height,
        padding_x=result.PaddingX,
        image_offset=0,
        pixel_endianness=1,
        raw_buffer=result.GetBuffer(),
        parent=SimpleNamespace(queue_buffer=lambda _: result.Release()),
        **said,
    )


class Nodes:
    """A node map, or a node, of pypylon with the names that the package genicam has."""

    def __init__(self, wrapped: Any) -> None:
        self._wrapped = wrapped

    def get_node(self, name: str) -> Nodes | None:
        """The node with this name, or None."""
        node = self._wrapped.GetNode(name)
        return Nodes(node) if node is not None and node.IsValid() else None

    @property
    def node(self) -> Nodes:
        """What the camera's description says of a feature."""
        return Nodes(self._wrapped.Node)

    @property
    def selected_features(self) -> list[Nodes]:
        """Of a selector's description."""
        return [Nodes(selected) for selected in self._wrapped.GetSelectedFeatures()]

    def __getattr__(self, word: str) -> Any:
        return getattr(self._wrapped, "".join(part.capitalize() for part in word.split("_")))

    def __dir__(self) -> list[str]:
        return [str(node.Node.Name) for node in self._wrapped.GetNodes() if node.Node.IsFeature()]
