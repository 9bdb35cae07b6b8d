"""One thing that `csflow doctor` found."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["STATUSES", "Finding"]

STATUSES = ("ok", "missing", "warning")


@dataclass(frozen=True)
class Finding:
    """What is there, or what is not and how to get it."""

    topic: str
    status: str
    """One of `STATUSES`: 'ok' works, 'missing' is not there, 'warning' is there but wrong or short."""
    what: str
    """One line."""
    fix: str = ""
    """The one command or action that closes the gap; empty where there is no gap, or none that software closes."""
