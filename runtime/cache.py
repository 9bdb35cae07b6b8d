"""Where csflow keeps what it can make again: compiled models and measured choices of this machine."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["cache_directory"]


def cache_directory() -> Path:
    """`$CSFLOW_CACHE`, else `$XDG_CACHE_HOME/csflow`, else ~/.cache/csflow. Delete it at will."""
    if own := os.environ.get("CSFLOW_CACHE"):
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "csflow"
