"""What a user may ask of the decision gate."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.errors import ConfigError

__all__ = ["GateChoice"]

ROUNDED = "cs-flow"
"""The method whose head consists of dense convolutions."""


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

    def require_possible(self, bundle: Bundle) -> None:
        """Raise ConfigError where INT8 is wanted of a bundle whose last graph is no flow: little could be rounded."""
        method = bundle.manifest.method
        if self.int8 and method != ROUNDED:
            raise ConfigError(
                f"--int8 rounds the convolutions of a flow, and {bundle.path} is of the method {method}: export it "
                "without --int8; for speed, train it with --backbone-precision int8"
            )
