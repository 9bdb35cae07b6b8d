"""Golden frames: a few pictures in the bundle with the scores that the trained model gives them.

Every engine is checked against them before it may decide anything: another build, another precision or a
wrong colour order shows here first.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from csflow.runtime import schema
from csflow.runtime.bundle import Bundle
from csflow.runtime.decision import Calibration
from csflow.runtime.engine import Engine
from csflow.runtime.errors import BundleCorrupted
from csflow.runtime.types import Frame

__all__ = ["GOLDEN", "GoldenCheck", "GoldenFrame", "check_golden", "load_golden", "write_golden"]

GOLDEN = "golden/golden.json"
SCORE_TOLERANCE = 0.05
"""Largest relative score error that a lower precision explains; a wrong colour order exceeds it by far."""


@dataclass(frozen=True)
class GoldenFrame:
    """One golden frame: a lossless picture of the model's input size and what float32 torch says about it."""

    file: str
    """PNG inside golden/, (S, S, 3) uint8 RGB, already preprocessed."""
    label: str
    """'good', or the type of the defect."""
    score: float
    peak: float
    """Largest value of the anomaly map."""


@dataclass(frozen=True)
class _Golden:
    frames: tuple[GoldenFrame, ...]


@dataclass(frozen=True)
class GoldenCheck:
    """How an engine did on the golden frames."""

    frames: int
    flips: int
    """Frames whose verdict differs from the trained model's; 0 where the bundle is not calibrated."""
    score_error: float
    """Largest |score - expected| / expected; infinite where a score is not finite."""
    map_error: float
    """Largest relative error of the map's peak."""

    @property
    def passed(self) -> bool:
        """Whether the engine may decide: no verdict differs and no score is off by more than `SCORE_TOLERANCE`."""
        return self.flips == 0 and self.score_error <= SCORE_TOLERANCE


def write_golden(pictures: list[tuple[NDArray[np.uint8], GoldenFrame]]) -> dict[str, bytes]:
    """The bundle files for golden pictures of shape (S, S, 3) uint8 RGB."""
    files = {GOLDEN: schema.dump_json(schema.to_mapping(_Golden(tuple(frame for _, frame in pictures))))}
    for image, frame in pictures:
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "PNG")
        files[f"golden/{frame.file}"] = buffer.getvalue()
    return files


def load_golden(bundle: Bundle) -> list[tuple[Frame, GoldenFrame]]:
    """The golden frames, hashes checked. Raises BundleError or BundleCorrupted where they are missing or wrong."""
    try:
        listed = schema.from_mapping(_Golden, schema.parse_json(bundle.read(GOLDEN))).frames
    except schema.SchemaError as error:
        raise BundleCorrupted(f"{bundle.path / GOLDEN}: {error}; train again") from None
    side = bundle.manifest.preprocessing.image_size
    return [(Frame(_decode(bundle, g.file, side), i, 0, f"golden/{g.file}"), g) for i, g in enumerate(listed)]


def check_golden(
    engine: Engine, golden: list[tuple[Frame, GoldenFrame]], calibration: Calibration | None
) -> GoldenCheck:
    """Score the golden frames one by one and compare. Raises InferenceError when the engine fails."""
    flips, score_error, map_error = 0, 0.0, 0.0
    for frame, expected in golden:
        (got,) = engine.infer([frame])
        score_error = max(score_error, _relative(got.score, expected.score))
        map_error = max(map_error, _relative(float(np.max(got.anomaly_map)), expected.peak))
        if calibration is not None:
            flips += calibration.verdict(got.score) is not calibration.verdict(expected.score)
    return GoldenCheck(len(golden), flips, score_error, map_error)


def _relative(got: float, expected: float) -> float:
    error = abs(got - expected) / max(abs(expected), 1e-6)
    return error if np.isfinite(error) else float("inf")


def _decode(bundle: Bundle, name: str, side: int) -> NDArray[np.uint8]:
    data = bundle.read(f"golden/{name}")
    try:
        with Image.open(io.BytesIO(data)) as picture:
            if picture.size != (side, side):
                raise BundleCorrupted(f"golden/{name} is {picture.size}, expected {side} pixels square: train again")
            return np.array(picture.convert("RGB"), dtype=np.uint8)
    except (OSError, SyntaxError, ValueError) as error:
        raise BundleCorrupted(f"golden/{name} cannot be decoded ({error}): train again") from None
