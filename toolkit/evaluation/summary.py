"""An evaluation as numbers for programs and as a few lines for people."""

from __future__ import annotations

from dataclasses import asdict
from statistics import median
from typing import Any

from csflow.calibration.metrics import GOOD, DefectRow, Rates
from csflow.runtime.bundle.calibration import Calibration
from csflow.runtime.labels.label import LabelCounts
from csflow.toolkit.evaluation.evaluation import Evaluation

__all__ = ["summary_lines", "to_json"]


def to_json(evaluation: Evaluation) -> dict[str, Any]:
    """Every number of the evaluation and the score of each picture, ready for `json.dumps`."""
    return {
        "format_version": 1,
        "dataset": str(evaluation.root),
        "layout": evaluation.layout,
        "left_out": list(evaluation.left_out),
        "warnings": list(evaluation.warnings),
        "not_found": [asdict(part) for part in evaluation.not_found],
        "bundle": evaluation.bundle,
        "weights_sha256": evaluation.weights_sha256,
        "engine": evaluation.engine,
        "created_utc": evaluation.created_utc,
        "images": {"good": len(evaluation.good), "defect": len(evaluation.defective)},
        "image_auroc": evaluation.image_auroc,
        "pixel": None if evaluation.pixel is None else asdict(evaluation.pixel),
        "thresholds": _thresholds(evaluation.calibration),
        "rates": _rates(evaluation.rates),
        "good_median_score": median(evaluation.scores(GOOD)),
        "operator": None if evaluation.labels is None else _labels(evaluation.labels),
        "defects": [
            {**asdict(row), "median_score": median(evaluation.scores(row.defect_type))} for row in evaluation.defects
        ],
        "scores": [
            {"file": s.name, "label": s.sample.label, "score": s.score, "verdict": s.verdict}
            for s in evaluation.samples
        ],
    }


def summary_lines(evaluation: Evaluation) -> list[str]:
    """The evaluation in a few lines for a terminal."""
    lines = [
        f"{len(evaluation.good)} good and {len(evaluation.defective)} defective pictures, {evaluation.engine}",
        f"image AUROC {evaluation.image_auroc:.4f}",
    ]
    if (pixel := evaluation.pixel) is not None:
        lines[-1] += f", pixel AUROC {pixel.auroc:.4f}, PRO {pixel.pro:.4f}"
    width = max(12, *(len(row.defect_type) for row in evaluation.defects))
    lines.append(f"{'defect':<{width}} images   AUROC  median   escaped uncertain")
    lines += [_row_line(row, evaluation, width) for row in evaluation.defects]
    lines.append(_rates_line(evaluation.rates))
    if evaluation.labels is not None:
        lines.append(evaluation.labels.line())
    return [*lines, *(f"WARNING: {line}" for line in evaluation.warnings)]


def _row_line(row: DefectRow, evaluation: Evaluation, width: int) -> str:
    middle = median(evaluation.scores(row.defect_type))
    line = f"{row.defect_type:<{width}} {row.images:>6}  {row.auroc:.4f}  {middle:>6.4g}"
    if row.verdicts is None:
        return f"{line}         -         -"
    return f"{line}  {row.verdicts.ok:>8}  {row.verdicts.uncertain:>8}"


def _rates_line(found: Rates | None) -> str:
    if found is None:
        return "no thresholds yet, so no escapes or false rejects: run 'csflow calibrate' first"
    return (
        f"false rejects {found.false_rejects} of {found.good.total} good ({found.false_reject_rate:.1%}), "
        f"escapes {found.escapes} of {found.defect.total} defective ({found.escape_rate:.1%}), "
        f"uncertain {found.good.uncertain} good and {found.defect.uncertain} defective"
    )


def _thresholds(calibration: Calibration | None) -> dict[str, Any] | None:
    if calibration is None:
        return None
    return {
        "reject": calibration.reject_threshold,
        "warn": calibration.warn_threshold,
        "false_reject_rate": calibration.false_reject_rate,
        "confidence": calibration.confidence,
        "bound": calibration.bound,
        "parts": len(calibration.scores),
        "backend": calibration.backend,
    }


def _rates(found: Rates | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "false_rejects": found.false_rejects,
        "false_reject_rate": found.false_reject_rate,
        "escapes": found.escapes,
        "escape_rate": found.escape_rate,
        "good": asdict(found.good),
        "defect": asdict(found.defect),
    }


def _labels(counts: LabelCounts) -> dict[str, int]:
    return {**asdict(counts), "overruled": counts.overruled}
