"""Golden frames: a few pictures in the bundle with the scores that the trained model gives them.

Every engine is checked against them before it may decide anything: another build, another precision or a
wrong colour order shows here first.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from csflow.runtime import schema
from csflow.runtime.bundle.calibration import Calibration
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.errors import BundleCorrupted, EngineMismatch
from csflow.runtime.types import Frame, Prediction

if TYPE_CHECKING:
    from csflow.runtime.engine import Engine

__all__ = [
    "BAND",
    "GOLDEN",
    "MAP_TOLERANCE",
    "SCORE_TOLERANCE",
    "TOLERANCES",
    "GoldenCheck",
    "GoldenFrame",
    "check_golden",
    "load_golden",
    "means",
    "require_golden",
    "tolerances",
    "write_golden",
]

GOLDEN = "golden/golden.json"
TOLERANCES = {"fp32": (1e-4, 1e-3), "fp16": (1e-2, 2e-2), "bf16": (5e-2, 1e-1), "int8": (1e-1, 1.5e-1)}
"""Largest relative error of a score and of a map on the golden frames that each precision explains: what the decision
gate asks for. At a start, where the machine or the library may be another one, the two below are the least."""
STRIDE = 32
"""Pixels of the input per value of a 'scale0-mean-z2' map (`csflow.runtime.types.Prediction`)."""
SCORE_TOLERANCE = 0.05
"""Largest relative score error that a lower precision explains; a wrong colour order exceeds it by far."""
BAND = 0.005
"""Relative distance to a threshold within which a verdict may differ: neither side is surer than that. A threshold is
itself a good part's score, and that part may be a golden frame."""
MAP_TOLERANCE = 0.1
"""Largest share of a map's sum that a lower precision explains; a mirrored map exceeds it by far."""


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

    @classmethod
    def of(cls, file: str, label: str, prediction: Prediction, cell: int = 1) -> GoldenFrame:
        """The golden frame for a prediction of the trained model, whose map's sides are multiples of `cell`."""
        rows = tuple(tuple(float(value) for value in row) for row in means(prediction.anomaly_map, cell))
        return cls(file, label, prediction.score, rows, cell)


@dataclass(frozen=True)
class _Golden:
    frames: tuple[GoldenFrame, ...]

    def __post_init__(self) -> None:
        if not self.frames:
            raise ValueError("there is no golden frame")


@dataclass(frozen=True)
class GoldenCheck:
    """How an engine did on the golden frames."""

    frames: int
    flips: int
    """Frames whose verdict differs from the trained model's, those left out whose two scores lie within `BAND` around
    a threshold; 0 where the bundle is not calibrated."""
    score_error: float
    """Largest |score - expected| / expected; infinite where a score is not finite."""
    map_error: float
    """Largest sum of |map - expected| over the sum of expected; infinite for a map of another shape."""

    def passed(self, engine_name: str) -> bool:
        """Whether an engine of this name may start: no verdict differs, scores and maps are within what is allowed."""
        of_score, of_map = tolerances(engine_name)
        score_limit, map_limit = max(SCORE_TOLERANCE, of_score), max(MAP_TOLERANCE, of_map)
        return self.flips == 0 and self.score_error <= score_limit and self.map_error <= map_limit


def tolerances(engine_name: str) -> tuple[float, float]:
    """Largest relative error of a score and of a map on the golden frames, by the precision in the engine's name."""
    return TOLERANCES.get(engine_name.rpartition("-")[2], (SCORE_TOLERANCE, MAP_TOLERANCE))


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
    values = side if bundle.manifest.definitions.anomaly_map == "product-mean-z2" else side // STRIDE
    if odd := next((g for g in listed if g.cell * len(g.anomaly_map) != values), None):
        raise BundleCorrupted(
            f"{bundle.path / GOLDEN}: the map of {odd.file} has {len(odd.anomaly_map)} rows of cells of {odd.cell}, "
            f"expected {values} values a side; train again"
        )
    return [(Frame(_decode(bundle, g.file, side), i, 0, f"golden/{g.file}"), g) for i, g in enumerate(listed)]


def check_golden(
    engine: Engine, golden: list[tuple[Frame, GoldenFrame]], calibration: Calibration | None
) -> GoldenCheck:
    """Score the golden frames one by one and compare. Raises InferenceError when the engine fails."""
    flips, score_error, map_error = 0, 0.0, 0.0
    for frame, expected in golden:
        (got,) = engine.infer([frame])
        score_error = max(score_error, _relative(got.score, expected.score))
        map_error = max(map_error, _map_error(got.anomaly_map, expected))
        if calibration is not None and not _on_a_threshold((expected.score, got.score), calibration):
            flips += calibration.verdict(got.score) is not calibration.verdict(expected.score)
    return GoldenCheck(len(golden), flips, score_error, map_error)


def require_golden(engine: Engine, bundle: Bundle, calibration: Calibration | None) -> None:
    """Let nothing decide that does not agree with the trained model on the bundle's golden frames.

    Raises:
        EngineMismatch: a score, map or verdict differs; the message says by how much.
        BundleError, BundleCorrupted: the bundle has no golden frames, or they are damaged.
        InferenceError: the engine fails.
    """
    check = check_golden(engine, load_golden(bundle), calibration)
    if not check.passed(engine.name):
        raise EngineMismatch(
            f"engine {engine.name} does not agree with the trained model on the golden frames: {check.flips} of "
            f"{check.frames} verdicts differ, largest error of a score {check.score_error:.2%}, of a map "
            f"{check.map_error:.2%}; run 'csflow export' again"
        )


def _on_a_threshold(scores: tuple[float, float], calibration: Calibration) -> bool:
    thresholds = (calibration.warn_threshold, calibration.reject_threshold)
    return any(all(abs(s - t) <= BAND * t for s in scores) for t in thresholds)


def _relative(got: float, expected: float) -> float:
    error = abs(got - expected) / max(abs(expected), 1e-6)
    return error if np.isfinite(error) else float("inf")


def _map_error(got: NDArray[np.float32], golden: GoldenFrame) -> float:
    expected = np.array(golden.anomaly_map)
    if got.shape != tuple(golden.cell * side for side in expected.shape):
        return float("inf")
    error = float(np.abs(means(got, golden.cell) - expected).sum() / max(float(expected.sum()), 1e-6))
    return error if np.isfinite(error) else float("inf")


def means(values: NDArray[np.float32], cell: int) -> NDArray[np.float64]:
    """Means over squares of `cell` values of a map (h, w) whose sides are multiples of it: (h / cell, w / cell)."""
    rows, columns = (side // cell for side in values.shape)
    reduced: NDArray[np.float64] = values.astype(np.float64).reshape(rows, cell, columns, cell).mean(axis=(1, 3))
    return reduced


def _decode(bundle: Bundle, name: str, side: int) -> NDArray[np.uint8]:
    data = bundle.read(f"golden/{name}")
    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as picture:
            if picture.size != (side, side):
                raise BundleCorrupted(f"golden/{name} is {picture.size}, expected {side} pixels square: train again")
            return np.array(picture.convert("RGB"), dtype=np.uint8)
    except (OSError, SyntaxError, ValueError) as error:
        raise BundleCorrupted(f"golden/{name} cannot be decoded ({error}): train again") from None
