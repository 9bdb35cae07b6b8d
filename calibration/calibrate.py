"""Score calibration: from pictures of good parts to the thresholds in calibration.json."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple

import numpy as np

from csflow.calibration.outliers import refuse_outliers
from csflow.calibration.pictures import check_sizes, find_pictures, lost_line, refuse_seen, unseen_of
from csflow.calibration.thresholds import (
    check_rate,
    conformal_rank,
    largest_rank,
    percent,
    reachable,
    required_parts,
    upper_bound,
)
from csflow.runtime import schema
from csflow.runtime.bundle.calibration import MAX_SCORES, Calibration
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.manifest import Preprocessing
from csflow.runtime.bundle.pictures import (
    CALIBRATION_DECODERS,
    CALIBRATION_PICTURES,
    CalibrationDecoders,
    PictureSizes,
    knows_training,
    squeezed,
)
from csflow.runtime.engine import Engine
from csflow.runtime.engines.pictures import predict
from csflow.runtime.errors import CalibrationError, ConfigError
from csflow.runtime.line.frame_health import Look
from csflow.runtime.picture.images import image_size, unread
from csflow.runtime.picture.origin import decoder_in
from csflow.runtime.picture.preprocess import Pieces, pieces_if_found

__all__ = ["CalibrationReport", "Thresholds", "calibrate", "check_parts", "choose_thresholds"]

SHOWN_HIGHEST = 5


class Thresholds(NamedTuple):
    """Thresholds in score units, and what they promise."""

    reject: float
    warn: float
    """Never above `reject`."""
    bound: float
    """Upper bound on the share of good parts above `reject`, in 0..1, at the confidence asked for."""
    k: int
    """`reject` is the k-th largest score; on average k / (n + 1) of the good parts will lie above it."""


@dataclass(frozen=True)
class CalibrationReport:
    """A finished calibration and what a person should look at."""

    calibration: Calibration
    k: int
    """The reject threshold is the k-th largest score."""
    highest: tuple[tuple[Path, float], ...]
    """The highest-scoring pictures, highest first: a defect among them spoils the threshold."""
    training_checked: bool
    """Whether the bundle lists its training pictures, so that none of them can be among these."""
    warnings: tuple[str, ...] = ()
    """What is odd about the pictures, in words."""
    left_out: int = 0
    """Pictures of the training, left out because the training itself set others of these aside."""
    not_found: tuple[Path, ...] = ()
    """Pictures without the part that the bundle aligns by: they have no score, and the promise is about the others."""

    @property
    def expected_reject_share(self) -> float:
        """Share of good parts above the reject threshold, averaged over calibrations like this one."""
        return self.k / (len(self.calibration.scores) + 1)


def calibrate(
    bundle: Bundle,
    paths: Sequence[Path | str],
    engine: Engine,
    rate: float = 0.01,
    confidence: float = 0.95,
    warn_rate: float | None = None,
    progress: Callable[[int, int], None] | None = None,
    any_size: bool = False,
    keep_outliers: bool = False,
) -> CalibrationReport:
    """Score pictures of good parts, one a part, choose the thresholds and write calibration.json.

    Everything that can be refused without scoring is refused before the first picture is scored; after an
    error the old calibration.json is as it was. A picture without the part that the bundle aligns by has no score, and
    is left out and named in the report: at the line it is an ERROR.

    Args:
        bundle: the bundle whose thresholds are wanted.
        paths: folders (the pictures directly inside) and single pictures, in any mixture.
        engine: the engine that the line uses, opened for `bundle`.
        rate: at most this share of good parts may be rejected, in 0..1 ...
        confidence: ... with this confidence, in 0..1.
        warn_rate: expected share of good parts above the warn threshold, in 0..1; by default five times
            `rate`, at most 0.1, never below `rate`.
        progress: called as progress(pictures scored, pictures in all).
        any_size: take pictures of another size or aspect than the training's.
        keep_outliers: take pictures whose scores lie far outside of the others' (`outliers_of`).

    Raises:
        ConfigError: a share is out of range, or `warn_rate` lies below `rate`.
        CalibrationError: too few parts, a picture twice or from the training, an outlier, a score that is not
            finite and positive.
        DataError: no pictures where they were looked for, one that cannot be read, or one of another size.
        BundleError, BundleCorrupted: the bundle's list of training pictures cannot be read.
        InferenceError: the engine failed.
    """
    warn_rate = _warn_rate(rate, warn_rate)
    files = unseen_of(bundle, found := find_pictures(paths))
    _rank(len(files), rate, confidence)
    measured = [image_size(file) for file in files]
    if not any_size:
        check_sizes(bundle, files)
    odd = _odd(bundle, paths, measured)
    training_checked = refuse_seen(bundle, files)
    look = Look()
    scored = _score(files, engine, bundle.manifest.preprocessing, look, progress)
    not_found = tuple(file for file in files if file not in scored)
    lost = lost_line(not_found)
    _rank(len(scored), rate, confidence, lost)
    if not keep_outliers:
        refuse_outliers(scored)
    scores = sorted(scored.values())
    thresholds = choose_thresholds(scores, rate, confidence, warn_rate)
    calibration = _calibration(bundle, engine, scores, thresholds, (rate, confidence))
    _write(bundle, calibration, look, measured, list(scored))
    highest = sorted(scored.items(), key=lambda item: -item[1])[:SHOWN_HIGHEST]
    warnings = tuple(filter(None, (*odd, lost)))
    left_out = len(found) - len(files)
    return CalibrationReport(calibration, thresholds.k, tuple(highest), training_checked, warnings, left_out, not_found)


def _odd(
    bundle: Bundle, paths: Sequence[Path | str], sizes: Sequence[tuple[int, int]]
) -> tuple[str | None, str | None]:
    """What is odd about the pictures, and what lies beside them and is none."""
    folders = [path for path in map(Path, paths) if path.is_dir()]
    beside = unread(path for folder in folders for path in sorted(folder.iterdir()))
    return squeezed(sizes, bundle.manifest.preprocessing), beside


def _calibration(
    bundle: Bundle, engine: Engine, scores: Sequence[float], thresholds: Thresholds, promise: tuple[float, float]
) -> Calibration:
    """The record of thresholds for scores in ascending order; `promise` is the rate and the confidence asked for."""
    return Calibration(
        reject_threshold=thresholds.reject,
        warn_threshold=thresholds.warn,
        false_reject_rate=promise[0],
        confidence=promise[1],
        bound=thresholds.bound,
        warn_rate=(1 + sum(s > thresholds.warn for s in scores)) / (len(scores) + 1),
        scores=tuple(scores),
        weights_sha256=bundle.weights_sha256,
        backend=engine.name,
        created_utc=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )


def _write(
    bundle: Bundle, calibration: Calibration, look: Look, sizes: Sequence[tuple[int, int]], files: Sequence[Path]
) -> None:
    if not knows_training(bundle):
        seen = look.record(PictureSizes.of(sizes))
        bundle = bundle.update({CALIBRATION_PICTURES: schema.dump_json(schema.to_mapping(seen))})
    bundle = _remember_decoders(bundle, files)
    bundle.write_calibration(schema.dump_json(schema.to_mapping(calibration)))


def _remember_decoders(bundle: Bundle, files: Sequence[Path]) -> Bundle:
    """Pictures that csflow saved tell by what their pixels were made; a run that takes another way is told of it."""
    found = {decoder_in(file) for file in files}
    known = CalibrationDecoders(() if "" in found else tuple(sorted(found)))
    if not known.decoders and not bundle.has(CALIBRATION_DECODERS):
        return bundle
    return bundle.update({CALIBRATION_DECODERS: schema.dump_json(schema.to_mapping(known))})


def choose_thresholds(
    scores: Sequence[float], rate: float, confidence: float, warn_rate: float | None = None
) -> Thresholds:
    """Thresholds from the scores of good parts, one score a part, in any order.

    The reject threshold is the lowest score that keeps the false-reject rate at or below `rate` with
    `confidence`; the warn threshold the lowest one that at most `warn_rate` of good parts exceed on average
    (default as in `calibrate`). All shares in 0..1.

    Raises:
        ConfigError: a share is out of range, or `warn_rate` lies below `rate`.
        CalibrationError: too few scores (the message says how many are needed and what these support), or
            one that is not finite.
    """
    warn_rate = _warn_rate(rate, warn_rate)
    n = len(scores)
    k = _rank(n, rate, confidence)
    if not all(map(math.isfinite, scores)):
        raise CalibrationError("a score is not finite, so no threshold can rest on these: score the parts again")
    descending = sorted(scores, reverse=True)
    # At a confidence below one half the reject rank can pass the warn rank; warn must not lie above reject.
    warn_k = max(k, conformal_rank(n, warn_rate) or k)
    return Thresholds(descending[k - 1], descending[warn_k - 1], upper_bound(n, k, confidence), k)


def check_parts(parts: int, rate: float, confidence: float = 0.95) -> None:
    """Raise CalibrationError, as `choose_thresholds` would, where so many good parts cannot promise this rate; both in
    0..1. ConfigError where one is out of range."""
    _rank(parts, rate, confidence)


def _warn_rate(rate: float, asked: float | None) -> float:
    check_rate("false-reject rate", rate)
    if asked is None:
        return max(rate, min(5 * rate, 0.1))
    check_rate("warn rate", asked)
    if asked < rate:
        raise ConfigError(
            f"the warn rate {percent(asked)} lies below the false-reject rate {percent(rate)}: "
            "warnings come before rejects, so give a warn rate at least as high"
        )
    return asked


def _rank(n: int, rate: float, confidence: float, lost: str = "") -> int:
    k = largest_rank(n, rate, confidence)
    if k is None:
        raise CalibrationError("; ".join(filter(None, (_too_few(n, rate, confidence), lost))))
    if n > MAX_SCORES:
        raise CalibrationError(f"{n} pictures are more than the {MAX_SCORES} a calibration holds: name fewer")
    return k


def _too_few(n: int, rate: float, confidence: float) -> str:
    promise = f"{percent(rate)} at {percent(confidence)} confidence"
    need = f"need {required_parts(rate, confidence)} good parts for {promise}"
    if n == 0:
        return f"{need}, have none: bring good parts"
    best = upper_bound(n, 1, confidence)
    text = f"{need}, have {n}: the best bound these parts support is {percent(best, 3)}; bring more"
    if best > 0.5:
        return text
    return f"{text} or pass --false-reject-rate {reachable(n, confidence)}"


def _score(
    files: Sequence[Path],
    engine: Engine,
    how: Preprocessing,
    look: Look,
    progress: Callable[[int, int], None] | None,
) -> dict[Path, float]:
    """The score of each picture that shows the part."""
    scored: dict[Path, float] = {}
    for index, file in enumerate(files):
        if (picture := pieces_if_found(file, how)) is not None:
            scored[file] = _score_one(file, picture, engine, look)
        if progress is not None:
            progress(index + 1, len(files))
    return scored


def _score_one(file: Path, picture: Pieces, engine: Engine, look: Look) -> float:
    for image in picture.some():
        look.add(image)
    prediction = predict(engine, picture, str(file))
    if not (math.isfinite(prediction.score) and np.isfinite(prediction.anomaly_map).all()):
        raise CalibrationError(
            f"{file}: engine {engine.name!r} gave a score or map that is not finite, so no threshold "
            "can rest on it: look at the picture, then try another --backend or train again"
        )
    if prediction.score <= 0.0 or float(prediction.anomaly_map.min(initial=0.0)) < 0.0:
        raise CalibrationError(
            f"{file}: engine {engine.name!r} gave the score {prediction.score:g} or a map below 0; scores lie above 0, "
            "maps at 0 or above, and at the line such a part would be an ERROR: a fault of the method, report it"
        )
    return float(prediction.score)
