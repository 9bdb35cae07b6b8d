"""Choosing golden frames before a training and scoring them with the model as trained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from csflow.runtime.bundle.golden import GoldenFrame, write_golden
from csflow.runtime.bundle.manifest import Preprocessing
from csflow.runtime.picture.preprocess import pieces_if_found
from csflow.toolkit.data.prepared import one_piece
from csflow.toolkit.model import Model

__all__ = ["EACH", "evenly", "golden_pictures", "score_golden"]

EACH = 4
"""Good frames, and defective ones."""
PIXELS = 32
"""Pixels of the input per value of a map that is kept: finer maps would be megabytes of JSON, read at every start."""


def golden_pictures(
    how: Preprocessing, good: Sequence[Path], defects: Sequence[tuple[str, Path]]
) -> list[tuple[str, NDArray[np.uint8]]]:
    """Four good frames and four defective ones, (S, S, 3) uint8 RGB, each with its label; of tiles one a picture.

    Args:
        good: pictures of good parts. They are the training's: scores of parts that the thresholds come from may lie
            on a threshold, where rounding alone changes a verdict.
        defects: (type, path); one of each type in turn, of pictures that show the part. Where there is none, and of
            tiles, good frames with a dark square stand in: the frames test engines, not the detector.

    Raises DataError for a picture that cannot be read, SourceError for one that the region of interest leaves.
    """
    chosen = [("good", one_piece(path, how, (2 * i + 1) / (2 * len(good)))) for i, path in enumerate(good)]
    # Which tile shows the defect nobody knows yet.
    shown = [] if how.tiles is not None else list(islice(_shown(_one_of_each(defects), how), EACH))
    return [*chosen, *(shown or [("dark square", _damaged(image)) for _, image in chosen])]


def score_golden(
    model: Model, chosen: Sequence[tuple[str, NDArray[np.uint8]]], good_scores: Sequence[float] = ()
) -> dict[str, bytes]:
    """The golden files for pictures (S, S, 3) uint8 RGB with their labels.

    Args:
        good_scores: scores of good parts, whose spread engines are judged by.
    """
    pictures = []
    for i, (label, image) in enumerate(chosen):
        (prediction,) = model.predict(torch.from_numpy(image[None]))
        cell = _cell(prediction.anomaly_map.shape[0], image.shape[0])
        pictures.append((image, GoldenFrame.of(f"{i:02d}.png", label, prediction, cell)))
    return write_golden(pictures, good_scores)


def _cell(map_side: int, image_side: int) -> int:
    cell, rest = divmod(map_side, image_side // PIXELS)
    return cell if cell > 1 and rest == 0 else 1


def evenly(paths: Sequence[Path]) -> list[Path]:
    """`EACH` of these, or all."""
    count = min(EACH, len(paths))
    return [paths[i * len(paths) // count] for i in range(count)]


def _one_of_each(defects: Sequence[tuple[str, Path]]) -> list[tuple[str, Path]]:
    """All of them, one of each type first."""
    first = {kind: (kind, path) for kind, path in reversed(defects)}
    others = [d for d in defects if d not in first.values()]
    return sorted(first.values()) + others


def _shown(pictures: Sequence[tuple[str, Path]], how: Preprocessing) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    for kind, path in pictures:
        if (pieces := pieces_if_found(path, how)) is not None:
            yield kind, pieces.image


def _damaged(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    damaged: NDArray[np.uint8] = image.copy()
    side = image.shape[0]
    square = damaged[side // 3 : side // 3 + side // 8, side // 2 : side // 2 + side // 8]
    square //= 4
    return damaged
