"""GLAD's head: log-likelihoods of all feature maps, their sum as anomaly map, a high order statistic of it as score.

With c_k the logarithm of the peak of Gaussian k of C channels, z_k = A_k (x - m_k) with AᵀA = S⁻¹, and w_kp its weight
at position p, the log-likelihood of a feature vector x there is

    L(x) = log Σ_k w_kp exp(c_k - |z_k|² / 2),      c_k = -(C log 2π + log det S_k) / 2.

It is enlarged bilinearly to one size, and summed over the maps. The anomaly map is 2 (Σ max_k c_k - Σ L) / ΣC,
squared standard deviations per dimension: never negative, and in the order of -L. With `in_spread` every position is
then put into units of its own spread over good parts (`csflow.toolkit.methods.spread`). The score is half the value
that a share `quantile` of the positions exceeds, of this map or, with `score_maps`, of the one that the deepest feature
maps alone would give, without `in_spread`.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from csflow.runtime.bundle.manifest import Definitions
from csflow.toolkit.methods.glad.config import GladConfig
from csflow.toolkit.methods.ignored import KeptPlaces, enlarged
from csflow.toolkit.methods.method import Head, Shapes
from csflow.toolkit.methods.spread import PlaceSpread

__all__ = ["DEFINITIONS", "MOST_SELECTED", "NEVER", "GladHead", "LayerMixture", "rank"]

DEFINITIONS = Definitions(
    "half the map's value that a share of positions given by quantile exceeds",
    "twice the log-likelihood below the mixtures' peaks per dimension, summed over the feature maps",
)
"""Where the score is read from the map itself."""
NEVER = -1e30
"""Logarithm of a weight of 0, a finite number: a Gaussian that no good part had at a position has no part in its
likelihood, whatever comes."""
MOST_SELECTED = 3840
"""Values that TopK of TensorRT for RTX gives at most."""
PEAK_MARGIN = 1e-4
"""Per dimension, added to the peaks: above the rounding of a sum of squares, below what a score tells."""


def rank(config: GladConfig, shapes: Shapes) -> int:
    """The score is the value of this rank in the map, from the top: numpy.quantile's, method 'lower', of -map.

    Raises ValueError above `MOST_SELECTED`.
    """
    height, width = _finest(config, shapes)
    found = math.floor(config.quantile * ((config.positions or height * width) - 1)) + 1
    if found > MOST_SELECTED:
        raise ValueError(
            f"quantile {config.quantile:g} of {height}x{width} positions is their number {found} from the top, "
            f"{MOST_SELECTED} can be selected: choose a smaller one"
        )
    return found


def _finest(config: GladConfig, shapes: Shapes) -> tuple[int, int]:
    """Rows and columns of the map."""
    return (config.grid, config.grid) if config.grid else max((h, w) for _, h, w in shapes)


class LayerMixture(nn.Module):
    """The Gaussian mixture of one feature map of C channels: K Gaussians, their weights at each position."""

    def __init__(self, kept: int, channels: int, height: int, width: int) -> None:
        super().__init__()
        self.kept = kept
        self.register_buffer("mean", torch.zeros(channels, 1, 1))
        self.register_buffer("scale", torch.ones(channels, 1, 1))
        self.register_buffer("matrix", torch.zeros(kept * channels, channels, 1, 1))
        self.register_buffer("offset", torch.zeros(kept * channels))
        self.register_buffer("log_weights", torch.zeros(kept, height, width))
        self.register_buffer("peaks", torch.zeros(kept))

    def standardised(self, x: Tensor) -> Tensor:
        """(x - mean) / scale of every channel of (N, C, h, w)."""
        return (x - self.get_buffer("mean")) / self.get_buffer("scale")

    def squares(self, z: Tensor) -> Tensor:
        """Standardised (N, C, h, w) to |A_k (z - m_k)|² of all Gaussians (N, K, h, w), float32."""
        deviations = functional.conv2d(z, self.get_buffer("matrix"), self.get_buffer("offset"))
        return deviations.square().reshape(z.shape[0], self.kept, -1, *z.shape[2:]).sum(dim=2)

    def forward(self, x: Tensor) -> Tensor:
        """Log-likelihoods (N, 1, h, w) of features (N, C, h, w) above that of the highest peak: never above 0."""
        z = self.standardised(x)
        peaks = self.get_buffer("peaks")
        levels = self.get_buffer("log_weights") + (peaks - peaks.max() - PEAK_MARGIN * z.shape[1])[:, None, None]
        # Written out: runtimes take the axes of ReduceLogSumExp differently in older opsets, and all the same here.
        parts = levels - self.squares(z) / 2
        highest = parts.amax(dim=1, keepdim=True)
        total = (parts - highest).exp().sum(dim=1, keepdim=True).log() + highest
        # Maximum and exponential of some runtimes turn NaN into numbers; 0 times a feature that is none stays none.
        return total + 0.0 * z.sum(dim=1, keepdim=True)


class GladHead(Head):
    """One mixture for each feature map."""

    def __init__(self, config: GladConfig, shapes: Shapes) -> None:
        super().__init__()
        self.config = config
        self.mixtures = nn.ModuleList(
            LayerMixture(kept, *shape) for kept, shape in zip(config.kept, shapes, strict=True)
        )
        self.kept = KeptPlaces()
        self.finest = _finest(config, shapes)
        self.rank = rank(config, shapes)
        self.spread = PlaceSpread(*self.finest) if config.spread else nn.Identity()
        self.channels = [c for c, _, _ in shapes]

    def forward(self, *features: Tensor) -> tuple[Tensor, Tensor]:
        """Map features (N, C_i, h_i, w_i) to score (N,) and anomaly map (N, g, g)."""
        # What is ignored becomes 0, below all that counts.
        layers = self._enlarged(features)
        anomaly_map = self.kept.over(self.spread(self._summed(layers)))
        deepest = self.config.score_maps
        read = self.kept.over(self._summed(layers[-deepest:])) if deepest else anomaly_map
        selected = read.flatten(1).topk(self.rank, dim=1).values[:, -1]
        # A selection may pass over what is no number; the mean does not.
        return selected / 2 + 0.0 * anomaly_map.flatten(1).mean(dim=1), anomaly_map

    def likelihoods(self, *features: Tensor) -> Tensor:
        """The map (N, g, g) before a position's spread, never negative; ignored positions are not masked yet."""
        return self._summed(self._enlarged(features))

    @property
    def definitions(self) -> Definitions | None:
        """What the score is of, where it is not the map."""
        deepest, maps = self.config.score_maps, len(self.mixtures)
        if deepest in (0, maps):
            return None
        score = f"{DEFINITIONS.score}, of the map of the deepest {deepest} of {maps}"
        return dataclasses.replace(DEFINITIONS, score=score)

    def _enlarged(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Log-likelihoods (N, 1, g, g) of each feature map, never above 0."""
        wide = (f.to(torch.promote_types(f.dtype, torch.float32)) for f in features)
        masks = self.kept.masks or [None] * len(self.mixtures)
        return [
            enlarged(mixture(f), self.finest, mask) for mixture, f, mask in zip(self.mixtures, wide, masks, strict=True)
        ]

    def _summed(self, layers: Sequence[Tensor]) -> Tensor:
        """The map (N, g, g) of the deepest feature maps, as many as there are `layers`."""
        dimensions = sum(self.channels[-len(layers) :])
        return functools.reduce(torch.add, layers).squeeze(1) * (-2.0 / dimensions)

    def layers(self) -> list[LayerMixture]:
        """The mixtures, one a feature map."""
        return [mixture for mixture in self.mixtures if isinstance(mixture, LayerMixture)]
