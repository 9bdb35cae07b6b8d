"""Results to a web page that people watch, and to Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from csflow.runtime.errors import BackendUnavailable, ConfigError, SinkError
from csflow.runtime.machine.install import pip_install
from csflow.runtime.page.access import Access, Address
from csflow.runtime.page.facts import Beside, PageInfo
from csflow.runtime.page.files.shift import ShiftFile
from csflow.runtime.page.labelling import Labelling
from csflow.runtime.page.state import LiveState
from csflow.runtime.sink import OutputReport
from csflow.runtime.types import Frame, Result

__all__ = ["PageSink"]


class PageSink:
    """Serves the live page at / and metrics at /metrics. `write` keeps references and returns: it needs no queue."""

    def __init__(
        self,
        address: str,
        info: PageInfo,
        token: str | None = None,
        reports: Callable[[], Sequence[OutputReport]] = lambda: (),
        absent: Callable[[], Collection[str]] = lambda: (),
        operator_token: str | None = None,
        labelling: Labelling | None = None,
        beside: Beside | None = None,
    ) -> None:
        """Begin to serve.

        Args:
            address: HOST:PORT; port 0 takes a free one.
            token: who gives it may see the page; needed where other machines can reach the address.
            reports: gives the counts of the run's other outputs, which the page shows.
            absent: gives the names of the cameras that are not there.
            operator_token: who gives it may see the page too, and label.
            labelling: where to; None for a page that only shows.
            beside: what is shown beside the run; None is nothing.

        Raises:
            ConfigError: no address, one that needs a token, labelling without the operator's, no other run, no
                language, or another run counts in the shift's file.
            SinkError: the address is taken, or is not of this machine; the shift's folder cannot be written.
            BackendUnavailable: a library is missing.
        """
        where = Address.parse(address)
        access = Access(where, token, operator_token)
        if labelling is not None and operator_token is None:
            raise ConfigError(
                "who may label has a token of their own: set CSFLOW_OPERATOR_TOKEN to at least 16 characters"
            )
        self._state = LiveState(info, reports, absent)
        self._closed = False
        try:
            from csflow.runtime.page.server import PageServer
        except ImportError as error:
            raise BackendUnavailable(
                f"the live page needs starlette, uvicorn and prometheus-client, of which one does not load ({error}); "
                f"install them with: {pip_install('serve')}"
            ) from None
        beside = beside or Beside()
        self._shift = None if beside.shift is None else ShiftFile(beside.shift)
        try:
            self._server = PageServer(where, access, self._state, labelling, beside)
        except BaseException:
            if self._shift is not None:
                self._shift.close()
            raise
        if self._shift is not None:
            if self._shift.kept is not None:
                self._state.go_on(self._shift.kept)
            self._shift.follow(self._state.shift)

    @property
    def url(self) -> str:
        """Where the page is."""
        return self._server.url

    def write(self, result: Result, frame: Frame | None) -> None:
        """Show the result."""
        if self._closed:
            raise SinkError("the page is closed")
        self._state.add(result, frame)

    def close(self) -> None:
        """Serve no more. May be called twice."""
        self._closed = True
        self._server.close()
        if self._shift is not None:
            self._shift.close()

    def __enter__(self) -> PageSink:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
