"""The channel permutations of each origin. None of them is part of a state dict: the origins draw them anew."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from csflow.toolkit.importers.errors import ImportRefused
from csflow.toolkit.methods.flow.coupling import reference_permutations

__all__ = ["Permutations", "check_stored", "digest", "draw"]

Permutations = list[list[NDArray[np.int64]]]
"""[block][scale] -> (C,) int64; output channel j takes input channel permutation[j]."""
SCALES = 3
PUBLISHED_CHANNELS = 304
PUBLISHED = {
    "legacy": (
        ("7966186ede68ecfa", "147fe189c2f1d43a", "78a68847a80000a2"),
        ("2b43263b5b821ca4", "43316263113f3c08", "6b113b3b89e885ee"),
        ("6332800944fb855a", "3d4e308710774ccc", "df2001db41a1f442"),
        ("9b5d2bad92406d56", "0049d7736c7335b6", "931fa75940683f09"),
    ),
    "modern": (
        ("d27f272e3c676421",) * SCALES,
        ("d52bf4e313d6a421",) * SCALES,
        ("a4a89d6f4bdaf355",) * SCALES,
        ("aa6b2ee2811767d4",) * SCALES,
    ),
}
"""`digest` of the first blocks' permutations of 304 channels, as the origins draw them."""


def draw(generation: str, blocks: int, channels: int) -> Permutations:
    """The permutations that an origin draws when its model is built.

    Args:
        generation: 'legacy' (reference code and anomalib before 1.0: the global generator seeded with the block's
            number, one draw per scale) or 'modern' (anomalib from 1.0: `default_rng(block)`, one draw for all scales).

    Raises ImportRefused where this NumPy draws others than the origin did: NumPy may change `default_rng` streams.
    """
    drawn: Permutations = []
    for block in range(blocks):
        if generation == "legacy":
            drawn.append(reference_permutations(block, channels, SCALES))
        else:
            drawn.append([np.random.default_rng(block).permutation(channels)] * SCALES)
    if channels == PUBLISHED_CHANNELS:
        for block, (expected, got) in enumerate(zip(PUBLISHED[generation], drawn, strict=False)):
            if tuple(digest(p) for p in got) != expected:
                raise ImportRefused(
                    f"NumPy {np.__version__} draws other permutations for block {block} than the origin did: "
                    "import with NumPy 2.4, in an environment of its own"
                )
    return drawn


def digest(permutation: NDArray[np.int64]) -> str:
    """The first 16 hexadecimal digits of SHA-256 over the little-endian int32 entries."""
    return hashlib.sha256(permutation.astype("<i4").tobytes()).hexdigest()[:16]


def check_stored(stored: Permutations, channels: int) -> str:
    """Judge permutations that were found in a file.

    Returns 'legacy' or 'modern' where all are what that generation draws, else 'own' (a changed seed, say): the
    file is what the model was trained with.

    Raises ImportRefused where one is no permutation, or where some blocks fit a generation and others do not.
    """
    for block, scales in enumerate(stored):
        for scale, permutation in enumerate(scales):
            if not np.array_equal(np.sort(permutation), np.arange(channels)):
                raise ImportRefused(
                    f"block {block}, scale {scale}: what the file holds is no permutation of {channels} channels; "
                    "save the model again"
                )
    for generation in ("legacy", "modern"):
        pairs = zip(draw(generation, len(stored), channels), stored, strict=True)
        fits = [np.array_equal(np.stack(a), np.stack(b)) for a, b in pairs]
        if all(fits):
            return generation
        if any(fits):
            raise ImportRefused(
                f"blocks {_blocks(fits, True)} have the permutations of the reference code, blocks "
                f"{_blocks(fits, False)} others: the file was put together from two models and cannot be trusted"
            )
    return "own"


def _blocks(fits: list[bool], wanted: bool) -> str:
    return ", ".join(str(block) for block, fit in enumerate(fits) if fit is wanted)
