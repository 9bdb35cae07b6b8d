"""What one engine holds of a GPU: the primary context, a stream, an event and memory, given back once and in order."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from csflow.runtime.engines.cuda.api import CAN_MAP_HOST_MEMORY, INTEGRATED, CudaDriver, CudaError, HostBlock

__all__ = ["DEVICE", "Session", "Staged"]

DEVICE = 0
"""The GPU that CUDA lists first; CUDA_VISIBLE_DEVICES says which that is."""


class Staged:
    """Memory that the processor writes and the GPU reads, or the other way round.

    On a discrete GPU page-locked memory and its twin on the GPU, with asynchronous copies between them; on an
    integrated one the same memory for both, and nothing is copied.
    """

    def __init__(self, session: Session, size: int) -> None:
        self._session = session
        self.host = session.host_alloc(size)
        self.device = self.host.device or session.malloc(size)
        """Address for the GPU."""

    def to_device(self, size: int) -> None:
        """Enqueue what the GPU needs to see the first bytes."""
        if not self.host.device:
            self._session.driver.copy_to_device(self.device, self.host, size, self._session.stream)

    def to_host(self, size: int) -> None:
        """Enqueue what the processor needs to see the first bytes."""
        if not self.host.device:
            self._session.driver.copy_to_host(self.host, self.device, size, self._session.stream)


class Session:
    """Use `with session.current():` around everything that touches the GPU, in whichever thread that is."""

    def __init__(self, driver: CudaDriver) -> None:
        """Retain the primary context and make a stream; raises CudaError, and then holds nothing."""
        self.driver = driver
        self._returns: list[Callable[[], None]] = []
        self.stream = self.event = 0
        self._context = driver.retain(DEVICE)
        try:
            self.mapped = all(driver.attribute(DEVICE, number) for number in (INTEGRATED, CAN_MAP_HOST_MEMORY))
            """Whether processor and GPU share memory, so that copies can be spared."""
            with self.current():
                self.stream = self._held(driver.make_stream(), driver.destroy_stream)
                self.event = self._held(driver.make_event(), driver.destroy_event)
        except BaseException:
            self.close()
            raise

    @contextlib.contextmanager
    def current(self) -> Iterator[None]:
        """Make the context current in this thread."""
        self.driver.push(self._context)
        try:
            yield
        except BaseException:
            # The first error is the one to tell.
            with contextlib.suppress(CudaError):
                self.driver.pop()
            raise
        self.driver.pop()

    def _held(self, handle: int, give_back: Callable[[int], None]) -> int:
        self._returns.append(lambda: give_back(handle))
        return handle

    def malloc(self, size: int) -> int:
        """Bytes on the GPU until `close`."""
        return self._held(self.driver.malloc(size), self.driver.free)

    def host_alloc(self, size: int) -> HostBlock:
        """Page-locked bytes until `close`, mapped where that spares copies."""
        block = self.driver.host_alloc(size, self.mapped)
        self._returns.append(lambda: self.driver.host_free(block))
        return block

    def stage(self, size: int) -> Staged:
        """Bytes for both, until `close`."""
        return Staged(self, size)

    def finish(self) -> None:
        """Wait until everything enqueued is done; raises what it failed with."""
        self.driver.record(self.event, self.stream)
        self.driver.wait(self.event)

    def close(self, before: Callable[[], None] | None = None) -> None:
        """Give everything back, the last first; may be called twice. A GPU that fails does not keep it from going on.

        Args:
            before: called first, with the context current and the stream idle where the GPU still answers, to drop what
                uses the memory.
        """
        context, self._context = self._context, None
        if context is None:
            return
        with contextlib.ExitStack() as stack:
            stack.callback(_attempt, lambda: self.driver.release(DEVICE, context))
            pushed = _attempt(lambda: self.driver.push(context))
            # Memory cannot be freed without its context; it goes with it.
            for give_back in (self.driver.pop, *self._returns) if pushed else ():
                stack.callback(_attempt, give_back)
            if before is not None:
                stack.callback(before)
            if pushed and self.event:
                _attempt(self.finish)


def _attempt(action: Callable[[], None]) -> bool:
    try:
        action()
    except CudaError:
        return False
    return True
