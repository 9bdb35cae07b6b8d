"""What is asked of a worker, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from csflow.export.fleet.products import Product
from csflow.toolkit.backbones.config import BackboneConfig

__all__ = ["VERBS", "Outcome", "Task"]

VERBS = {"train": "trained", "calibrate": "calibrated", "export": "exported", "verify": "verified"}
"""What can be done for every product, in the order of the work; and what it is then."""


@dataclass(frozen=True)
class Task:
    """One thing to do for one product."""

    verb: str
    product: Product
    work: Path
    """The fleet's folder."""
    fresh: bool = False
    """Do it again where it is done."""
    shared: tuple[Path, BackboneConfig] | None = None
    """Where features lie that several products read, and what of the backbone they are; None: its alone."""


@dataclass(frozen=True)
class Outcome:
    """What became of a task."""

    problem: str = ""
    """In one line; empty where all went well."""
    final: bool = False
    """Whether another try would end the same: settings or pictures are wrong."""
    seconds: float = 0.0
    skipped: bool = False
    """It was done before, with the same settings and pictures."""
