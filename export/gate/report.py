"""What the decision gate found, for people: lines for a terminal, one HTML page, one JSON object."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from csflow.export.gate.figures import AUROC_PAIRS, AUROC_TOLERANCE
from csflow.export.gate.thumbnails import Thumbnails
from csflow.export.gate.verify import GateReport, merged_records
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.verification import VERIFICATION, EngineRecord, levels
from csflow.runtime.engines.golden_check import BAND, Tolerances, tolerances
from csflow.runtime.engines.name import EngineName
from csflow.runtime.errors import EngineMismatch
from csflow.toolkit.evaluation.html import render_page

__all__ = ["PAGE", "gate_files", "kept_lines", "page", "require_passed", "summary_lines", "to_json", "untried_lines"]

PAGE = "verification.html"
"""The page's name in the bundle."""
WIDTH_PX, HEIGHT_PX = 640, 220
NEAREST = 10
TICKS = 4
VERDICTS = {0: "OK", 1: "UNCERTAIN", 2: "NOK", -1: "ERROR"}


@dataclass(frozen=True)
class _Dot:
    """One picture in a plot, in pixels."""

    x: float
    y: float
    title: str
    flipped: bool


@dataclass(frozen=True)
class _Tick:
    """A place on the horizontal axis, in pixels, and the score there."""

    x: float
    text: str


@dataclass(frozen=True)
class _Row:
    """One picture near a threshold."""

    name: str
    reference: float
    score: float | None
    verdicts: tuple[str, str]
    picture: str
    """A data URI; empty where it cannot be read any more."""


@dataclass(frozen=True)
class _View:
    """One engine on the page."""

    name: str
    record: EngineRecord
    tolerances: Tolerances
    dots: tuple[_Dot, ...]
    cuts: tuple[_Tick, ...]
    """Thresholds."""
    ticks: tuple[_Tick, ...]
    """Scores along the horizontal axis."""
    limit: float
    """Relative error at the upper and lower edge of the plot."""
    nearest: tuple[_Row, ...]


def gate_files(bundle: Bundle, report: GateReport) -> dict[str, bytes]:
    """verification.json, with the old records that still hold, and the page about this run.

    Raises BackendUnavailable where Jinja2 is not installed.
    """
    return {VERIFICATION: merged_records(bundle, report).to_bytes(), PAGE: page(report).encode()}


def kept_lines(bundle: Bundle, report: GateReport) -> list[str]:
    """Which old records of `bundle` stay, as their engines failed on more pictures than they passed on now."""
    stays = merged_records(bundle, report).engines
    return [
        f"{name}: its record stays, in which it failed on {len(stays[name].scores)} pictures: verify it with as many"
        for name, record in report.records.items()
        if stays[name] != record
    ]


def summary_lines(report: GateReport) -> list[str]:
    """The outcome in a few lines for a terminal."""
    lines = [_line(name, record, name in report.unused) for name, record in report.records.items()]
    for name, record in report.records.items():
        lines += [f"  {name}: {problem}" for problem in record.problems(report.calibration)]
    if report.left_out:
        lines.append(f"not run here: {', '.join(report.left_out)} (csflow verify --backend NAME says why)")
    if report.calibration is None:
        lines.append("not calibrated: scores, maps and AUROC were compared, verdicts once there are thresholds")
    return lines


def untried_lines(report: GateReport) -> list[str]:
    """Which engines were not tried, and why, in one line; none where all were."""
    if not report.untried:
        return []
    precisions = ", ".join(EngineName.parse(name).precision for name in report.untried)
    return [f"{precisions}: not tried, as they round where the int8 backbone of this model does not"]


def require_passed(report: GateReport) -> None:
    """Raise EngineMismatch where an engine failed that somebody named or that a line would use."""
    if report.failed:
        raise EngineMismatch(
            f"{', '.join(report.failed)} failed: 'csflow run' will refuse them; see verification.html in the bundle"
        )


def to_json(report: GateReport) -> dict[str, Any]:
    """Every figure of the run, ready for `json.dumps`; the scores are in verification.json."""
    left = ("reference_scores", "scores")
    return {
        "bundle": str(report.bundle.path),
        "calibrated": report.calibration is not None,
        "pictures": len(report.names),
        "passed": not report.failed,
        "not_used": list(report.unused),
        "engines": {
            name: {key: value for key, value in asdict(record).items() if key not in left}
            | {"problems": record.problems(report.calibration)}
            for name, record in report.records.items()
        },
        "not_run": report.left_out,
        "not_tried": list(report.untried),
    }


def page(report: GateReport) -> str:
    """The HTML page; it needs no other file and no network. Raises BackendUnavailable where Jinja2 is not installed."""
    thumbnail = functools.cache(Thumbnails(report.bundle, report.samples))
    return render_page(
        "csflow.export.gate",
        "verification.html.j2",
        r=report,
        views=[_view(report, name, record, thumbnail) for name, record in report.records.items()],
        band=BAND,
        auroc_tolerance=AUROC_TOLERANCE,
        auroc_pairs=AUROC_PAIRS,
        width=WIDTH_PX,
        height=HEIGHT_PX,
    )


def _line(name: str, record: EngineRecord, unused: bool) -> str:
    f, d = record.figures, record.decisions
    parts = ["passed" if record.passed else "not used" if unused else "FAILED", f"{len(record.scores)} pictures"]
    if d is not None:
        parts.append(f"{d.flips} verdicts differ and {d.flips_in_band} in the band of {record.band:.1%}")
    parts.append(f"score error {f.score_error_max:.1e} (p99 {f.score_error_p99:.1e}), map error {f.map_error_max:.1e}")
    if f.auroc is not None:
        parts.append(f"AUROC {f.auroc:.4f} (changed by {f.auroc_change:.5f})")
    return f"{name}: {', '.join(parts)}"


def _view(report: GateReport, name: str, record: EngineRecord, thumbnail: Callable[[int], str]) -> _View:
    reference = np.array(record.reference_scores)
    scores = np.array([np.nan if s is None else s for s in record.scores])
    errors = (scores - reference) / np.maximum(reference, 1e-6)
    limit = float(np.nanmax(np.abs(errors), initial=1e-6)) * 1.1
    low, high = np.log(max(float(reference.min()), 1e-6)) - 0.05, np.log(float(reference.max())) + 0.05

    def x_of(score: float) -> float:
        return float(np.clip((np.log(max(score, 1e-6)) - low) / (high - low), 0, 1)) * WIDTH_PX

    cuts = record.thresholds or ()
    verdicts = (levels(record.reference_scores, cuts), levels(record.scores, cuts)) if cuts else None
    flipped = verdicts[0] != verdicts[1] if verdicts else np.zeros(len(reference), dtype=bool)
    dots = tuple(
        _Dot(x_of(r), float(HEIGHT_PX / 2 * (1 - e / limit)), f"{n}: {r:.5g}, {s:.5g}", bool(flip))
        for n, r, s, e, flip in zip(report.names, reference, scores, errors, flipped, strict=True)
        if np.isfinite(e)
    )
    nearest = _nearest(report.names, record, verdicts, thumbnail) if verdicts else ()
    at = [_Tick(x_of(c), f"{c:.4g}") for c in cuts]
    ends = np.exp(np.linspace(low + 0.05, high - 0.05, TICKS)).tolist()
    ticks = tuple(_Tick(x_of(score), f"{score:.3g}") for score in ends)
    return _View(name, record, tolerances(name, report.by_spread), dots, tuple(at), ticks, limit, nearest)


def _nearest(
    names: tuple[str, ...], record: EngineRecord, verdicts: tuple[Any, Any], thumbnail: Callable[[int], str]
) -> tuple[_Row, ...]:
    reference, cuts = np.array(record.reference_scores), np.array(record.thresholds)
    distance = (np.abs(reference[:, None] - cuts) / cuts).min(axis=1)
    order = np.lexsort((distance, verdicts[0] == verdicts[1]))[:NEAREST]
    return tuple(
        _Row(
            names[i],
            record.reference_scores[i],
            record.scores[i],
            (VERDICTS[int(verdicts[0][i])], VERDICTS[int(verdicts[1][i])]),
            thumbnail(int(i)),
        )
        for i in order
    )
