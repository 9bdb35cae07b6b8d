"""Options of multi-scale patches."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from csflow.toolkit.options import settled

__all__ = ["PatchesConfig", "PatchesTraining", "cell_of", "more_of", "patches_of"]


@dataclass(frozen=True)
class PatchesConfig:
    """Which patches are cut, how they are described, and how many good ones are remembered."""

    sizes: tuple[int, ...] = (16, 32, 64)
    """Sides of the patches in pixels, rising; each size reads a stage of its own, small patches an early one."""
    strides: tuple[int, ...] = (4, 4, 16)
    """Pixels from one patch to the next, for each size: the paper's. Time grows with the inverse square."""
    dimensions: int = 64
    """Numbers that describe a patch, as in the paper: principal components of the trunk's mean features."""
    encoder: str = "components"
    """'components': in closed form, in seconds; 'trained': convolutions of its own for each size, learnt from the good
    parts as in the paper, in hours."""
    bank: int = 10_000
    """Good patches of each size that are remembered, at most: those farthest from the ones kept before. 0: all, as in
    the paper; 4 bytes for each, times `dimensions`, and a product with each patch of a frame."""
    combine: str = "normalised"
    """'normalised': each size's distances in units of good parts' own; 'published': the plain sum of the paper."""
    kept: tuple[int, ...] = settled(())
    """Patches in the bank of each size."""

    def __post_init__(self) -> None:
        if not self.sizes or len(self.sizes) != len(self.strides) or list(self.sizes) != sorted({*self.sizes}):
            raise ValueError("sizes must rise, and have as many strides")
        if any(size < 8 or not 0 < stride <= size for size, stride in patches_of(self)):
            raise ValueError("sizes must be at least 8 px, and strides lie between 1 and the size")
        if self.dimensions < 1:
            raise ValueError("dimensions must be at least 1")
        if self.bank < 0:
            raise ValueError("bank must be at least 1 patch, or 0 for all")
        if self.encoder not in ("components", "trained"):
            raise ValueError("encoder must be components or trained")
        if self.combine not in ("normalised", "published"):
            raise ValueError("combine must be normalised or published")


@dataclass(frozen=True)
class PatchesTraining:
    """How embeddings and banks are made; all but the seed are of trained encoders."""

    seed: int = 0
    """Seeds the draw of the patches that a bank is chosen from, first weights, and what encoders see."""
    epochs: int = 100
    """Of trained encoders: as in the paper's code."""
    patches: int = 100
    """Patches of each size and picture in an epoch."""
    learning_rate: float = 1e-5
    """Adam's."""
    similarity: float = 1e-3
    """Weight of the similarity loss beside the position loss."""
    clusters: int = 50
    """Centres of the cluster loss for each size; the paper's best. It counts from epoch 11 on."""
    finetune: bool = False
    """Train the network itself, too, as the paper does."""

    def __post_init__(self) -> None:
        if min(self.epochs, self.patches, self.clusters) < 1:
            raise ValueError("epochs, patches and clusters must be at least 1")
        if not (self.learning_rate > 0.0 and self.similarity >= 0.0):
            raise ValueError("learning_rate must be above 0, and similarity not below")
        if not 0 <= self.seed < 1 << 32:
            raise ValueError("seed must lie in 0..2^32-1")


def more_of(config: PatchesConfig) -> dict[str, Any]:
    """What a backbone's configuration says of patches."""
    trained = config.dimensions if config.encoder == "trained" else 0
    return {"patches": patches_of(config), "embedding": trained}


def patches_of(config: PatchesConfig) -> tuple[tuple[int, int], ...]:
    """(size, stride) of each size, in pixels."""
    return tuple(zip(config.sizes, config.strides, strict=True))


def cell_of(config: PatchesConfig) -> int:
    """Side in pixels of the squares that all patches consist of: the map has one position for each."""
    return math.gcd(*config.sizes, *config.strides)
