"""The process that holds the camera's library: opens a camera, sets it, and sends its pictures through a pipe.

A producer is a maker's native code. Here it can hang, crash or print what it likes: its process is killed, and the run
goes on. Started as `python -m csflow.runtime.sources.genicam.driver WISH HANDLE`; it ends when standard input does.
"""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from csflow.runtime import schema
from csflow.runtime.errors import BackendUnavailable, CSFlowError, SourceError, SourceLost
from csflow.runtime.machine.install import pip_install
from csflow.runtime.picture.colour import grey_or_rgb
from csflow.runtime.picture.pfnc import PixelFormat, unpack
from csflow.runtime.sources.genicam.clock import CameraClock, Chunks, frame_id_of
from csflow.runtime.sources.genicam.counters import Counters
from csflow.runtime.sources.genicam.devices import Device, chosen, device_of, producers
from csflow.runtime.sources.genicam.features import apply_features
from csflow.runtime.sources.genicam.outbox import Outbox
from csflow.runtime.sources.genicam.packets import FIRE
from csflow.runtime.sources.genicam.pylon import Acquirer, open_pylon
from csflow.runtime.sources.genicam.wish import Wish

__all__ = ["Camera", "drive", "exposure_ns_of", "main", "open_harvester", "open_library", "picture_of", "stamps_of"]

FETCH_S = 0.2
LEAVE_S = 3.0
OLDEST_NS = 60_000_000_000
"""A stamp that is older by the host's clock is of a clock that was set anew."""
BIG_ENDIAN = 2
"""PIXELENDIANNESS_BIG (GenTL 1.6, 6.4.3)."""


def main(words: Sequence[str]) -> None:
    """Drive what the first word wishes; the second is the descriptor to write to."""
    wish = schema.from_mapping(Wish, schema.parse_json(words[0].encode()))
    ending, fired = threading.Event(), queue.SimpleQueue[None]()
    threading.Thread(target=_listen, args=(ending, fired), daemon=True).start()
    outbox = Outbox(int(words[1]), wish.buffers)
    try:
        drive(wish, outbox, ending, fired)
    except CSFlowError as error:
        outbox.tell({"event": "failed", "kind": type(error).__name__, "message": str(error)})
    outbox.close()
    # A producer's threads may hang at the end of the interpreter.
    os._exit(0)


def _listen(ending: threading.Event, fired: queue.SimpleQueue[None]) -> None:
    while heard := os.read(0, 64):
        for _ in range(heard.count(FIRE)):
            fired.put(None)
    ending.set()
    # Who asked may be gone: nobody else ends a driver that hangs and holds the camera.
    time.sleep(LEAVE_S)
    os._exit(1)


def drive(wish: Wish, outbox: Outbox, ending: threading.Event, fired: queue.SimpleQueue[None]) -> None:
    """Open the camera and send its pictures until `ending`; for each item in `fired` its software trigger is executed.

    Raises:
        BackendUnavailable: harvesters, genicam or a producer is not installed, or does not load.
        ConfigError: the camera has no such feature.
        SourceError: it is not there, held by another program, or does not take its settings.
        SourceLost: it failed after it was opened.
    """
    with contextlib.closing(Camera(wish)) as camera:
        read = apply_features(camera.nodes, wish.features, camera.name, wish.strict, outbox.warn)
        camera.start()
        outbox.tell({"event": "opened", "device": camera.device.label, "features": read})
        threading.Thread(target=_fire, args=(camera, fired, ending), daemon=True).start()
        while not ending.is_set():
            camera.step(outbox)
        fired.put(None)


def _fire(camera: Camera, fired: queue.SimpleQueue[None], ending: threading.Event) -> None:
    """In a thread of its own: the other one waits for the picture."""
    while not ending.is_set():
        fired.get()
        if not ending.is_set():
            camera.fire()


class Camera:
    """An acquirer of harvesters, or of what has its shape, and the order in which things are to be done with it."""

    def __init__(self, wish: Wish) -> None:
        """Open it. Raises as `drive`."""
        library = open_library(wish)
        self._library = library
        devices = [device_of(info) for info in library.device_info_list]
        number = chosen(devices, wish.name)
        self.device: Device = devices[number]
        self.name = f"the camera {self.device.label}"
        if self.device.problem:
            raise SourceError(f"{self.name} cannot be opened: {self.device.problem}")
        try:
            self._acquirer: Any = library.create(number)
        except Exception as error:  # noqa: BLE001 - the binding's errors have no common base that is public
            raise SourceError(f"{self.name} cannot be opened: {_why(error)}") from None
        self._acquirer.num_buffers = max(wish.buffers, self._acquirer.min_num_buffers)
        self._incomplete = 0
        _tell_incomplete(self._acquirer, self.count_incomplete)
        self.nodes: Any = self._acquirer.remote_device.node_map
        self._clock, self._chunks = CameraClock(self.nodes), Chunks(self.nodes)
        self._counters: Counters | None = None
        self._missed, self._stamps_begin = wish.missed, wish.stamp == "begin"

    def count_incomplete(self) -> None:
        """A picture came of which parts were lost on the way."""
        self._incomplete += 1

    def start(self) -> None:
        """Let pictures come."""
        try:
            self._acquirer.start()
        except Exception as error:  # noqa: BLE001 - as above
            raise SourceError(f"{self.name} does not start: {_why(error)}") from None
        self._counters = Counters(self.nodes, getattr(self._acquirer, "data_streams", ()), self._missed)

    def fire(self) -> None:
        """Execute the software trigger. Where the camera does not take it, whoever waits for the picture tells."""
        with contextlib.suppress(Exception):
            self.nodes.get_node("TriggerSoftware").execute()

    def step(self, outbox: Outbox) -> None:
        """Send what comes within a moment, or that the camera still answers."""
        before = self._incomplete
        try:
            buffer = self._acquirer.try_fetch(timeout=FETCH_S, is_raw=True)
            if buffer is not None:
                self._send(buffer, outbox)
            elif self._incomplete > before:
                outbox.tell({"event": "incomplete"})
            else:
                # Nothing to see may be right; a camera that is gone does not answer this.
                self.nodes.get_node("PixelFormat").to_string()
                # A picture after an hour would be dated by a comparison as old.
                self._clock.compare()
                outbox.tell({"event": "idle"})
        except CSFlowError:
            raise
        except Exception as error:  # noqa: BLE001 - as above
            raise SourceLost(f"{self.name} failed: {_why(error)}") from None

    def _send(self, buffer: Any, outbox: Outbox) -> None:
        arrived_ns = time.monotonic_ns()
        try:
            said = self._chunks.read()
            exposure_ns = exposure_ns_of(self.nodes, said) if self._stamps_begin else 0
            told: dict[str, Any] = {"event": "picture", **stamps_of(buffer, self._clock, arrived_ns, exposure_ns)}
            told["camera"] |= {**said, **self._counted(outbox)}
            image = picture_of(buffer)
        finally:
            buffer.parent.queue_buffer(buffer)
        outbox.picture(told, image)
        self._clock.compare()

    def _counted(self, outbox: Outbox) -> dict[str, int]:
        if self._counters is None:
            return {}
        found = self._counters.read()
        if words := self._counters.warning():
            outbox.warn(f"{self.name}: {words}")
        return found

    def close(self) -> None:
        """Stop and let go of the camera, whatever state it is in."""
        with contextlib.suppress(Exception):
            self._acquirer.stop()
        with contextlib.suppress(Exception):
            self._library.reset()


def exposure_ns_of(nodes: Any, chunks: Mapping[str, float]) -> int:
    """How long a picture was exposed, by its chunk data, else by what the camera is set to; 0 where it says neither."""
    exposure_us = chunks.get("ChunkExposureTime")
    if exposure_us is None:
        with contextlib.suppress(Exception):
            exposure_us = nodes.get_node("ExposureTime").value
    return 0 if exposure_us is None else round(1000 * exposure_us)


def stamps_of(buffer: Any, clock: CameraClock, arrived_ns: int, exposure_ns: int = 0) -> dict[str, Any]:
    """When a buffer's picture was taken, and what the camera says about it; what it does not say is absent.

    The moment is the camera's stamp by the host's clock where the two can be compared and it lies before the arrival,
    else the arrival.

    Args:
        exposure_ns: time from the stamp to the end of the exposure.
    """
    camera: dict[str, Any] = {}
    captured_ns = arrived_ns
    if (number := frame_id_of(buffer)) is not None:
        camera["frame_id"] = number
    if (device_ns := clock.device_ns(buffer)) is not None:
        camera["device_ns"] = device_ns
        if (found := clock.host_ns(device_ns)) and 0 <= arrived_ns - found[0] + found[1] <= OLDEST_NS:
            captured_ns = min(found[0] + exposure_ns, arrived_ns)
            camera["clock_error_ns"] = found[1]
    return {"captured_ns": captured_ns, "camera": camera}


def picture_of(buffer: Any) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """A copy of a buffer's picture, or of its first part that is one: (H, W) grey or (H, W, 3) RGB.

    Args:
        buffer: as `genicam.gentl` gives it.

    Raises:
        SourceError: it holds no picture, or in a format that csflow does not read.
    """
    from harvesters.util.pfnc import dict_by_ints

    part = next((part for part in buffer.parts if part.width and part.height), None)
    value, width, height, padding, offset = (
        (buffer.pixel_format, buffer.width, buffer.height, buffer.padding_x, buffer.image_offset)
        if part is None
        else (part.data_format, part.width, part.height, part.x_padding, part.data_offset)
    )
    name = PixelFormat.parse(dict_by_ints.get(value, f"{value:#x}"))
    # Not what harvesters makes of the bytes: its 1.4.3 leaves padding in.
    data = np.frombuffer(buffer.raw_buffer, np.uint8)[offset:]
    samples = unpack(data, name, (width, height), padding, buffer.pixel_endianness == BIG_ENDIAN)
    image = grey_or_rgb(samples, name)
    return image.copy() if np.shares_memory(image, data) else image


def _tell_incomplete(acquirer: Any, call: Callable[[], None]) -> None:
    if isinstance(acquirer, Acquirer):
        acquirer.when_incomplete = call
        return
    from harvesters.core import Callback

    class Counting(Callback):  # type: ignore[misc]
        def emit(self, context: object = None) -> None:  # noqa: ARG002 - harvesters' signature
            call()

    acquirer.add_callback(acquirer.Events.INCOMPLETE_BUFFER, Counting())


def open_library(wish: Wish) -> Any:
    """What opens the camera of a wish: harvesters with the producers that it names, or pylon in the same shape.

    Raises:
        SourceError: the producer that it names is no file.
        BackendUnavailable: a library or a producer is missing or does not load.
    """
    return open_pylon() if wish.library == "pylon" else open_harvester(producers(wish.cti))


def open_harvester(paths: Sequence[str]) -> Any:
    """harvesters' own object with these producers loaded and their cameras listed.

    Raises BackendUnavailable where a library or a producer does not load.
    """
    try:
        from harvesters.core import Harvester
    except ImportError as error:
        raise BackendUnavailable(
            f"genicam: needs harvesters and genicam, of which one does not load ({error}); "
            f"install them with: {pip_install('genicam')}"
        ) from None
    harvester: Any = Harvester()
    try:
        for path in paths:
            harvester.add_file(path, check_validity=True)
        harvester.update()
    except Exception as error:  # noqa: BLE001 - as above
        raise BackendUnavailable(f"the GenTL producers {', '.join(paths)} do not load: {_why(error)}") from None
    return harvester


def _why(error: Exception) -> str:
    words = " ".join(str(error).split())[:200] or type(error).__name__
    kind = type(error).__name__
    if kind in ("ResourceInUseException", "AccessDeniedException"):
        return f"another program has it ({words})"
    return words


if __name__ == "__main__":
    main(sys.argv[1:])
