"""CUDA by NVIDIA's cuda-bindings: the driver's own functions, graphs among them."""

from __future__ import annotations

import ctypes
import importlib
import importlib.metadata
from typing import Any

import numpy as np

from csflow.runtime.engines.cuda.api import CudaError, HostBlock
from csflow.runtime.errors import BackendUnavailable

__all__ = ["BindingsDriver", "GraphCapture"]


def _load() -> Any:
    try:
        return importlib.import_module("cuda.bindings.driver")
    except (ImportError, OSError) as error:
        said = " ".join(str(error).split())
        raise BackendUnavailable(
            f"cuda-bindings does not load ({said}): pip install cuda-bindings, of the CUDA version of your driver"
        ) from None


class _Calls:
    """Calls of the driver; a CUresult other than 0 is raised."""

    def __init__(self) -> None:
        self.cuda = _load()

    def __call__(self, function: str, *arguments: Any) -> Any:
        try:
            code, *values = getattr(self.cuda, function)(*arguments)
        except (RuntimeError, AttributeError) as error:
            # The library's way to say that the driver, or a function in it, is not there.
            raise CudaError(function, " ".join(str(error).split()), -1) from None
        if int(code):
            raise CudaError(function, code.name, int(code))
        return values[0] if values else None


class GraphCapture:
    """Graphs of streams, whichever library made the stream."""

    def __init__(self) -> None:
        """Raises BackendUnavailable where cuda-bindings is not installed."""
        self._call = _Calls()

    def begin_capture(self, stream: int) -> None:
        """Only this thread's calls count, so that others may allocate meanwhile."""
        mode = self._call.cuda.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
        self._call("cuStreamBeginCapture", stream, mode)

    def end_capture(self, stream: int) -> int:
        """The graph, instantiated."""
        noted = self._call("cuStreamEndCapture", stream)
        try:
            return int(self._call("cuGraphInstantiate", noted, 0))
        finally:
            self._call("cuGraphDestroy", noted)

    def launch(self, graph: int, stream: int) -> None:
        """Enqueue a graph."""
        self._call("cuGraphLaunch", graph, stream)

    def destroy_graph(self, graph: int) -> None:
        """Give it back."""
        self._call("cuGraphExecDestroy", graph)


class BindingsDriver(GraphCapture):
    """All of `CudaDriver` by cuda-bindings; its functions are documented there."""

    no_capture = ""

    def __init__(self) -> None:
        """Raises BackendUnavailable where cuda-bindings is not installed."""
        super().__init__()
        self.name = f"cuda-bindings {importlib.metadata.version('cuda-bindings')}"

    def start(self) -> int:
        """cuInit, and how many GPUs there are."""
        try:
            self._call("cuInit", 0)
            return int(self._call("cuDeviceGetCount"))
        except CudaError as error:
            raise BackendUnavailable(f"CUDA does not start ({error}): 'csflow doctor' says what is missing") from None

    def attribute(self, device: int, number: int) -> int:
        """A CUdevice_attribute."""
        return int(self._call("cuDeviceGetAttribute", self._call.cuda.CUdevice_attribute(number), device))

    def retain(self, device: int) -> Any:
        """The primary context."""
        return self._call("cuDevicePrimaryCtxRetain", device)

    def release(self, device: int, context: Any) -> None:  # noqa: ARG002 - CUDA knows it by its device
        """Give it back."""
        self._call("cuDevicePrimaryCtxRelease", device)

    def push(self, context: Any) -> None:
        """Make it current here."""
        self._call("cuCtxPushCurrent", context)

    def pop(self) -> None:
        """Undo `push`."""
        self._call("cuCtxPopCurrent")

    def malloc(self, size: int) -> int:
        """Bytes on the GPU."""
        return int(self._call("cuMemAlloc", size))

    def free(self, address: int) -> None:
        """Give them back."""
        self._call("cuMemFree", address)

    def host_alloc(self, size: int, mapped: bool) -> HostBlock:
        """Page-locked bytes."""
        address = int(self._call("cuMemHostAlloc", size, self._call.cuda.CU_MEMHOSTALLOC_DEVICEMAP if mapped else 0))
        try:
            device = int(self._call("cuMemHostGetDevicePointer", address, 0)) if mapped else 0
        except CudaError:
            self._call("cuMemFreeHost", address)
            raise
        array = np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(address))
        return HostBlock(array, device, address)

    def host_free(self, block: HostBlock) -> None:
        """Give them back."""
        self._call("cuMemFreeHost", block.handle)

    def copy_to_device(self, address: int, block: HostBlock, size: int, stream: int) -> None:
        """Enqueue a copy."""
        self._call("cuMemcpyHtoDAsync", address, block.handle, size, stream)

    def copy_to_host(self, block: HostBlock, address: int, size: int, stream: int) -> None:
        """Enqueue a copy."""
        self._call("cuMemcpyDtoHAsync", block.handle, address, size, stream)

    def make_stream(self) -> int:
        """A non-blocking stream."""
        return int(self._call("cuStreamCreate", self._call.cuda.CUstream_flags.CU_STREAM_NON_BLOCKING))

    def destroy_stream(self, stream: int) -> None:
        """Give it back."""
        self._call("cuStreamDestroy", stream)

    def make_event(self) -> int:
        """A blocking event without timing."""
        flags = self._call.cuda.CUevent_flags
        both = int(flags.CU_EVENT_BLOCKING_SYNC) | int(flags.CU_EVENT_DISABLE_TIMING)
        return int(self._call("cuEventCreate", both))

    def destroy_event(self, event: int) -> None:
        """Give it back."""
        self._call("cuEventDestroy", event)

    def record(self, event: int, stream: int) -> None:
        """Mark the stream's end so far."""
        self._call("cuEventRecord", event, stream)

    def wait(self, event: int) -> None:
        """Sleep until the mark is reached."""
        self._call("cuEventSynchronize", event)
