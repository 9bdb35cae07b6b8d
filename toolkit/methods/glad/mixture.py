"""k-MLE: a Gaussian mixture by hard assignment (Nielsen, ICASSP 2012), from clusters of Lloyd's algorithm.

Each pass gives every sample x to the Gaussian with the largest log w_k + log N(x; m_k, S_k), drops those that have
fewer than C + 1 samples, and sets the others to mean and covariance of theirs, and w_k to their share. The start
differs from k-MLE++: seeds chosen in the metric of one covariance for all fell together, of 10 components in 208
dimensions 6 were left, with a lower likelihood.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from csflow.toolkit.methods.glad.config import GladTraining

__all__ = ["Gaussians", "fit_mixture"]

LLOYD_SAMPLES = 30_000
LLOYD_PASSES = 10
STEADY = 1e-3
"""Share of the samples: where fewer change their Gaussian in a pass, it was the last."""
CHUNK = 1 << 12


@dataclass(frozen=True)
class Gaussians:
    """K Gaussians over C channels, float32."""

    weights: Tensor
    """(K,), above 0, of sum 1."""
    matrix: Tensor
    """(K, C, C), A with AᵀA = S⁻¹, lower triangular."""
    offset: Tensor
    """(K, C), -A m."""
    peaks: Tensor
    """(K,), logarithms of the densities at the means."""

    @classmethod
    def of(cls, samples: Tensor, owner: Tensor, kept: Tensor, ridge: float) -> Gaussians:
        """Weight, mean and covariance, with `ridge` on its diagonal, of the samples of each owner in `kept`."""
        counts = torch.stack([(owner == k).sum() for k in kept]).to(samples)
        moments = [_moments(samples[owner == k].double(), ridge) for k in kept]
        matrix, offset, peaks = (torch.stack(parts).to(samples) for parts in zip(*moments, strict=True))
        return cls(counts / counts.sum(), matrix, offset, peaks)

    def log_densities(self, x: Tensor) -> Tensor:
        """(n, K): log N(x; m_k, S_k) of samples (n, C)."""
        found = x.new_empty(len(x), len(self.peaks))
        for start in range(0, len(x), CHUNK):
            part = x[start : start + CHUNK]
            for k, (matrix, offset, peak) in enumerate(zip(self.matrix, self.offset, self.peaks, strict=True)):
                squares = torch.addmm(offset, part, matrix.T).square_().sum(dim=1)
                found[start : start + CHUNK, k] = peak - squares / 2
        return found


def fit_mixture(
    samples: Tensor, components: int, training: GladTraining, on_pass: Callable[[int, float], None]
) -> Gaussians:
    """The mixture of standardised samples (n, C), float32, of at most `components` Gaussians, at least one.

    Args:
        on_pass: called with the number of passes done, and the mean of -log (w_k N_k) per dimension, of each sample's
            own Gaussian.
    """
    dimensions = samples.shape[1]
    owner = _lloyd(samples, max(1, min(components, len(samples) // (dimensions + 1))), training.seed)
    found = Gaussians.of(samples, owner, _large_enough(owner, dimensions), training.ridge)
    for done in range(1, training.passes + 1):
        best, nearest = (found.log_densities(samples) + found.weights.log()).max(dim=1)
        kept = _large_enough(nearest, dimensions)
        changed = float((nearest != owner).float().mean()) if done > 1 else 1.0
        found = Gaussians.of(samples, nearest, kept, training.ridge)
        on_pass(done, -float(best.double().mean()) / dimensions)
        if changed < STEADY and len(kept) == int(nearest.max()) + 1:
            break
        # Gaussians are numbered anew where some were dropped; their samples have no owner until the next pass.
        owner = torch.full_like(nearest, -1)
        for new, old in enumerate(kept):
            owner[nearest == old] = new
    return found


def _large_enough(owner: Tensor, dimensions: int) -> Tensor:
    """Numbers of the Gaussians with more samples than dimensions; the largest where there is none."""
    counts = torch.bincount(owner)
    kept = (counts > dimensions).nonzero().flatten()
    return kept if len(kept) else counts.argmax()[None]


def _moments(samples: Tensor, ridge: float) -> tuple[Tensor, Tensor, Tensor]:
    count, dimensions = samples.shape
    identity = torch.eye(dimensions, dtype=samples.dtype, device=samples.device)
    mean = samples.mean(dim=0)
    covariance = (samples - mean).T @ (samples - mean) / count + ridge * identity
    root = torch.linalg.cholesky(covariance)
    matrix = torch.linalg.solve_triangular(root, identity, upper=False)
    peak = matrix.diagonal().log().sum() - dimensions / 2 * math.log(2 * math.pi)
    return matrix, -matrix @ mean, peak


def _lloyd(samples: Tensor, clusters: int, seed: int) -> Tensor:
    """The cluster of each sample, of k-means from k-means++ seeds over some of them."""
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    generator = torch.Generator().manual_seed(seed)
    some = torch.randperm(len(samples), generator=generator)[: max(LLOYD_SAMPLES, clusters)]
    values = samples.cpu().numpy()
    with warnings.catch_warnings():
        # Equal samples make fewer clusters than asked for: empty ones are dropped as small ones are.
        warnings.simplefilter("ignore", ConvergenceWarning)
        means = KMeans(clusters, n_init=1, max_iter=LLOYD_PASSES, random_state=seed).fit(values[some.numpy()])
    return torch.from_numpy(means.predict(values)).long().to(samples.device)
