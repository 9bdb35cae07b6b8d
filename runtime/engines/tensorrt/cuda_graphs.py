"""CUDA graphs of what an engine enqueues: one launch instead of hundreds, and plain enqueueing where that fails."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from csflow.runtime.engines.cuda.api import CudaError, DeviceError
from csflow.runtime.engines.cuda.session import Session

__all__ = ["Graphs"]


class Graphs:
    """One graph for each batch size, of addresses that do not change."""

    def __init__(self, session: Session, refused: str = "") -> None:
        """Nothing is captured where `refused` says why."""
        self._session = session
        self._graphs: dict[int, int] = {}
        self.refused = refused or session.driver.no_capture
        """Why there are no graphs; empty where there are."""

    def launch(self, frames: int) -> bool:
        """Enqueue the graph of this size; False where there is none. Raises CudaError."""
        graph = self._graphs.get(frames)
        if graph is not None:
            self._session.driver.launch(graph, self._session.stream)
        return graph is not None

    def capture(self, frames: int, enqueue: Callable[[], None]) -> None:
        """Note what `enqueue` does as the graph of this size; does nothing where graphs are refused, or it is there.

        Call it after a plain run of the same size, for TensorRT sets itself up in the first run after a new shape.

        Raises DeviceError where the GPU failed, and not the capture alone.
        """
        if self.refused or frames in self._graphs:
            return
        driver, stream = self._session.driver, self._session.stream
        try:
            driver.begin_capture(stream)
            try:
                enqueue()
            except BaseException as error:
                self._leave_capture(error)
                raise
            self._graphs[frames] = driver.end_capture(stream)
        except DeviceError as error:
            if isinstance(error, CudaError) and not error.only_refuses_capture:
                raise
            self.refuse(f"the stream is not captured: {error}")

    def refuse(self, why: str) -> None:
        """Enqueue plainly from now on. Raises CudaError."""
        self.refused = why
        while self._graphs:
            self._session.driver.destroy_graph(self._graphs.popitem()[1])

    def _leave_capture(self, error: BaseException) -> None:
        driver = self._session.driver
        try:
            driver.destroy_graph(driver.end_capture(self._session.stream))
        except CudaError as ending:
            # A capture that broke ends with an error that says so; any other is the GPU's, unless it was told already.
            if not (ending.only_refuses_capture or isinstance(error, CudaError)):
                raise ending from error

    def close(self) -> None:
        """Forget the graphs, whatever the GPU says."""
        while self._graphs:
            with contextlib.suppress(CudaError):
                self._session.driver.destroy_graph(self._graphs.popitem()[1])
