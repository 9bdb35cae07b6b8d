"""What a bundle's file says about itself, wherever it is found: who made it, from what, and under whose licence."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from csflow.toolkit.config import BACKBONE, ModelConfig

__all__ = ["origin"]

TOLD = ("source", "sha256", "fingerprint", "licence")
"""What is passed on of `provenance.backbone_weights`, where it is known."""


def origin(graph: str, config: ModelConfig, provenance: Mapping[str, Any]) -> dict[str, str]:
    """Facts about the weights of one graph: csflow's version, and its backbone and weights or its method.

    The same backbone has the same facts in every bundle, so that its file is the same too.

    Args:
        graph: its name in the manifest.
        provenance: of the manifest.
    """
    made_by = {"csflow": version("csflow"), "graph": graph}
    if graph != BACKBONE:
        return {**made_by, "method": config.method}
    weights = provenance.get("backbone_weights", {})
    told = {f"weights_{key}": str(weights[key]) for key in TOLD if key in weights}
    return {**made_by, "backbone": config.backbone.name, **told}
