"""The losses that encoders of patches learn from, without labels (Tsai, Wu, Lai, WACV 2022), and the patches they see.

With K the size of a patch and e a vector of two whole numbers in [0, K/4): p1 lies anywhere; p2 lies in one of twelve
directions d_m from it, p1 + d_m (e + 3K/4), and the position loss asks for m; p1' is jittered by at most K/16; p3 lies
as p2 does, and 3K/4 further in the sign of each component. The similarity loss wants the embedding of p1' near that of
p1 and that of p3 elsewhere. The cluster loss draws every embedding to the nearest of the centres of k-means, and its
gradient reaches the encoder: in the authors' code it is detached, so that the loss does nothing.
"""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["DIRECTIONS", "Draw", "PositionClassifier", "cluster_loss", "patches_at", "position_loss", "similarity_loss"]

DIRECTIONS = 12
NEVER_ZERO = 1e-12
"""Added to a squared length: the gradient of a root at 0 is none."""


class PositionClassifier(nn.Sequential):
    """Differences of embeddings (P, D) to scores of the twelve directions (P, 12); only training knows it."""

    def __init__(self, dimensions: int) -> None:
        widths = (dimensions, 128, 256, 512)
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(widths):
            layers += [nn.Linear(before, after), nn.LeakyReLU(0.1)]
        super().__init__(*layers, nn.Linear(widths[-1], DIRECTIONS))


def position_loss(classifier: nn.Module, first: Tensor, second: Tensor, direction: Tensor) -> Tensor:
    """Cross entropy of the direction (P,) in which the second patch lies, from embeddings (P, D)."""
    return functional.cross_entropy(classifier(first - second), direction)


def similarity_loss(first: Tensor, near: Tensor, far: Tensor) -> Tensor:
    """Mean distance of near patches, less what cosines say of near and far ones; embeddings (P, D)."""
    length = ((first - near).square().sum(dim=1) + NEVER_ZERO).sqrt()
    contrast = functional.cosine_similarity(first, far) - functional.cosine_similarity(first, near)
    return length.mean() + contrast.mean()


def cluster_loss(embeddings: Tensor, centres: Tensor) -> Tensor:
    """Mean squared distance of embeddings (P, D) to the nearest of the centres (K, D)."""
    squares = (embeddings[:, None] - centres).square().sum(dim=2)
    return squares.amin(dim=1).mean()


class Draw:
    """Positions of patches of one size in pictures of one side, (rows, columns) in pixels of their corners."""

    def __init__(self, size: int, side: int, generator: torch.Generator) -> None:
        self._size, self._most, self._generator = size, side - size, generator

    def anywhere(self, count: int) -> Tensor:
        """(count, 2)."""
        return self._whole(0, self._most + 1, (count, 2))

    def directions(self, count: int) -> Tensor:
        """(count,), 0 to 11."""
        return self._whole(0, DIRECTIONS, (count,))

    def neighbours(self, places: Tensor, directions: Tensor) -> Tensor:
        """(P, 2): in these directions from `places`, about 3K/4 away."""
        return self._inside(places + self._offsets(directions).round().long())

    def jittered(self, places: Tensor) -> Tensor:
        """(P, 2): at most K/16 away on each axis, and not the same place."""
        reach = max(1, self._size // 16)
        moves = self._whole(-reach, reach + 1, tuple(places.shape))
        still = (moves == 0).all(dim=1)
        moves[still, 0] = reach
        return self._inside(places + moves)

    def far(self, places: Tensor, directions: Tensor) -> Tensor:
        """(P, 2): in these directions, and 3K/4 further on both axes."""
        offsets = self._offsets(directions)
        further = torch.where(offsets < 0, -1.0, 1.0) * 0.75 * self._size
        return self._inside(places + (offsets + further).round().long())

    def _offsets(self, directions: Tensor) -> Tensor:
        angles = directions * (2.0 * math.pi / DIRECTIONS)
        unit = torch.stack([angles.cos(), angles.sin()], dim=1)
        unit[unit.abs() < 1e-6] = 0.0
        return unit * (self._whole(0, max(1, self._size // 4), tuple(unit.shape)) + 0.75 * self._size)

    def _inside(self, places: Tensor) -> Tensor:
        return places.clamp(0, self._most)

    def _whole(self, low: int, high: int, shape: tuple[int, ...]) -> Tensor:
        return torch.randint(low, high, shape, generator=self._generator)


def patches_at(pictures: Tensor, rows: Tensor, places: Tensor, size: int) -> Tensor:
    """(P, 3, size, size) in 0..1, cut from pictures (N, S, S, 3) uint8 at `places` (P, 2) of pictures `rows` (P,)."""
    steps = torch.arange(size)
    ys, xs = places[:, 0, None] + steps, places[:, 1, None] + steps
    return pictures[rows[:, None, None], ys[:, :, None], xs[:, None, :]].permute(0, 3, 1, 2) / 255.0
