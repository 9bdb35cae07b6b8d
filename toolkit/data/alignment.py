"""The reference that pictures are aligned on: the mean of good pictures, registered on one another in turn; and which
pictures do not show the part.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from csflow.runtime.bundle.alignment import Alignment
from csflow.runtime.bundle.manifest import Preprocessing
from csflow.runtime.errors import DataError
from csflow.runtime.machine.names import shown
from csflow.runtime.picture.align import grey_levels, moved, registered
from csflow.runtime.picture.images import image_size
from csflow.runtime.picture.preprocess import pieces_if_found, prepare_file
from csflow.runtime.types import Pose
from csflow.toolkit.options import checked

__all__ = ["lost_words", "with_alignment", "without_part"]

MOST = 100
"""Good pictures that the reference is made of, evenly taken."""
ROUNDS = 3
LEAST = 0.5
"""Correlation below which good pictures have nothing in common that they could be aligned by."""
SHARE = 0.6
"""Of the lowest correlation of a good picture, below which a picture shows no part: a defect lowers it less."""
MOST_LOST = 0.1
"""Share of the good pictures that may show no part: more of them say that something else is wrong."""
NAMED = 3


def with_alignment(
    how: Preprocessing, model: str | None, paths: Sequence[Path]
) -> tuple[Preprocessing, frozenset[Path]]:
    """`how` with an alignment on the mean of these good pictures, and those of them that do not register on the others.

    Where no model is named it is `how` itself, and none.

    Raises:
        ConfigError: an unknown model, a small picture size, or ignored areas.
        DataError: a picture cannot be read, or half of them do not register on the others.
    """
    if model is None:
        return how, frozenset()
    # Before minutes of work: whether it may be aligned at all.
    checked(dataclasses.replace, how, align=checked(Alignment, model, "00" * 64 * 64, 1))
    chosen = [paths[i * len(paths) // min(MOST, len(paths))] for i in range(min(MOST, len(paths)))]
    greys = {path: grey_levels(prepare_file(path, how)) for path in chosen}
    aspects = {path: how.roi[2:] if how.roi else image_size(path) for path in chosen}
    odd: dict[Path, float] = {}
    while True:
        kept = [path for path in chosen if path not in odd]
        reference, correlations = _reference([greys[p] for p in kept], [aspects[p] for p in kept], model)
        found = {p: value for p, value in zip(kept, correlations, strict=True) if value < LEAST}
        if not found:
            align = Alignment(model, reference.tobytes().hex(), math.floor(1000.0 * SHARE * min(correlations)))
            return dataclasses.replace(how, align=align), frozenset(odd)
        odd |= found
        if 2 * len(odd) >= len(chosen):
            raise _unlike(odd, len(chosen))


def without_part(how: Preprocessing, paths: Sequence[Path]) -> frozenset[Path]:
    """Those of the pictures in which the part is not found that `how` aligns by; none where it aligns nothing.

    Raises DataError for a picture that cannot be read or prepared.
    """
    return frozenset(path for path in paths if how.align is not None and pieces_if_found(path, how) is None)


def lost_words(lost: Sequence[Path], of: int) -> str:
    """That good pictures do not show the part and are left out, in words; empty without any.

    Args:
        of: good pictures, these among them.

    Raises DataError where they are more than `MOST_LOST` of all.
    """
    if not lost:
        return ""
    more = f" and {len(lost) - NAMED} more" if len(lost) > NAMED else ""
    told = f"{len(lost)} of {of} good pictures ({', '.join(shown(path.name) for path in lost[:NAMED])}{more})"
    if len(lost) > MOST_LOST * of:
        raise DataError(
            f"the part was not found in {told}, more than {MOST_LOST:.0%}: look whether they show it as the others do, "
            "remove those that do not, or train without --align"
        )
    return f"WARNING: the part was not found in {told}: they are left out, as at the line each would be an ERROR"


def _unlike(odd: Mapping[Path, float], of: int) -> DataError:
    worst = min(odd, key=lambda path: odd[path])
    return DataError(
        f"{len(odd)} of {of} good pictures do not register on the others, {worst} least of all (correlation "
        f"{odd[worst]:.2f}, at least {LEAST:g} expected): they show nothing in common, train without --align"
    )


def _reference(
    greys: Sequence[NDArray[np.uint8]], aspects: Sequence[tuple[int, int]], model: str
) -> tuple[NDArray[np.uint8], list[float]]:
    """The mean (64, 64), and the correlation of each picture to it."""
    reference = _most_central(greys, aspects, model)
    for _ in range(ROUNDS):
        poses = [registered(grey, reference, model, aspect) for grey, aspect in zip(greys, aspects, strict=True)]
        reference = _mean([moved(grey, pose) for grey, pose in zip(greys, poses, strict=True)])
    return reference, [registered(g, reference, model, a).correlation for g, a in zip(greys, aspects, strict=True)]


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
