"""What a library would tell its maker stays here."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["without_telemetry"]

TELEMETRY = "openvino_telemetry"


@contextmanager
def without_telemetry() -> Iterator[None]:
    """Import OpenVINO in here: it sends nothing and leaves nothing in the user's home.

    On import the package sends an event to Google Analytics, from a process that it forks, and keeps a client's id in
    `~/intel` (openvino/tools/ovc/__init__.py and openvino_telemetry 2025.2, seen with OpenVINO 2026.4). Where that
    other package is missing it has a stand-in that does nothing. What has imported OpenVINO before is left alone.
    """
    if TELEMETRY in sys.modules:
        yield
        return
    # How Python writes that there is no such module.
    sys.modules[TELEMETRY] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[TELEMETRY]
