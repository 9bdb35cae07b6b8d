"""Golden frames: a few pictures in the bundle with the scores that the trained model gives them.

Every engine is checked against them before it may decide anything: another build, another precision or a
wrong colour order shows here first.
"""

from __future__ import annotations

import io
import math
import statistics
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from csflow.runtime import schema
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.errors import BundleCorrupted
from csflow.runtime.types import Frame, Prediction

__all__ = ["GOLDEN", "SMALL", "GoldenFrame", "GoldenSet", "load_golden", "means", "write_golden"]

GOLDEN = "golden/golden.json"
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
SMALL = 1e-6
"""Least unit of an error; keeps a score of nothing from being divided by."""


@dataclass(frozen=True)
class GoldenFrame:
    """One golden frame: a lossless picture of the model's input size and what float32 torch says about it."""

    file: str
    """PNG inside golden/, (S, S, 3) uint8 RGB, already preprocessed."""
    label: str
    """'good', or the type of the defect."""
    score: float
    anomaly_map: tuple[tuple[float, ...], ...]
    """(h / cell, w / cell) means over squares of the map, row by row."""
    cell: int = 1
    """Side of these squares in values of the map; 1 keeps the map as it is."""

    def __post_init__(self) -> None:
        if self.cell < 1:
            raise ValueError("cell must be at least 1")
        if not self.anomaly_map or {len(row) for row in self.anomaly_map} != {len(self.anomaly_map)}:
            raise ValueError("anomaly_map must have as many columns in every row as it has rows")

    @property
    def shape(self) -> tuple[int, int]:
        """(h, w) of `anomaly_map`."""
        return len(self.anomaly_map), len(self.anomaly_map[0])

    @classmethod
    def of(cls, file: str, label: str, prediction: Prediction, cell: int = 1) -> GoldenFrame:
        """The golden frame for a prediction of the trained model, whose map's sides are multiples of `cell`."""
        rows = tuple(tuple(float(value) for value in row) for row in means(prediction.anomaly_map, cell))
        return cls(file, label, prediction.score, rows, cell)


@dataclass(frozen=True)
class _File:
    """The content of golden.json."""

    frames: tuple[GoldenFrame, ...]
    centre: float | None = None
    spread: float | None = None

    def __post_init__(self) -> None:
        if not self.frames:
            raise ValueError("there is no golden frame")
        if (self.centre is None) != (self.spread is None):
            raise ValueError("centre and spread stand together or not at all")
        if self.spread is not None and not (self.spread > 0.0 and math.isfinite(self.spread)):
            raise ValueError("spread must be a positive number")


@dataclass(frozen=True)
class GoldenSet:
    """The golden frames of a bundle, read and checked. Iterating gives (frame, what it must give)."""

    pictures: tuple[tuple[Frame, GoldenFrame], ...]
    spread: tuple[float, float] | None = None
    """Mean and standard deviation of the scores of the good training pictures; None in bundles of format 1."""

    def __iter__(self) -> Iterator[tuple[Frame, GoldenFrame]]:
        return iter(self.pictures)

    def __len__(self) -> int:
        return len(self.pictures)

    def unit(self, score: float) -> float:
        """What the error of a score is a share of: the spread of good scores, or how far off the score lies from them.

        A score is known up to a shift that a method chose, so no share of the score itself means anything; bundles of
        format 1 hold CS-Flow's scores alone, and are judged by that share as they always were.
        """
        if self.spread is None:
            return max(abs(score), SMALL)
        centre, spread = self.spread
        return max(spread, abs(score - centre))


def write_golden(
    pictures: list[tuple[NDArray[np.uint8], GoldenFrame]], good_scores: Sequence[float] = ()
) -> dict[str, bytes]:
    """The bundle files for golden pictures.

    Args:
        pictures: (S, S, 3) uint8 RGB and what each must give.
        good_scores: scores of good parts, at least two that differ; engines are then judged by their spread.
    """
    centre = spread = None
    if len(good_scores) > 1 and (found := statistics.pstdev(good_scores)) > 0.0:
        centre, spread = statistics.fmean(good_scores), found
    listed = schema.to_mapping(_File(tuple(frame for _, frame in pictures), centre, spread))
    files = {GOLDEN: schema.dump_json({key: value for key, value in listed.items() if value is not None})}
    for image, frame in pictures:
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "PNG")
        files[f"golden/{frame.file}"] = buffer.getvalue()
    return files


def load_golden(bundle: Bundle) -> GoldenSet:
    """The golden frames, hashes checked. Raises BundleError or BundleCorrupted where they are missing or wrong."""
    try:
        listed = schema.from_mapping(_File, schema.parse_json(bundle.read(GOLDEN)))
    except schema.SchemaError as error:
        raise BundleCorrupted(f"{bundle.path / GOLDEN}: {error}; train again") from None
    side = bundle.manifest.preprocessing.image_size
    pictures = tuple(
        (Frame(_decode(bundle, g.file, side), i, 0, f"golden/{g.file}"), g) for i, g in enumerate(listed.frames)
    )
    spread = None if listed.centre is None or listed.spread is None else (listed.centre, listed.spread)
    return GoldenSet(pictures, spread)


def means(values: NDArray[np.float32], cell: int) -> NDArray[np.float64]:
    """Means over squares of `cell` values of a map (h, w) whose sides are multiples of it: (h / cell, w / cell)."""
    rows, columns = (side // cell for side in values.shape)
    reduced: NDArray[np.float64] = values.astype(np.float64).reshape(rows, cell, columns, cell).mean(axis=(1, 3))
    return reduced


def _decode(bundle: Bundle, name: str, side: int) -> NDArray[np.uint8]:
    data = bundle.read(f"golden/{name}")
    # By the header (PNG, clause 11.2.1), before a decoder allocates what it claims.
    width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))
    if data[:8] != PNG_SIGNATURE or data[12:16] != b"IHDR" or (width, height) != (side, side):
        raise BundleCorrupted(f"golden/{name} is no PNG of {side} pixels square: train again")
    try:
        with warnings.catch_warnings(), Image.open(io.BytesIO(data), formats=("PNG",)) as picture:
            warnings.simplefilter("ignore")
            return np.array(picture.convert("RGB"), dtype=np.uint8)
    except Exception as error:  # noqa: BLE001 - a decoder raises anything on damaged bytes
        raise BundleCorrupted(f"golden/{name} cannot be decoded ({error}): train again") from None
