"""Mahalanobis distance of pooled features: one Gaussian over whole pictures for the score, one a place for the map.

Score: of every feature map the mean and the standard deviation of each channel over all positions, together a vector
x of D numbers; half its squared Mahalanobis distance per dimension, (x - m)ᵀ S⁻¹ (x - m) / 2D, with mean m and shrunk
covariance S over the good pictures (Rippel, Mertens, Merhof, ICPR 2020, take the means alone).

Map: at every position the squared Mahalanobis distance of the feature vector to the mean of that position, per
dimension, with one covariance for all positions of a feature map; coarser maps are enlarged bilinearly to the size of
the finest, and dimensions of all maps count alike.

Each covariance S is shrunk towards its own diagonal: with the correlations C, it becomes (1 - a) C + a I.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from csflow.runtime.bundle.manifest import Definitions
from csflow.runtime.errors import DataError
from csflow.toolkit.backbones.backbone import Features
from csflow.toolkit.features import FeatureFiles
from csflow.toolkit.methods.method import SCORE_FLOOR, Fitted, Head, Reading, Shapes, Workplace

__all__ = [
    "Mahalanobis",
    "MahalanobisConfig",
    "MahalanobisHead",
    "MahalanobisTraining",
    "Whitening",
    "left_out_scores",
    "pooled",
]

PLACE_SHRINKAGE = 0.01
"""a of the covariances of places: of their many vectors Ledoit and Wolf's would be about 0, and a channel that hardly
varies could then outweigh all others."""
STILL = 1e-6
"""A channel whose standard deviation is smaller never varied: rounding shall not become an anomaly."""


@dataclass(frozen=True)
class MahalanobisConfig:
    """The shapes of the features tell all there is to know of the head."""


@dataclass(frozen=True)
class MahalanobisTraining:
    """How the Gaussian of whole pictures is fitted."""

    shrinkage: float | None = None
    """a in 0..1, above 0: share of the identity in the correlations of pooled features. Unless given, Ledoit and Wolf's
    estimate (Journal of Multivariate Analysis 88, 2004)."""

    def __post_init__(self) -> None:
        if self.shrinkage is not None and not 0.0 < self.shrinkage <= 1.0:
            raise ValueError("shrinkage must lie above 0 and at most at 1")


class Whitening(nn.Module):
    """x -> W (x - mean) / scale at every position, so that the good pictures' covariance becomes the identity."""

    def __init__(self, channels: int, height: int, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels, height, width))
        self.register_buffer("scale", torch.ones(channels, 1, 1))
        self.register_buffer("matrix", torch.eye(channels)[:, :, None, None])

    @torch.no_grad()
    def set(self, mean: Tensor, covariance: Tensor, shrinkage: float | None, samples: Tensor | None = None) -> float:
        """Take these moments (float64); returns the shrinkage, which is estimated from `samples` (N, C) where None."""
        deviation = covariance.diagonal().sqrt()
        scale = torch.where(deviation > STILL, deviation, torch.ones_like(deviation))
        correlation = covariance / (scale[:, None] * scale)
        correlation.fill_diagonal_(1.0)
        if shrinkage is None:
            shrinkage = _ledoit_wolf((samples - mean.flatten()) / scale) if samples is not None else 1.0
        identity = torch.eye(len(scale), dtype=torch.float64)
        root = torch.linalg.cholesky((1.0 - shrinkage) * correlation + shrinkage * identity)
        self.get_buffer("mean").copy_(mean)
        self.get_buffer("scale").copy_(scale[:, None, None])
        self.get_buffer("matrix").copy_(torch.linalg.solve_triangular(root, identity, upper=False)[:, :, None, None])
        return shrinkage

    def standardised(self, x: Tensor) -> Tensor:
        """(x - mean) / scale of (N, C, h, w)."""
        return (x - self.get_buffer("mean")) / self.get_buffer("scale")

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, h, w) to the same."""
        return functional.conv2d(self.standardised(x), self.get_buffer("matrix"))


class MahalanobisHead(Head):
    """One whitening of pooled features, and one of each feature map."""

    def __init__(self, config: MahalanobisConfig, shapes: Shapes) -> None:
        super().__init__()
        self.config = config
        self.picture = Whitening(2 * sum(c for c, _, _ in shapes), 1, 1)
        self.places = nn.ModuleList(Whitening(*shape) for shape in shapes)
        self.finest = max((h, w) for _, h, w in shapes)

    def forward(self, *features: Tensor) -> tuple[Tensor, Tensor]:
        """Map features (N, C_i, h_i, w_i) to score (N,) and anomaly map (N, h, w) of the finest."""
        whole = tuple(f.to(torch.promote_types(f.dtype, torch.float32)) for f in features)
        z = self.picture(pooled(whole))
        score = z.square().mean(dim=(1, 2, 3)) / 2 + SCORE_FLOOR
        squares = [place(f).square() for place, f in zip(self.places, whole, strict=True)]
        distances = [self._enlarged(s.sum(dim=1, keepdim=True)) for s in squares]
        return score, functools.reduce(torch.add, distances).squeeze(1) / sum(s.shape[1] for s in squares)

    def whitenings(self) -> list[Whitening]:
        """Those of single places, one a feature map."""
        return [place for place in self.places if isinstance(place, Whitening)]

    def _enlarged(self, x: Tensor) -> Tensor:
        same = tuple(x.shape[2:]) == self.finest
        return x if same else functional.interpolate(x, self.finest, mode="bilinear", align_corners=False)


def pooled(features: Features) -> Tensor:
    """(N, D, 1, 1): mean and standard deviation of every channel over all positions."""
    means = [f.mean(dim=(2, 3), keepdim=True) for f in features]
    squares = [(f - m).square().mean(dim=(2, 3), keepdim=True) for f, m in zip(features, means, strict=True)]
    return torch.cat([*means, *(s.sqrt() for s in squares)], dim=1)


class Mahalanobis:
    """Two Gaussians over features, fitted in one pass and in closed form."""

    name = "mahalanobis"
    graph = "mahalanobis"
    definitions = Definitions(
        "half squared Mahalanobis distance per dimension of pooled means and deviations",
        "squared Mahalanobis distance per dimension to the mean of the position",
    )
    reading = Reading(scales=1, stages=(2, 4, 5))
    config = MahalanobisConfig
    training = MahalanobisTraining

    def settle(self, config: MahalanobisConfig, shapes: Shapes) -> MahalanobisConfig:  # noqa: ARG002 - of a method
        """As it is: any features will do."""
        return config

    def head(self, config: MahalanobisConfig, shapes: Shapes) -> MahalanobisHead:
        """A head that whitens nothing yet."""
        return MahalanobisHead(config, shapes)

    def fit(
        self, features: FeatureFiles, config: MahalanobisConfig, training: MahalanobisTraining, work: Workplace
    ) -> Fitted:
        """Both Gaussians, from one pass over the features; the fact is the shrinkage. Raises DataError under 2 rows."""
        if len(features) < 2:
            raise DataError("a covariance needs pictures of at least 2 good parts: bring more")
        sums = [_Sums(shape) for shape in features.shapes]
        rows = []
        for batch in features.batches():
            rows.append(pooled(tuple(x.double() for x in batch)).flatten(1))
            for each, x in zip(sums, batch, strict=True):
                each.add(x.double())
        samples = torch.cat(rows)
        head = self.head(config, features.shapes)
        mean = samples.mean(dim=0)
        shrinkage = head.picture.set(mean[:, None, None], samples.T.cov(), training.shrinkage, samples)
        for place, each in zip(head.whitenings(), sums, strict=True):
            place.set(*each.moments(), PLACE_SHRINKAGE)
        left_out = left_out_scores(head.picture.standardised(samples[:, :, None, None]).flatten(1), shrinkage)
        return Fitted(head.to(work.device).eval(), {"shrinkage": shrinkage}, tuple(map(float, left_out)))


def left_out_scores(z: Tensor, shrinkage: float) -> Tensor:
    """(N,): the score of each of N standardised pictures (N, D) by the Gaussian of all others, at the same shrinkage.

    In more dimensions than pictures, all pictures are equally far from the Gaussian that they made. Leaving picture x
    out scales its distance to the mean by N/(N-1) and takes b x xᵀ from the covariance, b = (1-a) N / ((N-1)(N-2)), so
    by the formula of Sherman and Morrison d becomes (N/(N-1))² d / (1 - b d). With two pictures none is left: empty.
    """
    count, dimensions = z.shape
    if count < 3:
        return z.new_zeros(0)
    z = z.double() - z.double().mean(dim=0)
    identity = torch.eye(dimensions, dtype=torch.float64)
    rest = (1.0 - shrinkage) * z.T @ z / (count - 2) + shrinkage * identity
    distance = (z * torch.linalg.solve(rest, z.T).T).sum(dim=1)
    lost = (1.0 - shrinkage) * count / ((count - 1) * (count - 2))
    scores: Tensor = (count / (count - 1)) ** 2 * distance / (1.0 - lost * distance) / (2 * dimensions)
    return scores


class _Sums:
    """Sums of feature vectors and of their products, for the mean of each position and one covariance."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self.count = 0
        self.total = torch.zeros(shape, dtype=torch.float64)
        self.products = torch.zeros(shape[0], shape[0], dtype=torch.float64)

    def add(self, x: Tensor) -> None:
        self.count += len(x)
        self.total += x.sum(dim=0)
        vectors = x.transpose(0, 1).flatten(1)
        self.products += vectors @ vectors.T

    def moments(self) -> tuple[Tensor, Tensor]:
        mean = self.total / self.count
        flat = mean.flatten(1)
        return mean, (self.products - self.count * flat @ flat.T) / ((self.count - 1) * flat.shape[1])


def _ledoit_wolf(samples: Tensor) -> float:
    from sklearn.covariance import ledoit_wolf_shrinkage

    return max(float(ledoit_wolf_shrinkage(samples.numpy(), assume_centered=True)), 1e-6)
