"""Graphs become files of the bundle only through the decision gate, or with a mark that says they did not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from operator import attrgetter
from typing import Any

from csflow.export.gate.candidates import Candidate, judge_candidates, table
from csflow.export.gate.choice import GateChoice
from csflow.export.gate.int8 import good_samples, int8_file, int8_graph
from csflow.export.gate.pictures import choose_samples
from csflow.export.gate.report import PAGE, gate_files, summary_lines, to_json, untried_lines
from csflow.export.gate.staged import StagedBundle
from csflow.export.gate.verify import GateReport, Progress, verify
from csflow.export.graphs.methods import fold_savings
from csflow.export.graphs.onnx_export import make_graphs
from csflow.export.graphs.wide import wide_graphs
from csflow.runtime.bundle.calibration import Calibration, load_calibration
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.verification import VERIFICATION, Verification
from csflow.runtime.engines.name import EngineName
from csflow.runtime.engines.stages import engine_files, wide_files
from csflow.runtime.errors import CalibrationError, EngineMismatch
from csflow.toolkit.backbones.cost import Saving
from csflow.toolkit.config import BACKBONE, ModelConfig
from csflow.toolkit.data.dataset import Dataset, load_dataset

__all__ = ["GraphExport", "pass_gate", "write_graphs"]


@dataclass(frozen=True)
class GraphExport:
    """What was written, and what the gate found."""

    sizes: dict[str, int]
    """Bytes of each graph."""
    savings: tuple[Saving, ...]
    report: GateReport | None
    """None where the gate was skipped."""
    candidates: tuple[Candidate, ...] = ()
    """What OpenVINO can run here; empty where the gate was skipped or OpenVINO is not installed."""

    def facts(self) -> dict[str, Any]:
        """For programs."""
        return {
            "bytes": self.sizes,
            "folds": [asdict(saving) for saving in self.savings],
            "verification": to_json(self.report) if self.report else None,
            "candidates": [asdict(candidate) for candidate in self.candidates],
        }

    def lines(self) -> list[str]:
        """For people."""
        lines = [f"{name}: {size / 1e6:.1f} MB" for name, size in self.sizes.items()]
        lines += [_folded(graph, list(of)) for graph, of in groupby(self.savings, attrgetter("graph"))]
        if self.report is None:
            lines.append(
                "not verified (--no-verify): csflow run refuses these graphs until 'csflow verify' passed them"
            )
            return lines
        return [*lines, *summary_lines(self.report), *table(self.candidates), *untried_lines(self.report)]


def write_graphs(
    bundle: Bundle, precisions: tuple[str, ...], choice: GateChoice, progress: Progress | None = None
) -> GraphExport:
    """Make the graphs, let them pass the gate, and write them with its records; on any error nothing is written.

    Args:
        precisions: of the graphs, as for `make_graphs`; 'fp32' is among them.
        progress: bars for the gate, as for `verify`.

    Raises:
        EngineMismatch: the float32 graphs do not decide as the trained model: a fault of csflow.
        DataError, CalibrationError: pictures cannot be read, or are too few for INT8.
        EngineError: the exporter or the quantizer refused.
    """
    dataset = load_dataset(choice.images) if choice.images else None
    parts = good_samples(dataset) if choice.int8 else []
    graphs = make_graphs(bundle, precisions)
    # Golden frames alone would let bfloat16 pass, and verdicts near a threshold may differ all the same.
    wide = wide_graphs(StagedBundle.of(bundle, graphs)) if dataset is not None else {}
    graphs |= wide
    remove = tuple(file for file in wide_files(BACKBONE) if file not in wide)
    savings = tuple(fold_savings(ModelConfig.from_manifest(bundle.manifest)))
    if choice.skip:
        mark = Verification(bundle.weights_sha256, {}, skipped=True)
        bundle.update({**graphs, VERIFICATION: mark.to_bytes()}, remove=(PAGE, *remove))
        return GraphExport(_sizes(graphs), savings, None)
    if choice.int8:
        calibration = _calibration_or_none(bundle)
        threshold = calibration.warn_threshold if calibration else None
        graphs = {**graphs, int8_file(bundle): int8_graph(StagedBundle.of(bundle, graphs), parts, threshold)}
    staged = StagedBundle.of(bundle, graphs, remove)
    report = pass_gate(staged, dataset, choice.limit, progress, ("torch-fp16",) if "fp16" in precisions else ())
    candidates = judge_candidates(staged, report)
    if choice.int8 and not any(c.chosen and _runs_int8(staged, c.engine) for c in candidates):
        remove = (*remove, int8_file(bundle))
        graphs = {name: data for name, data in graphs.items() if name not in remove}
        for name in [n for n in report.records if _runs_int8(staged, n)]:
            del report.records[name]
    bundle.update({**graphs, **gate_files(staged, report)}, remove)
    return GraphExport(_sizes(graphs), savings, report, candidates)


def pass_gate(
    bundle: Bundle,
    dataset: Dataset | None = None,
    limit: int | None = None,
    progress: Progress | None = None,
    also: Sequence[str] = (),
) -> GateReport:
    """Let every engine that runs here pass the gate, and those in `also`; nothing is written.

    Raises EngineMismatch where OpenVINO in float32 fails: the graphs themselves are wrong then.
    """
    samples = choose_samples(dataset, limit) if dataset else ()
    folder = str(dataset.root) if dataset else ""
    report = verify(bundle, _calibration_or_none(bundle), (), samples, folder, progress, also)
    record = report.records.get("openvino-fp32")
    if record is not None and not record.passed:
        raise EngineMismatch(
            "the exported graphs do not decide as the trained model: "
            f"{'; '.join(record.problems(report.calibration))}; nothing was written; report it"
        )
    return report


def _runs_int8(bundle: Bundle, engine: str) -> bool:
    return int8_file(bundle) in engine_files(bundle, EngineName.parse(engine))


def _sizes(graphs: Mapping[str, bytes]) -> dict[str, int]:
    return {name: len(data) for name, data in graphs.items()}


def _folded(graph: str, savings: Sequence[Saving]) -> str:
    """All folds of a graph in one line."""
    before = savings[0].before
    operators = sum(s.saved.operators for s in savings)
    multiplications = sum(s.saved.multiplications for s in savings)
    share = multiplications / before.multiplications if before.multiplications else 0.0
    return f"{graph}: folds save {operators} of {before.operators} operators and {share:.1%} of the multiplications"


def _calibration_or_none(bundle: Bundle) -> Calibration | None:
    try:
        return load_calibration(bundle)
    except CalibrationError:
        # A calibration that cannot be read is for 'csflow calibrate' to replace; scores are compared all the same.
        return None
