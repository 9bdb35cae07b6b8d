"""Graphs become files of the bundle only through the decision gate, or with a mark that says they did not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from csflow.export.gate_pictures import choose_samples
from csflow.export.int8 import INT8_FLOW, Int8Outcome, good_samples, int8_flow, judge_int8
from csflow.export.verification_report import PAGE, gate_files
from csflow.export.verify import GateReport, Progress, StagedBundle, verify
from csflow.runtime.bundle import Bundle
from csflow.runtime.decision import Calibration, load_calibration
from csflow.runtime.errors import CalibrationError, EngineMismatch
from csflow.runtime.verification import VERIFICATION, Verification
from csflow.toolkit.data import Dataset

__all__ = ["GatedExport", "gated", "unverified"]


@dataclass(frozen=True)
class GatedExport:
    """What to write, and what the gate found."""

    files: dict[str, bytes]
    remove: tuple[str, ...]
    report: GateReport
    int8: Int8Outcome | None
    """None where INT8 was not asked for."""


def gated(
    bundle: Bundle,
    graphs: Mapping[str, bytes],
    dataset: Dataset | None = None,
    int8: bool = False,
    progress: Progress | None = None,
) -> GatedExport:
    """Let every engine that runs here pass the gate with new graphs; `bundle` is not touched.

    Args:
        graphs: float32 graphs, by their names in the bundle.
        dataset: pictures for the gate beside the golden frames, and good parts for INT8 ranges.
        int8: make the INT8 flow as well; it is kept only where it passes and is faster.

    Raises:
        EngineMismatch: the float32 graphs do not decide as the trained model: a fault of csflow.
        DataError, CalibrationError: pictures cannot be read, or are too few for INT8.
    """
    graphs = dict(graphs)
    if int8:
        parts = good_samples(dataset)
        graphs[INT8_FLOW] = int8_flow(StagedBundle.of(bundle, graphs), parts)
    staged = StagedBundle.of(bundle, graphs)
    samples = choose_samples(dataset) if dataset else ()
    folder = str(dataset.root) if dataset else ""
    report = verify(staged, _calibration_or_none(bundle), (), samples, folder, progress)
    _require_float32(report)
    outcome = judge_int8(staged, report) if int8 else None
    remove: tuple[str, ...] = ()
    if outcome is not None and not outcome.kept:
        del graphs[INT8_FLOW]
        report.records.pop("openvino-int8", None)
        remove = (INT8_FLOW,)
    return GatedExport({**graphs, **gate_files(staged, report)}, remove, report, outcome)


def unverified(bundle: Bundle, graphs: Mapping[str, bytes]) -> tuple[dict[str, bytes], tuple[str, ...]]:
    """The files to write and those to remove where the gate is skipped; the runtime then refuses the graphs."""
    mark = Verification(bundle.weights_sha256, {}, skipped=True)
    return {**graphs, VERIFICATION: mark.to_bytes()}, (PAGE,)


def _require_float32(report: GateReport) -> None:
    record = report.records.get("openvino-fp32")
    if record is not None and not record.passed:
        raise EngineMismatch(
            "the exported graphs do not decide as the trained model: "
            f"{'; '.join(record.problems(report.calibration))}; nothing was written; report it"
        )


def _calibration_or_none(bundle: Bundle) -> Calibration | None:
    try:
        return load_calibration(bundle)
    except CalibrationError:
        # A calibration that cannot be read is for 'csflow calibrate' to replace; scores are compared all the same.
        return None
