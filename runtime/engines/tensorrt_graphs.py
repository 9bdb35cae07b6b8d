"""The CUDA graph of what an engine enqueues: one launch instead of hundreds, and plain enqueueing where that fails."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from csflow.runtime.cuda.api import CudaError, DeviceError
from csflow.runtime.cuda.session import Session

__all__ = ["Graphs"]


class Graphs:
    """The graph of one batch size and of addresses that do not change.

    The first run of a size is enqueued plainly, as TensorRT asks for before a capture; so batch sizes that alternate
    are never captured.
    """

    def __init__(self, session: Session, refused: str = "") -> None:
        """Nothing is captured where `refused` says why."""
        self._session = session
        self._graph: int | None = None
        self._warm = False
        self.refused = refused or session.driver.no_capture
        """Why there are no graphs; empty where there are."""

    def run(self, enqueue: Callable[[], None]) -> None:
        """Enqueue one run. Raises DeviceError where that fails without a graph too."""
        if self._graph is None and self._warm and not self.refused:
            self._capture(enqueue)
        if self._graph is not None:
            self._session.driver.launch(self._graph, self._session.stream)
        else:
            enqueue()
        self._warm = True

    def _capture(self, enqueue: Callable[[], None]) -> None:
        driver, stream = self._session.driver, self._session.stream
        try:
            driver.begin_capture(stream)
            try:
                enqueue()
            except BaseException as error:
                self._leave_capture(error)
                raise
            self._graph = driver.end_capture(stream)
        except DeviceError as error:
            if isinstance(error, CudaError) and not error.only_refuses_capture:
                raise
            self.refused = f"the stream is not captured: {error}"

    def _leave_capture(self, error: BaseException) -> None:
        driver = self._session.driver
        try:
            driver.destroy_graph(driver.end_capture(self._session.stream))
        except CudaError as ending:
            # A capture that broke ends with an error that says so; any other is the GPU's, unless it was told already.
            if not (ending.only_refuses_capture or isinstance(error, CudaError)):
                raise ending from error

    def drop(self) -> None:
        """Forget the graph: shapes change. Raises CudaError."""
        self._warm = False
        graph, self._graph = self._graph, None
        if graph is not None:
            self._session.driver.destroy_graph(graph)

    def close(self) -> None:
        """Forget the graph, whatever the GPU says."""
        with contextlib.suppress(CudaError):
            self.drop()
