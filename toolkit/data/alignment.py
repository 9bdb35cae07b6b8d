"""The reference that pictures are aligned on: the mean of good pictures, registered on one another in turn."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from csflow.runtime.bundle.alignment import Alignment
from csflow.runtime.bundle.manifest import Preprocessing
from csflow.runtime.errors import DataError
from csflow.runtime.picture.align import grey_levels, moved, registered
from csflow.runtime.picture.images import image_size
from csflow.runtime.picture.preprocess import prepare_file
from csflow.runtime.types import Pose
from csflow.toolkit.options import checked

__all__ = ["with_alignment"]

MOST = 100
"""Good pictures that the reference is made of, evenly taken."""
ROUNDS = 3
LEAST = 0.5
"""Correlation below which good pictures have nothing in common that they could be aligned by."""
SHARE = 0.6
"""Of the lowest correlation of a good picture, below which a picture shows no part: a defect lowers it less."""


def with_alignment(how: Preprocessing, model: str | None, paths: Sequence[Path]) -> Preprocessing:
    """`how` with an alignment on the mean of these good pictures; itself where no model is named.

    Raises:
        ConfigError: an unknown model, a small picture size, or ignored areas.
        DataError: a picture cannot be read, or does not register on the others.
    """
    if model is None:
        return how
    # Before minutes of work: whether it may be aligned at all.
    checked(dataclasses.replace, how, align=checked(Alignment, model, "00" * 64 * 64, 1))
    chosen = [paths[i * len(paths) // min(MOST, len(paths))] for i in range(min(MOST, len(paths)))]
    greys = [grey_levels(prepare_file(path, how)) for path in chosen]
    aspects = [how.roi[2:] if how.roi else image_size(path) for path in chosen]
    reference = _most_central(greys, aspects, model)
    for _ in range(ROUNDS):
        poses = [registered(grey, reference, model, aspect) for grey, aspect in zip(greys, aspects, strict=True)]
        reference = _mean([moved(grey, pose) for grey, pose in zip(greys, poses, strict=True)])
    correlations = [registered(g, reference, model, a).correlation for g, a in zip(greys, aspects, strict=True)]
    return dataclasses.replace(how, align=Alignment(model, reference.tobytes().hex(), _floor(correlations, chosen)))


def _most_central(
    greys: Sequence[NDArray[np.uint8]], aspects: Sequence[tuple[int, int]], model: str
) -> NDArray[np.uint8]:
    """The picture whose part lies nearest to the median of all: most is within reach of it."""
    poses = [registered(grey, greys[0], model, aspect) for grey, aspect in zip(greys, aspects, strict=True)]
    middle = [statistics.median(values) for values in zip(*map(_numbers, poses), strict=True)]
    return greys[min(range(len(poses)), key=lambda i: math.dist(_numbers(poses[i]), middle))]


def _numbers(pose: Pose) -> tuple[int, int, int]:
    return pose.x, pose.y, pose.turn


def _mean(greys: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    mean: NDArray[np.uint8] = np.floor(np.mean(greys, axis=0) + 0.5).astype(np.uint8)
    return mean


def _floor(correlations: Sequence[float], paths: Sequence[Path]) -> int:
    """In thousandths."""
    lowest = min(correlations)
    if lowest < LEAST:
        raise DataError(
            f"{paths[correlations.index(lowest)]} does not register on the other good pictures (correlation "
            f"{lowest:.2f}, at least {LEAST:g} expected): remove it, or train without --align"
        )
    return math.floor(1000.0 * SHARE * lowest)
