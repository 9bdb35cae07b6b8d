"""The first layer of a whitened flow: every position's features standardised by its own Gaussian, in closed form.

Channels are divided by their deviation over all positions. At each position the covariance S of the training pictures
becomes (1 - a) S + a diag(S), a = `SHRINKAGE`, and x -> S^(-1/2) (x - mean): the symmetric root, so that channels keep
their meaning from one position to the next, which the convolutions after it share their weights over. Without a
coupling block the score would be half the mean squared Mahalanobis distance per dimension, PaDiM's of each position.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from csflow.toolkit.backbones.backbone import Features
from csflow.toolkit.features import FeatureFiles
from csflow.toolkit.methods.gaussian import PlaceMatrices
from csflow.toolkit.methods.ignored import masked

__all__ = ["Whiten", "matrices_size"]

SHRINKAGE = 0.1
STILL = 1e-4
"""The least variance of a channel at a position, as a share of its variance everywhere: what never varies there, as a
background may, shall not make an anomaly of rounding."""


class Whiten(nn.Module):
    """x -> matrix (x - mean) at every position of every scale; the identity until `fit` is called.

    Per scale i, with P positions: mean{i} (C, h, w), matrices[i] of (P, C, C) and log_det{i} (h, w), log|det matrix|.
    """

    def __init__(self, channels: int, sides: Sequence[int]) -> None:
        super().__init__()
        self.scales = len(sides)
        self.matrices = nn.ModuleList(PlaceMatrices(side**2, channels) for side in sides)
        for i, side in enumerate(sides):
            self.register_buffer(f"mean{i}", torch.zeros(channels, side, side))
            self.matrix(i).copy_(torch.eye(channels))
            self.register_buffer(f"log_det{i}", torch.zeros(side, side))

    def matrix(self, scale: int) -> Tensor:
        """(P, C, C)."""
        matrix: Tensor = self.matrices[scale].get_buffer("matrix")
        return matrix

    @torch.no_grad()
    def fit(self, features: FeatureFiles) -> None:
        """Take the Gaussians of the training features, one row of positions in memory at a time."""
        for i, (_, variance) in enumerate(features.channel_moments()):
            scale = torch.where(variance > 1e-12, variance, torch.ones_like(variance)).sqrt()
            mean, matrix, log_det = self.get_buffer(f"mean{i}"), self.matrix(i), self.get_buffer(f"log_det{i}")
            for (row, column), samples in _places(features, i):
                centre, root, log = _gaussian(samples, scale)
                mean[:, row, column], log_det[row, column] = centre, log
                matrix[row * log_det.shape[1] + column] = root

    def forward(self, x: Features, kept: Sequence[Tensor] = ()) -> tuple[Features, Tensor]:
        """Returns whitened features, 0 where a position does not count, and log|det J| of shape (N,)."""
        z = tuple(self.whitened(x_i, i) for i, x_i in enumerate(x))
        logs = masked(tuple(self.get_buffer(f"log_det{i}") for i in range(self.scales)), kept)
        return masked(z, kept), torch.stack([log.sum() for log in logs]).sum().expand(x[0].shape[0])

    def whitened(self, x: Tensor, scale: int) -> Tensor:
        """(N, C, h, w) of one scale to the same."""
        mean = self.get_buffer(f"mean{scale}")
        product: Tensor = self.matrices[scale]((x - mean).flatten(2).permute(2, 1, 0))
        return product.permute(2, 1, 0).reshape(-1, *mean.shape)

    def inverse(self, z: Features, kept: Sequence[Tensor] = ()) -> Features:  # noqa: ARG002 - of a layer
        """The features that `forward` maps to `z`, of positions that count."""
        return tuple(self._coloured(z_i, i) for i, z_i in enumerate(z))

    def _coloured(self, z: Tensor, scale: int) -> Tensor:
        mean = self.get_buffer(f"mean{scale}")
        x: Tensor = torch.linalg.solve(self.matrix(scale), z.flatten(2).permute(2, 1, 0))
        return x.permute(2, 1, 0).reshape(-1, *mean.shape) + mean


def matrices_size(channels: int, sides: Sequence[int]) -> int:
    """Bytes of all matrices in float32."""
    return 4 * channels**2 * sum(side**2 for side in sides)


def _places(features: FeatureFiles, scale: int) -> Iterator[tuple[tuple[int, int], Tensor]]:
    """Each position of a map that counts, and the channels there (N, C), float64."""
    for row, counts in enumerate(features.masks[scale]):
        block = torch.from_numpy(features.maps[scale][:, :, row].copy())
        for column in map(int, counts.nonzero()):
            yield (row, column), block[:, :, column].double()


def _gaussian(samples: Tensor, scale: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean (C,), whitening matrix (C, C) and its log-determinant, float64; `scale` is that of the channels, (C,)."""
    mean = samples.mean(dim=0)
    z = (samples - mean) / scale
    covariance = (1.0 - SHRINKAGE) * (z.T @ z) / len(z)
    covariance.diagonal().copy_((covariance.diagonal() / (1.0 - SHRINKAGE)).clamp(min=STILL))
    values, vectors = torch.linalg.eigh(covariance)
    # The least that shrinkage leaves, but for rounding.
    values = values.clamp(min=SHRINKAGE * STILL)
    return mean, (vectors * values.rsqrt()) @ vectors.T / scale, -0.5 * values.log().sum() - scale.log().sum()
