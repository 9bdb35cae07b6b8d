"""Registration: where the part of a picture lies and how it is turned, against the reference in the bundle.

The picture that a model sees is compared with the reference, both as 64 x 64 grey levels: over shifts of up to 3/16 of
the side and turns of up to 12 degrees, from coarse to fine (16, 32, 64 px), the pose with the highest correlation of
what both show is taken, and refined by parabolas through its neighbours. The picture is then moved there, and the
model's map is moved back. Correlations rest on sums of whole numbers, and turns and shifts are whole multiples of a
unit, so that libcsflow finds the same pose and makes the same bytes.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from csflow.runtime.bundle.alignment import REFERENCE_SIDE, Alignment
from csflow.runtime.errors import InferenceError, PartNotFound
from csflow.runtime.types import Pose, Prediction

__all__ = ["aligned", "grey_levels", "moved", "moved_back", "registered"]

SHIFTS = 2048
"""Shifts are whole multiples of this part of the picture's side."""
TURNS = 64
"""Turns are whole multiples of this part of a degree."""
COARSE, MIDDLE = 16, 32
REACH = 3
"""Pixels of the coarsest pictures that a part may be shifted by."""
COARSE_TURNS = tuple(range(-12 * TURNS, 12 * TURNS + 1, 3 * TURNS))
KEPT = 4
"""Of the coarse poses."""
FINE = ((MIDDLE, SHIFTS // 32, 96), (REFERENCE_SIDE, SHIFTS // 64, 48), (REFERENCE_SIDE, SHIFTS // 128, 24))
"""Side, shift and turn of the steps of each refinement."""
ROUNDS = 6
"""Steps of a refinement, at most."""
LEAST_SHARE = 2
"""One in so many pixels of the reference, at least, must be compared."""
ONE = 1 << 16

Picture = NDArray[np.uint8]
Whole = NDArray[Any]
"""Of whole numbers, 32 or 64 bits each."""


def moved(picture: Picture, pose: Pose) -> Picture:
    """A picture (S, S) or (S, S, 3) as it lies on the reference; its edges go on where it does not reach."""
    x, y = _places(len(picture), [(pose.x, pose.y, pose.turn)], pose.aspect)
    blended = _blended(picture.astype(np.int64), x[0].astype(np.int64), y[0].astype(np.int64))
    made: Picture = ((blended + ONE // 2) >> 16).astype(np.uint8)
    return made


def moved_back(prediction: Prediction, pose: Pose | None) -> Prediction:
    """With the map (n, n) as it lies in the picture before that was aligned, bilinearly, its edges going on outside.

    With None, for nothing was moved, the prediction itself. Raises InferenceError for a map that is no square.
    """
    if pose is None:
        return prediction
    values = prediction.anomaly_map
    side = values.shape[0]
    if values.shape != (side, side):
        raise InferenceError(f"a map of {values.shape} cannot be moved back: report it, aligned maps are square")
    c, left, down = _matrix(pose.turn, *pose.aspect)
    u = (2 * np.arange(side, dtype=np.int64) - (side - 1)) * ONE
    x, y = u[None, :] - 2 * _pixels(pose.x, side), u[:, None] - 2 * _pixels(pose.y, side)
    middle = (side - 1) * ONE
    found = _blended(
        values.astype(np.float64), ((c * x + left * y) >> 16) + middle, ((c * y - down * x) >> 16) + middle
    )
    return Prediction(prediction.score, (found / float(ONE)).astype(np.float32))


def aligned(picture: Picture, how: Alignment, aspect: tuple[int, int]) -> tuple[Picture, Pose]:
    """A picture (S, S, 3) moved onto the reference, and its pose; its edges go on where it does not reach.

    Args:
        aspect: width and height in pixels of what was squeezed into the square.

    Raises PartNotFound where nothing in it correlates with the reference as the bundle demands.
    """
    pose = registered(grey_levels(picture), _reference(how.reference), how.model, aspect)
    if pose.correlation < how.floor / 1000.0:
        raise PartNotFound(
            f"the part was not found in the picture: its correlation with the model's reference is "
            f"{pose.correlation:.3f}, at least {how.floor / 1000.0:.3f} was expected"
        )
    return moved(picture, pose), pose


def grey_levels(picture: Picture) -> Picture:
    """(S, S, 3) RGB as (64, 64) grey levels, each the mean of a block, S >= 64."""
    edges = np.arange(REFERENCE_SIDE) * len(picture) // REFERENCE_SIDE
    rgb = np.add.reduceat(np.add.reduceat(picture, edges, axis=0, dtype=np.int64), edges, axis=1)
    lengths = np.diff(edges, append=len(picture))
    weighted = rgb @ np.array([77, 150, 29], dtype=np.int64)
    count = 256 * lengths[:, None] * lengths[None, :]
    means: Picture = ((weighted + count // 2) // count).astype(np.uint8)
    return means


def registered(grey: Picture, reference: Picture, model: str, aspect: tuple[int, int] = (1, 1)) -> Pose:
    """The pose with the highest correlation, of (64, 64) grey levels to a reference of the same."""
    views = {side: (_halved(grey, side), _halved(reference, side)) for side in (COARSE, MIDDLE, REFERENCE_SIDE)}
    turns = COARSE_TURNS if model == "euclidean" else (0,)
    unit = SHIFTS // COARSE
    reach = range(-REACH * unit, REACH * unit + 1, unit)
    coarse = [(x, y, turn) for turn in turns for y in reach for x in reach]
    found = _correlations(*views[COARSE], coarse, aspect)
    best = [coarse[i] for i in np.argsort(-found, kind="stable")[:KEPT]]
    for side, shift, turn in FINE:
        steps = shift, shift, turn if model == "euclidean" else 0
        climbed = [_climbed(*views[side], pose, steps, aspect) for pose in best]
        pose, correlation = max(climbed, key=lambda one: one[1])
        best = [pose]
    return Pose(*_between(*views[REFERENCE_SIDE], pose, steps, aspect), aspect, correlation)


_Step = tuple[int, int, int]


def _climbed(
    picture: Whole, reference: Whole, pose: _Step, steps: _Step, aspect: tuple[int, int]
) -> tuple[_Step, float]:
    """The best pose among neighbours, of the neighbours' neighbours and so on, and its correlation."""
    best = -1.0
    for _ in range(ROUNDS):
        near = _neighbours(pose, steps)
        found = _correlations(picture, reference, near, aspect)
        at = int(found.argmax())
        pose, best = near[at], float(found[at])
        if at == 0:
            break
    return pose, best


def _neighbours(pose: _Step, steps: _Step) -> list[_Step]:
    """The pose itself, and a step back and forth along each axis."""
    x, y, turn = pose
    along_x, along_y, along_turn = steps
    near = [pose, (x - along_x, y, turn), (x + along_x, y, turn), (x, y - along_y, turn), (x, y + along_y, turn)]
    return [*near, (x, y, turn - along_turn), (x, y, turn + along_turn)]


def _between(
    picture: Whole, reference: Whole, pose: _Step, steps: _Step, aspect: tuple[int, int]
) -> tuple[int, int, int]:
    """The pose at the top of a parabola through the correlations of both neighbours, along each axis by itself."""
    found = _correlations(picture, reference, _neighbours(pose, steps), aspect)
    moved = []
    for i, step in enumerate(steps):
        before, after = float(found[1 + 2 * i]), float(found[2 + 2 * i])
        bend = before - 2.0 * float(found[0]) + after
        offset = 0.5 * (before - after) / bend if bend < 0.0 else 0.0
        moved.append(pose[i] + math.floor(step * min(0.5, max(-0.5, offset)) + 0.5))
    return moved[0], moved[1], moved[2]


def _correlations(
    picture: Whole, reference: Whole, poses: Sequence[_Step], aspect: tuple[int, int]
) -> NDArray[np.float64]:
    """Of each pose the correlation of what both show; -1 where that is too little, or without any contrast."""
    side = len(picture)
    places = _places(side, poses, aspect)
    last = (side - 1) << 17
    shown = (places[0] >= 0) & (places[0] <= last) & (places[1] >= 0) & (places[1] <= last)
    a = np.where(shown, (_blended(picture, *places) + ONE // 2) >> 16, 0).reshape(len(poses), -1).astype(np.int64)
    seen = shown.reshape(len(poses), -1).astype(np.int64)
    b = reference.reshape(-1).astype(np.int64)
    n, sum_a, sum_b = seen.sum(axis=1), a.sum(axis=1), seen @ b
    covariance = n * (a @ b) - sum_a * sum_b
    spread_a, spread_b = n * (a * a).sum(axis=1) - sum_a * sum_a, n * (seen @ (b * b)) - sum_b * sum_b
    usable = (spread_a > 0) & (spread_b > 0) & (LEAST_SHARE * n >= side * side)
    product = np.where(usable, spread_a, 1).astype(np.float64) * np.where(usable, spread_b, 1).astype(np.float64)
    return np.where(usable, covariance.astype(np.float64) / np.sqrt(product), -1.0)


def _places(side: int, poses: Sequence[_Step], aspect: tuple[int, int]) -> tuple[Whole, Whole]:
    """Where each pixel of the reference lies in the picture, columns and rows (P, side, side), in 2^-17 pixels."""
    # Of the smaller pictures all fits into 32 bits, which takes half the time.
    whole = np.int32 if side <= REFERENCE_SIDE else np.int64
    c, left, down = np.array([_matrix(turn, *aspect) for _, _, turn in poses], dtype=whole).T[:, :, None, None]
    x, y = (np.array([_pixels(pose[i], side) for pose in poses], dtype=whole)[:, None, None] for i in (0, 1))
    u = 2 * np.arange(side, dtype=whole) - (side - 1)
    middle = (side - 1) * ONE
    return c * u[None, :] - left * u[:, None] + middle + 2 * x, down * u[None, :] + c * u[:, None] + middle + 2 * y


def _blended(values: NDArray[Any], x: Whole, y: Whole) -> NDArray[Any]:
    """2^16 times what lies at these places, in 2^-17 pixels, between the four pixels around; edges go on outside."""
    last = len(values) - 1
    x, y = np.clip(x, 0, last << 17), np.clip(y, 0, last << 17)
    column, row, right, low = x >> 17, y >> 17, (x >> 9) & 255, (y >> 9) & 255
    next_column, next_row = np.minimum(column + 1, last), np.minimum(row + 1, last)
    if values.ndim > 2:
        right, low = right[..., None], low[..., None]
    upper = (256 - low) * (256 - right) * values[row, column] + (256 - low) * right * values[row, next_column]
    lower = low * (256 - right) * values[next_row, column]
    blended: NDArray[Any] = upper + lower + low * right * values[next_row, next_column]
    return blended


def _matrix(turn: int, width: int, height: int) -> tuple[int, int, int]:
    """Cosine, and sine times height over width and width over height, in 2^-16: what is squeezed turns as it was."""
    angle = turn * math.pi / (180.0 * TURNS)
    sine = math.sin(angle) * ONE
    scaled = math.cos(angle) * ONE, sine * height / width, sine * width / height
    whole = [math.floor(value + 0.5) for value in scaled]
    return whole[0], whole[1], whole[2]


def _pixels(shift: int, side: int) -> int:
    """A shift in 2^-16 pixels."""
    return shift * side * (ONE // SHIFTS)


@functools.lru_cache(maxsize=8)
def _reference(digits: str) -> Picture:
    return np.frombuffer(bytes.fromhex(digits), dtype=np.uint8).reshape(REFERENCE_SIDE, REFERENCE_SIDE)


def _halved(grey: Picture, side: int) -> Whole:
    """(64, 64) as the means of blocks, (side, side)."""
    block = REFERENCE_SIDE // side
    sums = grey.astype(np.int64).reshape(side, block, side, block).sum(axis=(1, 3))
    means: Whole = ((sums + block * block // 2) // (block * block)).astype(np.int32)
    return means
