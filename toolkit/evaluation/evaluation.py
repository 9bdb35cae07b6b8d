"""Evaluation: score a test set and say how well scores, maps and verdicts fit what is known about the parts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from csflow.calibration.metrics import GOOD, DefectRow, Rates, defect_table, image_auroc, pixel_auroc, pro, rates
from csflow.runtime.bundle.calibration import Calibration, load_calibration
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.manifest import Preprocessing
from csflow.runtime.bundle.pictures import squeezed
from csflow.runtime.engine import Engine
from csflow.runtime.engines.pictures import predict
from csflow.runtime.errors import DataError, InferenceError
from csflow.runtime.labels.folder import LABELS, LabelFolder
from csflow.runtime.labels.label import LabelCounts
from csflow.runtime.machine.names import shown
from csflow.runtime.picture.images import image_size
from csflow.runtime.picture.preprocess import pieces_if_found
from csflow.runtime.picture.region import Region
from csflow.toolkit.data.dataset import Dataset, Sample, check_test, load_mask
from csflow.toolkit.data.pixels import compared_side, compared_size, kept_map, resized_map

__all__ = ["Evaluation", "LostPart", "PixelMetrics", "ScoredSample", "evaluate", "glance", "truth_of"]

SHOWN_NAMES = 5


@dataclass(frozen=True)
class ScoredSample:
    """One test picture and what the engine said."""

    sample: Sample
    name: str
    """Path below the data set's root, with forward slashes."""
    size: tuple[int, int]
    """(width, height) of the picture in pixels."""
    score: float
    """Raw score, finite."""
    anomaly_map: NDArray[np.float32]
    """(h, w) float32, finite; covers the region of interest, and has no more pixels than it is compared at."""
    verdict: str | None
    """OK, UNCERTAIN or NOK; None where the bundle has no thresholds."""

    @property
    def good(self) -> bool:
        """Whether the part is known to be good."""
        return self.sample.label == GOOD


@dataclass(frozen=True)
class LostPart:
    """A test picture without the part that the bundle aligns by: an ERROR at the line, without a score."""

    name: str
    """As `ScoredSample.name`."""
    label: str
    """The folder's: good, or the type of defect."""


@dataclass(frozen=True)
class PixelMetrics:
    """How well the maps find the defects, over pictures whose truth is known pixel by pixel."""

    auroc: float
    pro: float
    """Per-region overlap, integrated up to a false-positive rate of 0.3 (`csflow.calibration.metrics.pro`)."""
    images: int
    """Pictures that took part: all good ones, and defects whose mask marks at least one pixel."""
    left_out: int
    """Defects without a mask, or with an empty one."""
    side_px: int
    """Longer side at which map and mask were compared; smaller pictures at their own size."""


@dataclass(frozen=True)
class Evaluation:
    """The outcome of one evaluation. Numbers go to JSON by `to_json`, pictures by `report.write_report`."""

    root: Path
    layout: str
    bundle: str
    weights_sha256: str
    engine: str
    created_utc: str
    region: Region
    """What of the pictures the model looks at."""
    samples: tuple[ScoredSample, ...]
    calibration: Calibration | None
    image_auroc: float
    pixel: PixelMetrics | None
    """None where no mask marks a pixel."""
    rates: Rates | None
    """False rejects and escapes; None where the bundle has no thresholds."""
    defects: tuple[DefectRow, ...]
    """One row a defect type, against all good pictures."""
    left_out: tuple[str, ...] = ()
    """Pictures and masks of the data set that took no part, in words."""
    labels: LabelCounts | None = None
    """How often an operator overruled the line's verdicts on these parts; None where nobody labelled any."""
    warnings: tuple[str, ...] = ()
    """What is odd about the pictures, in words."""
    not_found: tuple[LostPart, ...] = ()
    """Pictures without the part that the bundle aligns by. `rates` counts them as ERRORs, nothing else does."""

    def scores(self, label: str) -> list[float]:
        """Scores of all pictures of this type."""
        return [s.score for s in self.samples if s.sample.label == label]

    @property
    def good(self) -> tuple[ScoredSample, ...]:
        """The good pictures."""
        return tuple(s for s in self.samples if s.good)

    @property
    def defective(self) -> tuple[ScoredSample, ...]:
        """The defective pictures."""
        return tuple(s for s in self.samples if not s.good)


def evaluate(
    bundle: Bundle, dataset: Dataset, engine: Engine, progress: Callable[[int], None] | None = None
) -> Evaluation:
    """Score every test picture and compare with its folder, its mask, and the thresholds.

    Args:
        bundle: gives preprocessing and thresholds.
        dataset: its test pictures are used, nothing else.
        engine: opened for `bundle`.
        progress: called with 1 after each picture.

    A picture without the part that the bundle aligns by is named in the outcome, and the others are scored.

    Raises:
        DataError: no good or no defective test pictures, the part is in none of them, or a picture or mask cannot be
            read.
        SourceError: the region of interest leaves a picture.
        InferenceError: the engine failed, or gave a score or map that is not finite.
        BackendUnavailable: scikit-learn or SciPy is not installed.
        CalibrationError: calibration.json is malformed or belongs to another model.
    """
    check_test(dataset)
    calibration = load_calibration(bundle)
    how = bundle.manifest.preprocessing
    region, side = Region.of(how), compared_side(len(dataset.test))
    seen: list[ScoredSample | LostPart] = []
    for sample in dataset.test:
        seen.append(_score(sample, dataset.root, how, engine, calibration, side))
        if progress is not None:
            progress(1)
    samples, lost = _apart(seen)
    _check_found(samples, lost)
    scores, labels = [s.score for s in samples], [s.sample.label for s in samples]
    every = [*scores, *(math.nan for _ in lost)], [*labels, *(part.label for part in lost)]
    odd = squeezed([s.size for s in samples], how), _lost_line(lost)
    return Evaluation(
        **_what(bundle, dataset, engine),
        region=region,
        samples=samples,
        calibration=calibration,
        image_auroc=image_auroc(scores, [not s.good for s in samples]),
        pixel=_pixel_metrics(samples, region, side),
        rates=None if calibration is None else rates(*every, calibration),
        defects=defect_table(scores, labels, calibration),
        left_out=dataset.left_out,
        labels=LabelFolder(dataset.place).counts() if (dataset.place / LABELS).is_file() else None,
        warnings=tuple(filter(None, odd)),
        not_found=lost,
    )


def glance(bundle: Bundle, dataset: Dataset, good: Sequence[Sample], engine: Engine) -> Evaluation:
    """Score a few good pictures of a data set without defects, for their heat maps: no figure compares anything.

    Raises as `evaluate` does for pictures and engine, and DataError where the part is in none of them.
    """
    calibration, how = load_calibration(bundle), bundle.manifest.preprocessing
    side = compared_side(len(good))
    samples, lost = _apart([_score(sample, dataset.root, how, engine, calibration, side) for sample in good])
    if lost and not samples:
        raise _nowhere(GOOD, lost[0])
    return Evaluation(
        **_what(bundle, dataset, engine),
        region=Region.of(how),
        samples=samples,
        calibration=calibration,
        image_auroc=math.nan,
        pixel=None,
        rates=None,
        defects=(),
        not_found=lost,
    )


def _what(bundle: Bundle, dataset: Dataset, engine: Engine) -> dict[str, Any]:
    """Which pictures were scored by what, and when: fields of `Evaluation`."""
    return {
        "root": dataset.place,
        "layout": dataset.layout,
        "bundle": str(bundle.path),
        "weights_sha256": bundle.weights_sha256,
        "engine": engine.name,
        "created_utc": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def truth_of(scored: ScoredSample, longest_px: int, region: Region) -> NDArray[np.bool_]:
    """The mask of the region of interest, (H, W) bool, reduced so that its longer side is at most `longest_px`.

    What is ignored is no defect. Raises DataError for a defect without a mask.
    """
    mask = region.looked_at(load_mask(scored.sample, scored.size))
    size = compared_size((mask.shape[1], mask.shape[0]), longest_px)
    return np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST), dtype=np.bool_)


def _apart(seen: Sequence[ScoredSample | LostPart]) -> tuple[tuple[ScoredSample, ...], tuple[LostPart, ...]]:
    scored = tuple(one for one in seen if isinstance(one, ScoredSample))
    return scored, tuple(one for one in seen if isinstance(one, LostPart))


def _check_found(samples: Sequence[ScoredSample], lost: Sequence[LostPart]) -> None:
    if lost and len({scored.good for scored in samples}) < 2:
        missing = "defective" if any(scored.good for scored in samples) else GOOD
        raise _nowhere(missing, next(part for part in lost if (part.label == GOOD) == (missing == GOOD)))


def _lost_line(lost: Sequence[LostPart]) -> str:
    if not lost:
        return ""
    good, names = sum(part.label == GOOD for part in lost), ", ".join(part.name for part in lost[:SHOWN_NAMES])
    more = f" and {len(lost) - SHOWN_NAMES} more" if len(lost) > SHOWN_NAMES else ""
    return (
        f"the part was not found in {good} good and {len(lost) - good} defective pictures ({names}{more}): each is an "
        "ERROR at the line, without a score; AUROC and maps are of the others"
    )


def _nowhere(kind: str, example: LostPart) -> DataError:
    return DataError(
        f"the part is in none of the {kind} test pictures, not in {example.name} for example: look whether they show "
        "it as the training pictures do"
    )


def _score(
    sample: Sample, root: Path, how: Preprocessing, engine: Engine, calibration: Calibration | None, side: int
) -> ScoredSample | LostPart:
    size, name = image_size(sample.path), shown(sample.path.relative_to(root).as_posix())
    if (picture := pieces_if_found(sample.path, how)) is None:
        return LostPart(name, sample.label)
    prediction = predict(engine, picture, str(sample.path))
    if not (math.isfinite(prediction.score) and np.isfinite(prediction.anomaly_map).all()):
        raise InferenceError(
            f"{engine.name} gave a score or map that is not finite for {sample.path}: "
            "evaluate with --backend torch, or train again"
        )
    return ScoredSample(
        sample,
        name,
        size,
        float(prediction.score),
        kept_map(prediction.anomaly_map, compared_size(how.roi[2:] if how.roi else size, side)),
        None if calibration is None else calibration.verdict(prediction.score).name,
    )


def _pixel_metrics(samples: Sequence[ScoredSample], region: Region, side: int) -> PixelMetrics | None:
    used = [s for s in samples if s.good or (s.sample.mask is not None and truth_of(s, side, region).any())]
    if all(s.good for s in used):
        return None

    def truths() -> Iterator[NDArray[np.bool_]]:
        return (truth_of(s, side, region) for s in used)

    def maps() -> Iterator[NDArray[np.float32]]:
        return (resized_map(s.anomaly_map, truth.shape[::-1]) for s, truth in zip(used, truths(), strict=True))

    return PixelMetrics(pixel_auroc(maps(), truths()), pro(maps(), truths()), len(used), len(samples) - len(used), side)
