"""Options of GLAD."""

from __future__ import annotations

import math
from dataclasses import dataclass

from csflow.toolkit.options import later, settled

__all__ = ["GladConfig", "GladTraining"]


@dataclass(frozen=True)
class GladConfig:
    """What the mixtures are, and how the score is read from the map."""

    components: int = 50
    """Gaussians that each feature map's mixture starts with; fewer where it has not C + 1 samples for each (of C
    channels). Those left with fewer are dropped. Time of fit, size and time a frame grow with it ([GLAD](glad.md))."""
    quantile: float = 0.0049
    """Share of the map's positions that may lie above the score; the paper's best."""
    components_each: tuple[int, ...] = later(())
    """Gaussians that each feature map's mixture starts with, finest first; empty: `components` for each."""
    score_maps: int = later(0)
    """How many feature maps the score is read from, the deepest; the map is the sum of all. 0: all, as in the paper. On
    the magnetic tiles stage 5 told made defects apart better alone, and with stage 4 outlined them better
    ([a real run](mtd.md#score-of-stage-5-map-of-stages-4-and-5))."""
    kept: tuple[int, ...] = settled(())
    """Gaussians of each feature map's mixture."""
    positions: int = settled(0)
    """Positions of the map that count, of which `quantile` is a share; 0: all."""
    grid: int = settled(0)
    """Side of the map, to which the feature maps' are enlarged; 0, of older bundles: that of the finest."""
    spread: bool = later(False, is_settled=True)
    """Whether positions are in units of their spread; those of older bundles are not."""

    def started(self, maps: int) -> tuple[int, ...]:
        """Gaussians that the mixture of each of so many feature maps starts with.

        Raises ValueError where `components_each` or `score_maps` speak of other numbers of them.
        """
        if self.components_each and len(self.components_each) != maps:
            raise ValueError(f"components_each={self.components_each}, there are {maps} feature maps: give {maps}")
        if self.score_maps > maps:
            raise ValueError(f"score_maps={self.score_maps}, there are {maps} feature maps: give {maps} at most")
        return self.components_each or (self.components,) * maps

    def __post_init__(self) -> None:
        if min(self.components, *self.components_each, *self.kept, 1) < 1:
            raise ValueError("components must be at least 1")
        if self.score_maps < 0:
            raise ValueError("score_maps must not be negative")
        if self.positions < 0:
            raise ValueError("positions must not be negative")
        if not 0.0 <= self.quantile < 1.0:
            raise ValueError("quantile must lie in 0..1, below 1")


@dataclass(frozen=True)
class GladTraining:
    """How the mixtures are fitted."""

    passes: int = 8
    """k-MLE passes at most; fewer where hardly a sample changes its Gaussian any more."""
    ridge: float = 0.01
    """Added to every variance, in units of the channel's own; the paper does not state one, PaDiM has 0.01."""
    samples: int = 200_000
    """Feature vectors of each map that the Gaussians are fitted to, as many of every picture; 4 bytes for each and
    channel are in memory. Weights of positions are counted over all vectors."""
    seed: int = 0
    """Seeds the choice of the samples and the first clusters."""
    in_spread: bool = False
    """Put every position of the map into units of its own spread over the good parts; the paper does not."""

    def __post_init__(self) -> None:
        if self.passes < 1:
            raise ValueError("passes must be at least 1")
        if not (math.isfinite(self.ridge) and self.ridge > 0.0):
            raise ValueError("ridge must be above 0")
        if self.samples < 2:
            raise ValueError("samples must be at least 2")
        if not 0 <= self.seed < 1 << 32:
            raise ValueError("seed must lie in 0..2^32-1")
