"""Where csflow keeps what it can make again: compiled models and measured choices of this machine."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["cache_directory", "cache_location"]


def cache_location() -> Path | None:
    """`$CSFLOW_CACHE`, else `$XDG_CACHE_HOME/csflow`, else ~/.cache/csflow; None where this user has no home."""
    if own := os.environ.get("CSFLOW_CACHE"):
        return Path(own)
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "csflow"
    try:
        return Path.home() / ".cache" / "csflow"
    except RuntimeError:
        return None


def cache_directory() -> Path | None:
    """`cache_location`, made where it is missing; None where nothing can be written.

    A read-only home, or none at all, is normal on an edge box: then every start does the work anew.
    """
    directory = cache_location()
    return directory if directory is not None and _writable(directory) else None


def _writable(directory: Path) -> bool:
    probe = directory / f".writable-{os.getpid()}"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError:
        return False
    return True
