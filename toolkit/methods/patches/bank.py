"""What a bank remembers: principal components of good patches, those kept, and distances of pictures left out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from csflow.toolkit.methods.patches.head import PatchBank, nearest_squares

__all__ = ["BankFit", "farthest_first", "principal_components"]

CANDIDATES = 20
"""Patches drawn for each one that is kept: the choice among them is made one by one."""
ROWS = 16
"""Pictures read at a time."""
FLOOR = 1e-6
"""Least share of the mean variance that a component counts with: what never varies is not divided by."""


@dataclass(frozen=True)
class BankFit:
    """The fit of one size: features (N, C, g, g) of good parts, read from the disk."""

    array: NDArray[np.float32]
    dimensions: int
    """Principal components that describe a patch, at most C; 0: the features as they are."""
    bank: int
    """Patches kept, at most; 0: all."""
    seed: int
    rows: tuple[int, ...]
    """Those of the features that the bank may remember."""
    counted: Tensor
    """(g, g): 1 where a patch counts; of others nothing is learnt."""

    def fitted(self) -> tuple[PatchBank, Tensor]:
        """The bank, and the row that each of its vectors comes from, (B,)."""
        channels = self.array.shape[1]
        bank = PatchBank(channels, self.dimensions or channels, 0)
        if self.dimensions:
            mean, covariance = self._moments()
            bank.get_buffer("mean").copy_(mean[:, None, None])
            bank.get_buffer("matrix").copy_(principal_components(covariance, self.dimensions)[:, :, None, None])
        else:
            bank.get_buffer("matrix").copy_(torch.eye(channels)[:, :, None, None])
        vectors, owners = self._candidates(bank)
        if self.bank and len(vectors) > self.bank:
            kept = farthest_first(vectors, self.bank)
            vectors, owners = vectors[kept], owners[kept]
        bank.register_buffer("vectors", vectors.T.contiguous())
        return bank, owners

    def _moments(self) -> tuple[Tensor, Tensor]:
        """Mean (C,) and covariance (C, C) over pictures and positions, float64."""
        channels = self.array.shape[1]
        total, products, count = torch.zeros(channels).double(), torch.zeros(channels, channels).double(), 0
        for x in self._read():
            vectors = x.double().transpose(0, 1)[:, :, self.counted.bool()].flatten(1)
            count += vectors.shape[1]
            total += vectors.sum(dim=1)
            products += vectors @ vectors.T
        mean = total / count
        return mean, products / count - mean[:, None] * mean

    def _candidates(self, bank: PatchBank) -> tuple[Tensor, Tensor]:
        """Embeddings (n, D) of all patches, or of as many as a bank is chosen from, and their rows (n,)."""
        counted = np.flatnonzero(self.counted.numpy())
        places = len(counted)
        each = min(places, -(-CANDIDATES * self.bank // len(self.rows))) if self.bank else places
        draw = np.random.default_rng(self.seed)
        parts = []
        for i in self.rows:
            z = bank.embedded(torch.from_numpy(np.array(self.array[i : i + 1])))
            parts.append(z[torch.from_numpy(counted[np.sort(draw.permutation(places)[:each])])])
        return torch.cat(parts), torch.tensor(self.rows).repeat_interleave(each)

    def _read(self) -> Iterator[Tensor]:
        for start in range(0, len(self.array), ROWS):
            yield torch.from_numpy(np.array(self.array[start : start + ROWS]))

    def left_out(self, bank: PatchBank, owners: Tensor, rows: list[int], variants: int = 1) -> Tensor:
        """(n, 1, g, g): distances of these rows' patches to the nearest of the bank that is of another picture.

        Every `variants` adjacent rows are one picture and its mirror images.
        """
        vectors, found = bank.get_buffer("vectors"), []
        for i in rows:
            x = torch.from_numpy(np.array(self.array[i : i + 1]))
            z = bank.embedded(x)
            products = (z @ vectors).masked_fill(owners // variants == i // variants, -torch.inf)
            found.append(nearest_squares(z, products, vectors).sqrt().reshape(1, 1, *x.shape[2:]))
        return torch.cat(found)


def principal_components(covariance: Tensor, count: int) -> Tensor:
    """(count, C): the axes of the largest variance of (C, C), float64, each over its standard deviation."""
    values, vectors = torch.linalg.eigh(covariance)
    values, vectors = values[-count:], vectors[:, -count:]
    floor = (values.mean() * FLOOR).clamp(min=torch.finfo(torch.float64).tiny)
    scaled: Tensor = vectors / values.clamp(min=float(floor)).sqrt()
    return scaled.T


def farthest_first(z: Tensor, count: int) -> Tensor:
    """`count` rows of `z` (n, D): each the farthest from those before, the most central first (Gonzalez 1985)."""
    squares = z.square().sum(dim=1)
    first = int((z - z.mean(dim=0)).square().sum(dim=1).argmin())
    kept = [first]
    distance = squares + squares[first] - 2.0 * (z @ z[first])
    while len(kept) < count:
        kept.append(int(distance.argmax()))
        distance = torch.minimum(distance, squares + squares[kept[-1]] - 2.0 * (z @ z[kept[-1]]))
    return torch.tensor(kept)
