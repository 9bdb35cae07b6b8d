"""Gaussians of features: whitening, shrinkage, distances of places, and scores of pictures that were left out.

Each covariance S is shrunk towards its own diagonal: with the correlations C, it becomes (1 - a) C + a I.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from csflow.runtime.errors import DataError
from csflow.toolkit.backbones.backbone import Features
from csflow.toolkit.features import FeatureFiles
from csflow.toolkit.methods.ignored import enlarged

__all__ = [
    "PLACE_SHRINKAGE",
    "STILL",
    "PlaceMap",
    "PlaceMatrices",
    "PlaceSums",
    "Whitening",
    "gathered",
    "ledoit_wolf",
    "left_out_scores",
    "pooled",
    "whole",
]

PLACE_SHRINKAGE = 0.01
"""a of the covariances of places: of their many vectors Ledoit and Wolf's would be about 0, and a channel that hardly
varies could then outweigh all others."""
STILL = 1e-6
"""A channel whose standard deviation is smaller never varied: rounding shall not become an anomaly."""


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
            shrinkage = ledoit_wolf((samples - mean.flatten()) / scale) if samples is not None else 1.0
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


class PlaceMatrices(nn.Module):
    """One matrix a position: vectors (P, D, N) to vectors (P, D, N)."""

    def __init__(self, places: int, channels: int) -> None:
        super().__init__()
        self.register_buffer("matrix", torch.zeros(places, channels, channels))

    def forward(self, z: Tensor) -> Tensor:
        """The product at each position."""
        return self.get_buffer("matrix") @ z


class PlaceMap(nn.ModuleList):
    """Squared Mahalanobis distance of every position to its mean, per dimension, over several feature maps."""

    def __init__(self, shapes: Sequence[tuple[int, int, int]]) -> None:
        super().__init__(Whitening(*shape) for shape in shapes)
        self.finest = max((h, w) for _, h, w in shapes)

    def fit(self, sums: Sequence[PlaceSums]) -> None:
        """Take the moments of each feature map."""
        for place, each in zip(self, sums, strict=True):
            assert isinstance(place, Whitening)
            place.set(*each.moments(), PLACE_SHRINKAGE)

    def forward(self, features: Features, kept: Sequence[Tensor] = ()) -> Tensor:
        """Map float32 features (N, C_i, h_i, w_i) to (N, h, w) of the finest; dimensions of all maps count alike.

        Args:
            kept: masks (h_i, w_i) of the positions that count; empty where all do.
        """
        squares = [place(f).square() for place, f in zip(self, features, strict=True)]
        masks: Sequence[Tensor | None] = kept or [None] * len(squares)
        distances = [
            enlarged(s.sum(dim=1, keepdim=True), self.finest, mask) for s, mask in zip(squares, masks, strict=True)
        ]
        joined: Tensor = functools.reduce(torch.add, distances)
        count = sum(int(s.shape[1]) for s in squares)
        return joined.squeeze(1) / count


class PlaceSums:
    """Sums of feature vectors and of their products, for the mean of each position and one covariance."""

    def __init__(self, shape: tuple[int, int, int], kept: Tensor | None = None) -> None:
        """Begin with nothing.

        Args:
            kept: (h, w), 1 where a position counts; None where all do.
        """
        self.count = 0
        self._kept = torch.ones(shape[1:]).bool() if kept is None else kept.bool()
        self.total = torch.zeros(shape, dtype=torch.float64)
        self.products = torch.zeros(shape[0], shape[0], dtype=torch.float64)

    def add(self, x: Tensor) -> None:
        """Count float64 features (N, C, h, w) in."""
        self.count += len(x)
        self.total += x.sum(dim=0)
        vectors = x.transpose(0, 1)[:, :, self._kept].flatten(1)
        self.products += vectors @ vectors.T

    def moments(self) -> tuple[Tensor, Tensor]:
        """Mean (C, h, w) and covariance (C, C) of what was counted, of at least two pictures."""
        mean = self.total / self.count
        flat = mean[:, self._kept]
        return mean, (self.products - self.count * flat @ flat.T) / ((self.count - 1) * flat.shape[1])


def gathered(features: FeatureFiles) -> tuple[Tensor, list[PlaceSums]]:
    """From one pass over features: the pooled vectors (N, D), float64, and the sums of each map's places.

    Raises DataError under 2 pictures.
    """
    if features.pictures < 2:
        raise DataError("spread needs pictures of at least 2 good parts: bring more")
    sums = [PlaceSums(shape, mask) for shape, mask in zip(features.shapes, features.masks, strict=True)]
    rows = []
    for batch in features.batches():
        rows.append(pooled(tuple(x.double() for x in batch), features.kept).flatten(1))
        for each, x in zip(sums, batch, strict=True):
            each.add(x.double())
    return torch.cat(rows), sums


def whole(features: Features) -> Features:
    """The features in float32 at least: sums and squares of what is anomalous leave the range of float16."""
    return tuple(f.to(torch.promote_types(f.dtype, torch.float32)) for f in features)


def pooled(features: Features, kept: Sequence[Tensor] = ()) -> Tensor:
    """(N, D, 1, 1): mean and standard deviation of every channel over all positions that count.

    Args:
        kept: masks (h_i, w_i) of these; empty where all count.
    """
    means = _means(features, kept)
    squares = _means([(f - m).square() for f, m in zip(features, means, strict=True)], kept)
    return torch.cat([*means, *(s.sqrt() for s in squares)], dim=1)


def _means(maps: Sequence[Tensor], kept: Sequence[Tensor]) -> list[Tensor]:
    if not kept:
        return [x.mean(dim=(2, 3), keepdim=True) for x in maps]
    shares = [mask / mask.sum() for mask in kept]
    return [(x * share).sum(dim=(2, 3), keepdim=True) for x, share in zip(maps, shares, strict=True)]


def left_out_scores(z: Tensor, shrinkage: float, variants: int = 1) -> Tensor:
    """(N,): the score of each of N standardised vectors (N, D) by the Gaussian of all others, at the same shrinkage.

    Every `variants` adjacent ones are one picture and its mirror images, which are left out together: they know each
    other. In more dimensions than pictures, all pictures are equally far from the Gaussian that they made. Of n others,
    with the rows X of a picture and their sum s, the mean is -s/n and the covariance that of all without
    (1-a) (XᵀX + s sᵀ/n) / (n-1), a matrix of low rank, so that Woodbury's formula gives all distances from products of
    the rows of each picture. Where fewer than two are left, empty.
    """
    count, dimensions = z.shape
    others = count - variants
    if others < 2:
        return z.new_zeros(0)
    z = z.double() - z.double().mean(dim=0)
    share = (1.0 - shrinkage) / (others - 1)
    solved = torch.linalg.solve(share * z.T @ z + shrinkage * torch.eye(dimensions, dtype=torch.float64), z.T).T
    pictures = (-1, variants, dimensions)
    products = z.reshape(pictures) @ solved.reshape(pictures).mT
    own = torch.eye(variants, dtype=torch.float64)
    gap = own + 1.0 / others
    lost = math.sqrt(share) * torch.cat([own, torch.full_like(own[:1], others**-0.5)])
    seen = lost @ products @ gap
    rest = torch.eye(variants + 1, dtype=torch.float64) - lost @ products @ lost.T
    distance = (gap @ products @ gap).diagonal(dim1=1, dim2=2) + (seen * torch.linalg.solve(rest, seen)).sum(dim=1)
    scores: Tensor = distance.flatten() / (2 * dimensions)
    return scores


def ledoit_wolf(samples: Tensor) -> float:
    """Ledoit and Wolf's share of the identity for centred samples (N, D) (J. of Multivariate Analysis 88, 2004).

    1 below three samples: two lie on a line, and their products, which are equal, seem to be known without error.
    """
    if len(samples) < 3:
        return 1.0
    from sklearn.covariance import ledoit_wolf_shrinkage

    return max(float(ledoit_wolf_shrinkage(samples.numpy(), assume_centered=True)), 1e-6)
