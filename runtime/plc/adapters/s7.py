"""Siemens S7 as client: csflow reads its orders from a data block of the controller and writes its report there.

    byte 0 to 63      what the controller wants     written by its program
    byte 64 to 319    what csflow says              written by csflow, the result before the status

The data block must not be optimised, and PUT/GET must be permitted. Extra: s7.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

from csflow.runtime.errors import BackendUnavailable
from csflow.runtime.machine.install import pip_install
from csflow.runtime.plc.adapters.serving import address
from csflow.runtime.plc.exchange import Exchange
from csflow.runtime.plc.process_image import ORDER_REGISTERS, REPORT_REGISTERS, Orders, Report, pack, unpack
from csflow.runtime.plc.settings import S7

__all__ = ["S7Client"]

ORDER_BYTES, REPORT_BYTES = 2 * ORDER_REGISTERS, 2 * REPORT_REGISTERS
RESULT_BYTE = 32
"""Where the result block begins: it is written before the status that tells of it."""
RETRY_S = 1.0
JOIN_S = 5.0

log = logging.getLogger("csflow.plc")


class S7Client:
    """See the module. Polls in a thread of its own; a controller that cannot be reached is tried each second."""

    def __init__(self, settings: S7, exchange: Exchange, controls: bool) -> None:
        """Begin to poll; with `controls` the data block's orders are the station's.

        Raises ConfigError where the address is none, BackendUnavailable where python-snap7 is missing.
        """
        self._host, self._port = address(settings.address, "s7.address")
        self._make = _library()
        self._settings, self._exchange, self._controls = settings, exchange, controls
        self.name = f"s7 {settings.address} DB{settings.db}"
        self._told: str | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="csflow-plc-s7", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            client = self._make()
            try:
                client.connect(self._host, self._settings.rack, self._settings.slot, self._port)
                self._tell("")
                self._poll(client)
            except Exception as error:  # noqa: BLE001 - the library raises many kinds; each is a controller not reached
                self._tell(" ".join(str(error).split()) or type(error).__name__)
                self._stop.wait(RETRY_S)
            finally:
                _leave(client)

    def _poll(self, client: Any) -> None:
        db, period_s = self._settings.db, self._settings.period_ms / 1e3
        written = b""
        while not self._stop.is_set():
            next_s = time.monotonic() + period_s
            if self._controls:
                self._take(bytes(client.db_read(db, 0, ORDER_BYTES)))
            report = pack(self._exchange.report)
            if report != written:
                client.db_write(db, ORDER_BYTES + RESULT_BYTE, bytearray(report[RESULT_BYTE:]))
                client.db_write(db, ORDER_BYTES, bytearray(report[:RESULT_BYTE]))
                written = report
            self._stop.wait(max(0.0, next_s - time.monotonic()))

    def _take(self, block: bytes) -> None:
        orders = unpack(Orders, block)
        # An empty block is no controller that commands: another client may have control.
        if orders != Orders() or self._exchange.holder == self.name:
            self._exchange.order(self.name, lambda _: orders)

    def _tell(self, problem: str) -> None:
        if problem != self._told:
            self._told = problem
            log.warning("%s: %s", self.name, f"not reached: {problem}" if problem else "reached")

    @property
    def alive(self) -> bool:
        """Whether it polls."""
        return self._thread.is_alive()

    def close(self) -> None:
        """Leave the controller with a report of zeros: no verdict, not ready. May be called twice."""
        if self._stop.is_set():
            return
        self._stop.set()
        self._thread.join(JOIN_S)
        self._exchange.leave(self.name)
        client = self._make()
        try:
            client.connect(self._host, self._settings.rack, self._settings.slot, self._port)
            client.db_write(self._settings.db, ORDER_BYTES, bytearray(pack(Report())))
        except Exception:  # noqa: BLE001 - as above: who cannot be reached reads nothing
            log.info("%s: not reached at the end", self.name)
        finally:
            _leave(client)


def _leave(client: Any) -> None:
    try:
        client.disconnect()
    except Exception:  # noqa: BLE001 - as above
        log.debug("the connection was gone already")


def _library() -> Any:
    try:
        from snap7.client import Client
    except ImportError as error:
        raise BackendUnavailable(
            f"[s7] needs python-snap7, which does not load ({error}); install it with: {pip_install('s7')}"
        ) from None
    return Client
