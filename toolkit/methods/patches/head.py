"""The head of multi-scale patches: distances to the nearest good patch, spread over the pixels that a patch covers.

For each size K, with z the embedding of a patch, d_K = min over the bank of |z - b|. At a pixel, m_K is the mean of d_K
over all patches that cover it. The paper's map is m = Σ m_K, its score the maximum of m. csflow's map is (Σ w_K m_K)²,
a squared deviation, and its score is half the maximum: squares change no order. With 'published' all w_K are alike,
with 'normalised' w_K is the inverse of the mean distance of good patches of this size, so that each counts alike; their
scale is such that good parts have a map of about 1.

Sizes and strides are multiples of a cell, so m_K is constant within cells, and the map has one value for each.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor, nn
from torch.nn import functional

from csflow.toolkit.methods.ignored import KeptPlaces, inverse
from csflow.toolkit.methods.method import SCORE_FLOOR, Head, Shapes
from csflow.toolkit.methods.patches.config import PatchesConfig, cell_of, patches_of

__all__ = ["Covering", "PatchBank", "PatchesHead", "nearest_squares"]


def nearest_squares(z: Tensor, products: Tensor, vectors: Tensor) -> Tensor:
    """(P,): |z|² + min over b of |b|² - 2 z·b, of z (P, D), its products (P, B) with the columns b of (D, B)."""
    least = (vectors.square().sum(dim=0) - 2.0 * products).amin(dim=1)
    # Rounding alone can make the distance to a patch of the bank negative.
    return (z.square().sum(dim=1) + least).clamp(min=0.0)


class PatchBank(nn.Module):
    """Embedding of one size's patches, and the good ones that are remembered."""

    def __init__(self, channels: int, dimensions: int, kept: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels, 1, 1))
        self.register_buffer("matrix", torch.zeros(dimensions, channels, 1, 1))
        self.register_buffer("vectors", torch.zeros(dimensions, kept))

    def embedded(self, x: Tensor) -> Tensor:
        """Features (N, C, g, g) to embeddings (N g g, D)."""
        z = functional.conv2d(x - self.get_buffer("mean"), self.get_buffer("matrix"))
        return z.permute(0, 2, 3, 1).flatten(0, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Features (N, C, g, g) to distances (N, 1, g, g), float32."""
        z = self.embedded(x)
        vectors = self.get_buffer("vectors")
        squares = nearest_squares(z, z @ vectors, vectors)
        return squares.sqrt().reshape(-1, 1, *x.shape[2:])


class Covering(nn.Module):
    """Means over the patches that cover a cell: (N, 1, g, g) to (N, 1, S/c, S/c)."""

    def __init__(self, size: int, stride: int, grid: int) -> None:
        super().__init__()
        self.stride = stride
        kernel = torch.ones(1, 1, size, size)
        covers = functional.conv_transpose2d(torch.ones(1, 1, grid, grid), kernel, stride=stride)
        self.register_buffer("kernel", kernel, persistent=False)
        self.register_buffer("share", 1.0 / covers, persistent=False)

    def forward(self, x: Tensor, kept: Tensor | None = None) -> Tensor:
        """Sum over patches, or over those whose mask `kept` (g, g) is 1, over their number; 0 where there is none."""
        if kept is None:
            return self._sum(x) * self.get_buffer("share")
        return self._sum(x * kept) * inverse(self._sum(kept[None, None]))

    def _sum(self, x: Tensor) -> Tensor:
        return functional.conv_transpose2d(x, self.get_buffer("kernel"), stride=self.stride)


class PatchesHead(Head):
    """A bank for each size of patches, and the sum of their maps."""

    def __init__(self, config: PatchesConfig, shapes: Shapes) -> None:
        super().__init__()
        self.config = config
        self.banks = nn.ModuleList(
            PatchBank(channels, min(config.dimensions, channels), kept)
            for (channels, _, _), kept in zip(shapes, config.kept, strict=True)
        )
        cell = cell_of(config)
        # Made on the processor: what no file holds is not on the meta device either.
        with torch.device("cpu"):
            self.coverings = nn.ModuleList(
                Covering(size // cell, stride // cell, grid)
                for (size, stride), (_, grid, _) in zip(patches_of(config), shapes, strict=True)
            )
        (size, stride), (_, grid, _) = patches_of(config)[0], shapes[0]
        self.map_size = (((grid - 1) * stride + size) // cell,) * 2
        self.register_buffer("weights", torch.ones(len(shapes)))
        self.kept, self.kept_cells = KeptPlaces(), KeptPlaces()

    def forward(self, *features: Tensor) -> tuple[Tensor, Tensor]:
        """Map features (N, C_i, g_i, g_i) to score (N,) and anomaly map (N, S/c, S/c)."""
        wide = (f.to(torch.promote_types(f.dtype, torch.float32)) for f in features)
        return self.judged([bank(f) for bank, f in zip(self.banks, wide, strict=True)])

    def judged(self, distances: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Distances (N, 1, g_i, g_i) of each size to score and map."""
        weights = self.get_buffer("weights")
        masks = self.kept.masks or [None] * len(distances)
        maps = [covering(d, m) for covering, d, m in zip(self.coverings, distances, masks, strict=True)]
        joined = functools.reduce(torch.add, [m * weights[i] for i, m in enumerate(maps)])
        anomaly_map = self.kept_cells.over(joined.squeeze(1).square())
        return anomaly_map.amax(dim=(1, 2)) / 2 + SCORE_FLOOR, anomaly_map

    def patch_banks(self) -> list[PatchBank]:
        """The banks, one a size."""
        return [bank for bank in self.banks if isinstance(bank, PatchBank)]
