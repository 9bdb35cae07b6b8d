"""CUDA by pycuda, always in the primary context and never by `pycuda.autoinit`, whose context TensorRT does not use.

pycuda has no graphs; where cuda-bindings is installed too, it captures pycuda's stream.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from csflow.runtime.engines.cuda.api import CudaError, HostBlock
from csflow.runtime.engines.cuda.bindings_driver import GraphCapture
from csflow.runtime.errors import BackendUnavailable
from csflow.runtime.machine.install import pip_install

__all__ = ["PycudaDriver"]

OUT_OF_MEMORY = 2
NON_BLOCKING = 1
"""CU_STREAM_NON_BLOCKING; pycuda passes flags of streams on and has no names for them."""


def _load() -> tuple[Any, str]:
    try:
        return importlib.import_module("pycuda.driver"), str(importlib.import_module("pycuda").VERSION_TEXT)
    except (ImportError, OSError) as error:
        said = " ".join(str(error).split())
        raise BackendUnavailable(f"pycuda does not load ({said}): {pip_install('pycuda')}") from None


class PycudaDriver:
    """All of `CudaDriver` by pycuda; its functions are documented there. Objects of pycuda are kept by their number."""

    def __init__(self) -> None:
        """Raises BackendUnavailable where pycuda is not installed."""
        self._cuda, version = _load()
        self.name = f"pycuda {version}"
        self._kept: dict[int, Any] = {}
        try:
            self._capture: GraphCapture | None = GraphCapture()
            self.no_capture = ""
        except BackendUnavailable:
            self._capture, self.no_capture = None, "pycuda has no CUDA graphs: pip install cuda-bindings beside it"

    @contextlib.contextmanager
    def _translated(self, call: str) -> Iterator[None]:
        try:
            yield
        except self._cuda.Error as error:
            code = OUT_OF_MEMORY if isinstance(error, self._cuda.MemoryError) else -1
            raise CudaError(call, " ".join(str(error).split()), code) from None

    def _keep(self, number: int, thing: Any) -> int:
        self._kept[number] = thing
        return number

    def start(self) -> int:
        """cuInit, and how many GPUs there are."""
        try:
            self._cuda.init()
            return int(self._cuda.Device.count())
        except self._cuda.Error as error:
            raise BackendUnavailable(f"CUDA does not start ({error}): 'csflow doctor' says what is missing") from None

    def attribute(self, device: int, number: int) -> int:
        """A CUdevice_attribute."""
        with self._translated("get_attribute"):
            return int(self._cuda.Device(device).get_attribute(self._cuda.device_attribute(number)))

    def retain(self, device: int) -> Any:
        """The primary context."""
        with self._translated("retain_primary_context"):
            return self._cuda.Device(device).retain_primary_context()

    def release(self, device: int, context: Any) -> None:  # noqa: ARG002 - pycuda knows it by its context
        """Give it back."""
        with self._translated("detach"):
            context.detach()

    def push(self, context: Any) -> None:
        """Make it current here."""
        with self._translated("push"):
            context.push()

    def pop(self) -> None:
        """Undo `push`."""
        with self._translated("pop"):
            self._cuda.Context.pop()

    def malloc(self, size: int) -> int:
        """Bytes on the GPU."""
        with self._translated("mem_alloc"):
            block = self._cuda.mem_alloc(size)
        return self._keep(int(block), block)

    def free(self, address: int) -> None:
        """Give them back."""
        with self._translated("free"):
            self._kept.pop(address).free()

    def host_alloc(self, size: int, mapped: bool) -> HostBlock:
        """Page-locked bytes."""
        flags = int(self._cuda.host_alloc_flags.DEVICEMAP) if mapped else 0
        with self._translated("pagelocked_empty"):
            array = self._cuda.pagelocked_empty(size, np.uint8, mem_flags=flags)
            return HostBlock(array, int(array.base.get_device_pointer()) if mapped else 0, array.base)

    def host_free(self, block: HostBlock) -> None:
        """Give them back."""
        with self._translated("free"):
            block.handle.free()

    def copy_to_device(self, address: int, block: HostBlock, size: int, stream: int) -> None:
        """Enqueue a copy."""
        with self._translated("memcpy_htod_async"):
            self._cuda.memcpy_htod_async(address, block.array[:size], self._kept[stream])

    def copy_to_host(self, block: HostBlock, address: int, size: int, stream: int) -> None:
        """Enqueue a copy."""
        with self._translated("memcpy_dtoh_async"):
            self._cuda.memcpy_dtoh_async(block.array[:size], address, self._kept[stream])

    def make_stream(self) -> int:
        """A non-blocking stream."""
        with self._translated("Stream"):
            stream = self._cuda.Stream(NON_BLOCKING)
        return self._keep(int(stream.handle), stream)

    def destroy_stream(self, stream: int) -> None:
        """Give it back: pycuda destroys it with its object."""
        del self._kept[stream]

    def make_event(self) -> int:
        """A blocking event without timing."""
        flags = self._cuda.event_flags
        with self._translated("Event"):
            event = self._cuda.Event(int(flags.BLOCKING_SYNC) | int(flags.DISABLE_TIMING))
        return self._keep(id(event), event)

    def destroy_event(self, event: int) -> None:
        """Give it back: pycuda destroys it with its object."""
        del self._kept[event]

    def record(self, event: int, stream: int) -> None:
        """Mark the stream's end so far."""
        with self._translated("record"):
            self._kept[event].record(self._kept[stream])

    def wait(self, event: int) -> None:
        """Sleep until the mark is reached."""
        with self._translated("synchronize"):
            self._kept[event].synchronize()

    def _graphs(self) -> GraphCapture:
        if self._capture is None:
            raise CudaError("capture", self.no_capture, -1)
        return self._capture

    def begin_capture(self, stream: int) -> None:
        """By cuda-bindings."""
        self._graphs().begin_capture(stream)

    def end_capture(self, stream: int) -> int:
        """By cuda-bindings."""
        return self._graphs().end_capture(stream)

    def launch(self, graph: int, stream: int) -> None:
        """By cuda-bindings."""
        self._graphs().launch(graph, stream)

    def destroy_graph(self, graph: int) -> None:
        """By cuda-bindings."""
        self._graphs().destroy_graph(graph)
