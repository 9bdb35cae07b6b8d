"""The adapters there are, and what each does: carry the two blocks of the process image, and nothing else."""

from __future__ import annotations

import importlib
import logging
import time
from typing import Protocol, runtime_checkable

from csflow.runtime.errors import CSFlowError
from csflow.runtime.plc.exchange import Exchange
from csflow.runtime.plc.settings import ADAPTERS, Settings

__all__ = ["Adapter", "Adapters", "open_adapter"]

CHECK_S = 0.5
AGAIN_S = 5.0

log = logging.getLogger("csflow.plc")


@runtime_checkable
class Adapter(Protocol):
    """Runs in threads of its own from the time it is made."""

    name: str
    """What a person calls it: kind and address."""

    @property
    def alive(self) -> bool:
        """Whether its threads run; false once one has ended, by a defect or with its device."""

    def close(self) -> None:
        """Serve nobody any more, with every output at not OK. May be called twice."""


def open_adapter(kind: str, settings: Settings, exchange: Exchange) -> Adapter:
    """Open the adapter of a section of station.toml, which is there.

    Raises ConfigError where an address is taken or wrong, BackendUnavailable where a library is missing, SourceError
    where a chip or line is not there.
    """
    module, name = ADAPTERS[kind]
    make = getattr(importlib.import_module(module), name)
    adapter: Adapter = make(getattr(settings, kind), exchange, settings.station.control == kind)
    return adapter


class Adapters:
    """Every adapter that station.toml names; one that dies is opened again, and the others go on meanwhile."""

    def __init__(self, settings: Settings, exchange: Exchange) -> None:
        """Open them. Raises as `open_adapter` does, and then none is open."""
        self._settings, self._exchange = settings, exchange
        self._open: dict[str, Adapter] = {}
        self._next_s = 0.0
        try:
            for kind in ADAPTERS:
                if getattr(settings, kind) is not None:
                    self._open[kind] = open_adapter(kind, settings, exchange)
        except BaseException:
            self.close()
            raise

    @property
    def names(self) -> list[str]:
        """What people call them."""
        return [adapter.name for adapter in self._open.values()]

    def check(self) -> None:
        """Look after them, at most twice a second: call it at each scan."""
        now_s = time.monotonic()
        if now_s < self._next_s:
            return
        self._next_s = now_s + CHECK_S
        for kind, adapter in self._open.items():
            if not adapter.alive:
                self._again(kind, adapter)

    def _again(self, kind: str, dead: Adapter) -> None:
        log.error("%s has ended: it is opened again", dead.name)
        dead.close()
        try:
            self._open[kind] = open_adapter(kind, self._settings, self._exchange)
        except CSFlowError as error:
            log.error("%s cannot be opened: %s", dead.name, error)
            self._next_s = time.monotonic() + AGAIN_S

    def close(self) -> None:
        """Close all of them."""
        for adapter in self._open.values():
            adapter.close()
