"""The adapters there are, and what each does: carry the two blocks of the process image, and nothing else."""

from __future__ import annotations

import importlib
from typing import Protocol, runtime_checkable

from csflow.runtime.plc.exchange import Exchange
from csflow.runtime.plc.settings import ADAPTERS, Settings

__all__ = ["Adapter", "open_adapters"]


@runtime_checkable
class Adapter(Protocol):
    """Runs in threads of its own from the time it is made."""

    name: str
    """What a person calls it: kind and address."""

    def close(self) -> None:
        """Serve nobody any more, with every output at not OK. May be called twice."""


def open_adapters(settings: Settings, exchange: Exchange) -> list[Adapter]:
    """Open every adapter that station.toml names.

    Raises ConfigError where an address is taken or wrong, BackendUnavailable where a library is missing; then none is
    open.
    """
    opened: list[Adapter] = []
    try:
        for kind, (module, name) in ADAPTERS.items():
            section = getattr(settings, kind)
            if section is not None:
                make = getattr(importlib.import_module(module), name)
                opened.append(make(section, exchange, settings.station.control == kind))
    except BaseException:
        for adapter in opened:
            adapter.close()
        raise
    return opened
