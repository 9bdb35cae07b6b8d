"""What a user may ask of the decision gate."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["GateChoice"]


@dataclass(frozen=True)
class GateChoice:
    """What the user wants of the gate."""

    int8: bool = False
    """Make the flow in INT8 too."""
    images: Path | None = None
    """Folder of pictures beside the golden frames."""
    limit: int | None = None
    """At most so many of them."""
    skip: bool = False
