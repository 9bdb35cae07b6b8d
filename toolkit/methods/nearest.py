"""Nearest neighbour: how far the pooled features of a picture lie from those of the nearest good picture.

Score: of every feature map the mean and the standard deviation of each channel over all positions, each divided by its
spread over the good pictures, make a vector of D numbers. With d² the squared Euclidean distance to the nearest vector
of a bank of good pictures, and u the median of that distance between good pictures of which each is left out of the
bank in turn, the score is d² / 2u: half a squared deviation, where the deviation of a good picture is 1. It is the
baseline '1-NN' of CS-Flow (Rudolph et al., WACV 2022; after Nazare et al., 2018, who take the means alone).

Map: a distance of whole pictures has no place, so the map is that of Mahalanobis' method: at every position the squared
Mahalanobis distance to the mean of that position, per dimension.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from csflow.runtime.bundle.manifest import Definitions
from csflow.toolkit.features import FeatureFiles
from csflow.toolkit.methods.gaussian import STILL, PlaceMap, gathered, pooled, whole
from csflow.toolkit.methods.ignored import KeptPlaces
from csflow.toolkit.methods.method import SCORE_FLOOR, Fitted, Head, OnePass, Reading, Shapes, Workplace
from csflow.toolkit.options import settled

__all__ = [
    "Bank",
    "Nearest",
    "NearestConfig",
    "NearestHead",
    "NearestTraining",
    "coreset",
    "nearest_square",
    "neighbour_distances",
]

ROWS = 256


@dataclass(frozen=True)
class NearestConfig:
    """The shapes of the features, and how many pictures are remembered."""

    pictures: int = settled(0)
    """Good pictures in the bank."""


@dataclass(frozen=True)
class NearestTraining:
    """Which good pictures are remembered."""

    bank: int = 10_000
    """Pictures remembered at most, 4 bytes for each of D numbers and picture. Of more, those are kept that are farthest
    from the ones kept before, beginning with the most central: no good picture is far from all of the bank."""

    def __post_init__(self) -> None:
        if self.bank < 1:
            raise ValueError("bank must be at least 1 picture")


class Bank(nn.Module):
    """Standardised vectors of good pictures; gives the squared distance to the nearest."""

    def __init__(self, pictures: int, dimensions: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dimensions))
        self.register_buffer("scale", torch.ones(dimensions))
        self.register_buffer("vectors", torch.zeros(dimensions, pictures))

    def standardised(self, x: Tensor) -> Tensor:
        """(x - mean) / scale of (N, D)."""
        return (x - self.get_buffer("mean")) / self.get_buffer("scale")

    def forward(self, x: Tensor) -> Tensor:
        """Map pooled vectors (N, D) to squared distances (N,)."""
        z, vectors = self.standardised(x), self.get_buffer("vectors")
        return nearest_square(z, z @ vectors, vectors)


def nearest_square(z: Tensor, products: Tensor, vectors: Tensor) -> Tensor:
    """(N,): |z|² + min over b of |b|² - 2 z·b, for z (N, D), their products (N, B) with the columns b of (D, B)."""
    # Rounding alone can make the distance to a picture of the bank negative.
    least = (vectors.square().sum(dim=0) - 2.0 * products).amin(dim=1)
    return (z.square().sum(dim=1) + least).clamp(min=0.0)


class NearestHead(Head):
    """A bank of pooled features for the score, whitened places for the map."""

    def __init__(self, config: NearestConfig, shapes: Shapes) -> None:
        super().__init__()
        self.config = config
        self.bank: nn.Module = Bank(config.pictures, 2 * sum(c for c, _, _ in shapes))
        self.register_buffer("unit", torch.ones(()))
        self.places = PlaceMap(shapes)
        self.kept = KeptPlaces()

    def forward(self, *features: Tensor) -> tuple[Tensor, Tensor]:
        """Map features (N, C_i, h_i, w_i) to score (N,) and anomaly map (N, h, w) of the finest."""
        wide, masks = whole(features), self.kept.masks
        distance = self.bank(pooled(wide, masks).flatten(1))
        return distance / (2.0 * self.get_buffer("unit")) + SCORE_FLOOR, self.kept.over(self.places(wide, masks))


class Nearest(OnePass):
    """A bank of good pictures, gathered in one pass."""

    name = "nearest"
    graph = "nearest"
    definitions = Definitions(
        "half squared distance of pooled means and deviations to the nearest good picture, in units of good ones",
        "squared Mahalanobis distance per dimension to the mean of the position",
    )
    # As CS-Flow's paper reads them; of eight readings also the best by defects made in good magnetic tiles.
    reading = Reading(scales=3, stages=(5,), others=(4,))
    config = NearestConfig
    training = NearestTraining

    def settle(self, config: NearestConfig, shapes: Shapes) -> NearestConfig:  # noqa: ARG002 - of a method
        """As it is: any features will do."""
        return config

    def head(self, config: NearestConfig, shapes: Shapes) -> NearestHead:
        """A head that remembers nothing yet."""
        return NearestHead(config, shapes)

    def fit(self, features: FeatureFiles, config: NearestConfig, training: NearestTraining, work: Workplace) -> Fitted:
        """The bank; the fact is how many pictures it has. Raises DataError under 2 pictures."""
        samples, sums = gathered(features)
        deviation = samples.std(dim=0)
        scale = torch.where(deviation > STILL, deviation, torch.ones_like(deviation))
        z = (samples - samples.mean(dim=0)) / scale
        kept = coreset(z, training.bank)
        left_out = neighbour_distances(z, kept, features.variants)
        unit = left_out.median().clamp(min=SCORE_FLOOR)
        head = self.head(replace(config, pictures=len(kept)), features.shapes)
        head.bank.get_buffer("mean").copy_(samples.mean(dim=0))
        head.bank.get_buffer("scale").copy_(scale)
        head.bank.get_buffer("vectors").copy_(z[kept].T)
        head.get_buffer("unit").copy_(unit)
        head.places.fit(sums)
        head.kept.set(features.kept)
        scores = (left_out / (2.0 * unit) + SCORE_FLOOR).tolist()
        return Fitted(head.to(work.device).eval(), {"pictures": float(len(kept))}, tuple(scores))


def coreset(z: Tensor, count: int) -> Tensor:
    """Rows of `z` (N, D) to keep, all or `count`: the farthest from those kept before (Gonzalez 1985), from the centre.

    Every row is then at most twice as far from its nearest kept one as the best choice of `count` rows could make it.
    """
    if count >= len(z):
        return torch.arange(len(z))
    kept = [int((z - z.mean(dim=0)).square().sum(dim=1).argmin())]
    distance = (z - z[kept[0]]).square().sum(dim=1)
    while len(kept) < count:
        kept.append(int(distance.argmax()))
        distance = torch.minimum(distance, (z - z[kept[-1]]).square().sum(dim=1))
    return torch.tensor(kept)


def neighbour_distances(z: Tensor, kept: Tensor, variants: int = 1) -> Tensor:
    """(N,): the squared distance of each row of `z` to the nearest of the rows `kept` that is of another picture.

    Every `variants` adjacent rows are one picture and its mirror images. A bank of one picture has no other: rows of
    that picture are left out of the result.
    """
    found = []
    for part in torch.split(torch.arange(len(z)), ROWS):
        distance = torch.cdist(z[part], z[kept]).square()
        distance[part[:, None] // variants == kept // variants] = torch.inf
        found.append(distance.amin(dim=1))
    least = torch.cat(found)
    return least[least.isfinite()]
