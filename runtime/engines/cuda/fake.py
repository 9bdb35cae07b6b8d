"""A GPU made of numpy arrays: work runs when it is waited for, misuse is an AssertionError, any call can fail.

It shows what a driver would not: an address that was freed, a call without a context, memory read before the work that
writes it was waited for, and what was never given back.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from csflow.runtime.engines.cuda.api import CAN_MAP_HOST_MEMORY, INTEGRATED, CudaError, HostBlock

__all__ = ["FakeDriver", "Fault"]

Work = Callable[[], None]


@dataclass(frozen=True)
class Fault:
    """Calls that fail."""

    at: int
    """Number of the first one, from 0."""
    code: int = 700
    sticky: bool = True
    """Whether all later calls fail too, as after an illegal address."""
    call: str = ""
    """Counts calls of this name only; empty counts all."""


@dataclass
class FakeDriver:
    """A `CudaDriver` of one GPU."""

    integrated: bool = False
    no_capture: str = ""
    fault: Fault | None = None
    devices: int = 1
    name: str = "fake CUDA"
    calls: list[tuple[str, int]] = field(default_factory=list)
    """(function, thread) of every call so far."""
    live: dict[tuple[str, int], Any] = field(default_factory=dict)
    """What was not given back, by kind and number."""
    lost: list[str] = field(default_factory=list)
    """Kinds of what was not given back before its context was."""

    def __post_init__(self) -> None:
        self._numbers = itertools.count(0x1000, 0x10000000)
        self._context = threading.local()
        self._queues: dict[int, list[Work]] = {}
        self._capture: list[Work] | None = None
        self._failing = 0

    def names(self) -> list[str]:
        """The functions called, in order."""
        return [name for name, _ in self.calls]

    def depth(self) -> int:
        """How many contexts this thread has pushed."""
        return len(getattr(self._context, "stack", []))

    def view(self, address: int, size: int) -> NDArray[np.uint8]:
        """(size,) uint8 memory of the GPU at an address inside one allocation."""
        for (kind, start), array in self.live.items():
            if kind in ("device", "mapped") and start <= address and address + size <= start + array.size:
                found: NDArray[np.uint8] = array[address - start : address - start + size]
                return found
        raise AssertionError(f"{size} bytes at {address:#x} are not allocated")

    def enqueue(self, stream: int, work: Work) -> None:
        """Add work to a stream, as TensorRT does, or note it where the stream is captured."""
        assert ("stream", stream) in self.live, "the stream is not there"
        (self._queues[stream] if self._capture is None else self._capture).append(work)

    def _enter(self, call: str, context: bool = True) -> None:
        self.calls.append((call, threading.get_ident()))
        if self.fault is not None and self.fault.call in ("", call):
            counted = self._failing
            self._failing += 1
            if counted == self.fault.at or (self.fault.sticky and counted > self.fault.at):
                raise CudaError(call, "CUDA_ERROR_INJECTED", self.fault.code)
        if context:
            assert self.depth(), f"{call} without a current context"

    def _make(self, kind: str, thing: Any) -> int:
        number = next(self._numbers)
        self.live[kind, number] = thing
        return number

    def _drop(self, call: str, kind: str, number: int, context: bool = True) -> None:
        # A device that failed takes back nothing; what was tried once is no leak.
        assert (kind, number) in self.live, f"{call} of what is not there: {number:#x}"
        del self.live[kind, number]
        self._enter(call, context)

    def start(self) -> int:
        """As in `CudaDriver`, like all that follows."""
        self._enter("start", context=False)
        return self.devices

    def attribute(self, device: int, number: int) -> int:  # noqa: ARG002 - there is one device
        """INTEGRATED as `integrated` says; host memory can be mapped."""
        self._enter("attribute", context=False)
        return {INTEGRATED: int(self.integrated), CAN_MAP_HOST_MEMORY: 1}[number]

    def retain(self, device: int) -> Any:
        """The primary context."""
        self._enter("retain", context=False)
        return self._make("context", device)

    def release(self, device: int, context: Any) -> None:  # noqa: ARG002 - there is one device
        """Give it back."""
        del self.live["context", context]
        self.lost = [kind for kind, _ in self.live]
        self._enter("release", context=False)

    def push(self, context: Any) -> None:
        """Onto this thread's stack."""
        self._enter("push", context=False)
        assert ("context", context) in self.live, "the context was released"
        self._context.stack = [*getattr(self._context, "stack", []), context]

    def pop(self) -> None:
        """Off this thread's stack."""
        assert self.depth(), "nothing was pushed"
        self._context.stack.pop()
        self._enter("pop", context=False)

    def malloc(self, size: int) -> int:
        """Memory with 0xA5 in every byte."""
        self._enter("malloc")
        return self._make("device", np.full(size, 0xA5, np.uint8))

    def free(self, address: int) -> None:
        """Once."""
        self._drop("free", "device", address)

    def host_alloc(self, size: int, mapped: bool) -> HostBlock:
        """Memory with 0x5A in every byte."""
        self._enter("host_alloc")
        array = np.full(size, 0x5A, np.uint8)
        number = self._make("mapped" if mapped else "host", array)
        return HostBlock(array, number if mapped else 0, number)

    def host_free(self, block: HostBlock) -> None:
        """Once."""
        self._drop("host_free", "mapped" if block.device else "host", block.handle)

    def copy_to_device(self, address: int, block: HostBlock, size: int, stream: int) -> None:
        """When the stream is waited for."""
        self._enter("copy_to_device")
        self.enqueue(stream, lambda: np.copyto(self.view(address, size), block.array[:size]))

    def copy_to_host(self, block: HostBlock, address: int, size: int, stream: int) -> None:
        """When the stream is waited for."""
        self._enter("copy_to_host")
        self.enqueue(stream, lambda: np.copyto(block.array[:size], self.view(address, size)))

    def make_stream(self) -> int:
        """Empty."""
        self._enter("make_stream")
        stream = self._make("stream", None)
        self._queues[stream] = []
        return stream

    def destroy_stream(self, stream: int) -> None:
        """Once."""
        self._drop("destroy_stream", "stream", stream)

    def make_event(self) -> int:
        """Not recorded yet."""
        self._enter("make_event")
        return self._make("event", [])

    def destroy_event(self, event: int) -> None:
        """Once."""
        self._drop("destroy_event", "event", event)

    def record(self, event: int, stream: int) -> None:
        """Takes the work enqueued so far."""
        self._enter("record")
        assert self._capture is None, "an event inside a capture cannot be waited for"
        self.live["event", event], self._queues[stream] = self._queues[stream], []

    def wait(self, event: int) -> None:
        """Runs the work before it."""
        self._enter("wait")
        work, self.live["event", event] = self.live["event", event], []
        for each in work:
            each()

    def begin_capture(self, stream: int) -> None:
        """One at a time."""
        self._enter("begin_capture")
        assert ("stream", stream) in self.live
        assert self._capture is None, "captured already"
        assert not self.no_capture, self.no_capture
        self._capture = []

    def end_capture(self, stream: int) -> int:
        """A graph of the work noted."""
        assert ("stream", stream) in self.live
        assert self._capture is not None, "nothing is captured"
        work, self._capture = self._capture, None
        self._enter("end_capture")
        return self._make("graph", work)

    def launch(self, graph: int, stream: int) -> None:
        """All its work."""
        self._enter("launch")
        for work in self.live["graph", graph]:
            self.enqueue(stream, work)

    def destroy_graph(self, graph: int) -> None:
        """Once."""
        self._drop("destroy_graph", "graph", graph, context=False)
