"""What an engine asks of CUDA: memory, one stream, events and graphs of the primary context.

Handles and device addresses are integers. Every function but `start`, `attribute`, `retain`, `release` and `push` needs
the context to be current in the calling thread. Each raises CudaError.

The primary context is the one that TensorRT uses, by way of the CUDA runtime; a context of one's own, as
`pycuda.autoinit` makes, is current in one thread only and TensorRT's memory does not live there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["CAN_MAP_HOST_MEMORY", "INTEGRATED", "CudaDriver", "CudaError", "DeviceError", "HostBlock"]

INTEGRATED = 18
"""CU_DEVICE_ATTRIBUTE_INTEGRATED: the GPU's memory is the processor's."""
CAN_MAP_HOST_MEMORY = 19
"""CU_DEVICE_ATTRIBUTE_CAN_MAP_HOST_MEMORY."""
OUT_OF_MEMORY = 2
CAPTURE_REFUSED = (OUT_OF_MEMORY, 800, 801, *range(900, 910))
"""CUresult of a stream that cannot be captured, or of too little memory for a graph: the GPU is as before."""


class DeviceError(Exception):
    """The GPU, or what runs on it, failed; it is not asked again."""

    step = "open it again; 'csflow doctor' checks the GPU"
    """What to do about it."""


class CudaError(DeviceError):
    """A CUDA call failed."""

    def __init__(self, call: str, name: str, code: int) -> None:
        super().__init__(f"{call} says {name} ({code})")
        self.code = code
        """CUresult; -1 where there is none."""
        if code == OUT_OF_MEMORY:
            self.step = "close other programs that use the GPU, or build with a smaller --batch"

    @property
    def only_refuses_capture(self) -> bool:
        """Whether work that is enqueued without a graph may still succeed."""
        return self.code in CAPTURE_REFUSED


@dataclass(frozen=True)
class HostBlock:
    """Page-locked memory of the processor, which the GPU copies from and to, or reaches directly."""

    array: NDArray[np.uint8]
    """(size,) uint8."""
    device: int
    """Its address for the GPU; 0 where it is not mapped."""
    handle: Any
    """What the driver frees it by."""


class CudaDriver(Protocol):
    """One library for CUDA."""

    name: str
    """Library and version."""
    no_capture: str
    """Why it captures no graphs; empty where it does."""

    def start(self) -> int:
        """Initialise CUDA (cuInit); returns the number of GPUs. Raises BackendUnavailable where there is no driver."""

    def attribute(self, device: int, number: int) -> int:
        """A CUdevice_attribute by its number in cuda.h."""

    def retain(self, device: int) -> Any:
        """The primary context, kept alive until `release`."""

    def release(self, device: int, context: Any) -> None:
        """Give the primary context back."""

    def push(self, context: Any) -> None:
        """Make a context current in this thread."""

    def pop(self) -> None:
        """Make the one before it current again."""

    def malloc(self, size: int) -> int:
        """Bytes on the GPU."""

    def free(self, address: int) -> None:
        """Give them back."""

    def host_alloc(self, size: int, mapped: bool) -> HostBlock:
        """Page-locked bytes; mapped ones have an address for the GPU."""

    def host_free(self, block: HostBlock) -> None:
        """Give them back."""

    def copy_to_device(self, address: int, block: HostBlock, size: int, stream: int) -> None:
        """Enqueue a copy of the block's first bytes."""

    def copy_to_host(self, block: HostBlock, address: int, size: int, stream: int) -> None:
        """Enqueue a copy into the block's first bytes."""

    def make_stream(self) -> int:
        """A stream that does not wait for the default one."""

    def destroy_stream(self, stream: int) -> None:
        """Give it back."""

    def make_event(self) -> int:
        """An event that a waiting thread sleeps for, and does not spin."""

    def destroy_event(self, event: int) -> None:
        """Give it back."""

    def record(self, event: int, stream: int) -> None:
        """Let the event come after all that was enqueued so far."""

    def wait(self, event: int) -> None:
        """Return once the event has come. Raises what the work before it failed with."""

    def begin_capture(self, stream: int) -> None:
        """From now on this thread's work on the stream is noted, and not run."""

    def end_capture(self, stream: int) -> int:
        """A graph of what was noted, ready to be launched. The stream runs work again, also where this raises."""

    def launch(self, graph: int, stream: int) -> None:
        """Enqueue a graph."""

    def destroy_graph(self, graph: int) -> None:
        """Give it back."""
