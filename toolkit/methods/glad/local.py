"""Local weights: how often each Gaussian of a global mixture explains each position of good parts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from csflow.toolkit.methods.glad.mixture import Gaussians

__all__ = ["local_weights"]

MEMORY = 256_000_000
"""Bytes of log-likelihoods that are held at a time."""
ROUNDS = 20
ROWS = 64


def local_weights(
    array: NDArray[np.float32], standardised: Callable[[Tensor], Tensor], gaussians: Gaussians, memory: int = MEMORY
) -> Tensor:
    """Weights (K, h, w), of sum 1 at each position, from features (N, C, h, w) of good parts.

    k-MLE with fixed Gaussians at every position by itself: beginning with the global weights, each of the N vectors
    goes to the Gaussian with the largest log w_kp + log N(x; m_k, S_k), and w_kp becomes its share of them, until none
    changes. A weight that is 0 stays 0.

    Args:
        array: read for some positions at a time, so that it may be larger than the memory.
        standardised: maps (N, C, p) to (N, p, C), what the Gaussians are of, on their device.
    """
    count, channels, height, width = array.shape
    places = height * width
    flat = array.reshape(count, channels, places)
    block = max(1, memory // (4 * count * len(gaussians.peaks)))
    found = [
        _settled(_log_densities(flat[:, :, start : start + block], standardised, gaussians), gaussians.weights)
        for start in range(0, places, block)
    ]
    return torch.cat(found, dim=1).reshape(-1, height, width)


def _log_densities(
    array: NDArray[np.float32], standardised: Callable[[Tensor], Tensor], gaussians: Gaussians
) -> Tensor:
    """(N, K, p)."""
    parts = []
    for start in range(0, len(array), ROWS):
        z = standardised(torch.from_numpy(np.array(array[start : start + ROWS])))
        n, p, c = z.shape
        flat = gaussians.log_densities(z.reshape(n * p, c))
        parts.append(flat.reshape(n, p, -1).transpose(1, 2))
    return torch.cat(parts)


def _settled(log_densities: Tensor, start: Tensor) -> Tensor:
    """(K, p) from (N, K, p) and global weights (K,)."""
    count, kept, places = log_densities.shape
    weights = start[:, None].expand(kept, places)
    for _ in range(ROUNDS):
        owner = (log_densities + weights.log()).argmax(dim=1)
        numbers = torch.zeros(kept, places, device=owner.device)
        counted = numbers.scatter_add_(0, owner, torch.ones(owner.shape, device=owner.device)) / count
        if torch.equal(counted, weights):
            break
        weights = counted
    return weights
