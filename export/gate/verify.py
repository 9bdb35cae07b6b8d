"""The decision gate: every engine must decide as the trained model does, on real good and defective pictures.

Each picture goes through the float32 torch model and through each engine. An engine passes when no verdict differs
outside a band around the thresholds, the image AUROC stays, and scores and maps of the golden frames agree to what
its precision explains. The outcome is a record per engine in verification.json, which the runtime asks for.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

from csflow.calibration.metrics import GOOD
from csflow.export.gate.figures import Answer, faults_of, figures_of
from csflow.export.gate.pictures import Truth, compared_map, picture_of, truth_of
from csflow.runtime.bundle.calibration import Calibration
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.golden import GoldenSet, load_golden
from csflow.runtime.bundle.manifest import Manifest, Preprocessing
from csflow.runtime.bundle.verification import (
    EngineRecord,
    Verification,
    compare_decisions,
    levels,
    load_verification,
)
from csflow.runtime.engine import CameraEngine, Engine
from csflow.runtime.engines.golden_check import BAND
from csflow.runtime.engines.name import EngineName
from csflow.runtime.engines.opening import AUTO, engine_names, load_engine
from csflow.runtime.engines.pictures import predict
from csflow.runtime.engines.stages import OPENVINO, engine_files
from csflow.runtime.errors import BackendUnavailable, BundleCorrupted, BundleError, InferenceError
from csflow.runtime.machine.machine import processor_names
from csflow.runtime.picture.preprocess import Pieces
from csflow.runtime.types import Verdict
from csflow.toolkit.config import ModelConfig
from csflow.toolkit.data.dataset import Sample

__all__ = ["GateReport", "Progress", "merged_records", "verify"]

Progress = Callable[[int, str], AbstractContextManager[Callable[[int], None]]]
Reduced = Callable[[NDArray[np.float32], Pieces], NDArray[np.float64]]
LEVELS = {Verdict.OK: 0, Verdict.UNCERTAIN: 1, Verdict.NOK: 2, Verdict.ERROR: -1}


@dataclass(frozen=True)
class GateReport:
    """What came out, and what a page about it shows."""

    bundle: Bundle
    calibration: Calibration | None
    names: tuple[str, ...]
    """Of the pictures, in the order of the records' scores."""
    records: dict[str, EngineRecord]
    left_out: dict[str, str]
    """Backends that do not run here, and why."""
    by_spread: bool
    """Whether errors of scores are shares of the spread of good scores (`GoldenSet.unit`)."""
    asked: tuple[str, ...] = ()
    """Backends that somebody named."""
    samples: tuple[Sample, ...] = ()
    """Those of the pictures that come after the golden frames."""
    untried: tuple[str, ...] = ()
    """Engines that were not asked for, and of which it is known that they decide otherwise than the model."""

    @property
    def failed(self) -> tuple[str, ...]:
        """The engines that may not decide, of those that somebody named or that a line would use."""
        return tuple(n for n, record in self.records.items() if not record.passed and not self._candidate(n))

    @property
    def unused(self) -> tuple[str, ...]:
        """Candidates that failed: nobody named them, and a line takes the fastest of those that passed."""
        return tuple(n for n, record in self.records.items() if not record.passed and self._candidate(n))

    def _candidate(self, name: str) -> bool:
        found = EngineName.parse(name)
        return name not in self.asked and found.backend == "openvino" and found.precision != "fp32"


@dataclass(frozen=True)
class _Pictures:
    """The pictures of one run: golden frames first. Those of a folder are read anew for each engine."""

    golden: GoldenSet
    samples: Sequence[Sample]
    how: Preprocessing

    def __len__(self) -> int:
        return len(self.golden) + len(self.samples)

    def reduced(self, anomaly_map: NDArray[np.float32], picture: Pieces) -> NDArray[np.float64]:
        """The means of a map that are compared. Raises ValueError where its size is odd."""
        return compared_map(anomaly_map, self.golden.pictures[0][1], picture.grid)

    @property
    def names(self) -> tuple[str, ...]:
        return (*(frame.source for frame, _ in self.golden), *(str(sample.path) for sample in self.samples))

    def pieces(self, engine: Engine) -> Iterator[Callable[[], Pieces]]:
        """What makes each picture the way a run with `engine` does; the engine may fail at that already."""
        yield from (partial(Pieces, frame.image, self.how) for frame, _ in self.golden)
        yield from self.added(engine)

    def added(self, engine: Engine) -> Iterator[Callable[[], Pieces]]:
        resizer = engine if isinstance(engine, CameraEngine) else None
        yield from (partial(picture_of, sample, self.how, resizer) for sample in self.samples)

    def truths(self) -> list[Truth]:
        shape = self.golden.pictures[0][1].shape
        golden = [Truth(True, g.label == GOOD, None) for _, g in self.golden]
        return golden + [truth_of(sample, self.how, shape) for sample in self.samples]

    def expected(self) -> list[Answer]:
        return [Answer(g.score, np.array(g.anomaly_map)) for _, g in self.golden]


def verify(
    bundle: Bundle,
    calibration: Calibration | None,
    backends: Sequence[str] = (),
    samples: Sequence[Sample] = (),
    folder: str = "",
    progress: Progress | None = None,
    also: Sequence[str] = (),
) -> GateReport:
    """Run the gate; nothing is written.

    Args:
        bundle: with golden frames, weights, and whatever the engines read.
        calibration: the thresholds; None compares scores, maps and AUROC only.
        backends: names for `load_engine`; by default every one that this machine and bundle can run.
        samples: good and defective pictures, beside the golden frames.
        folder: where they came from, for the record.
        also: names beside the default's.
        progress: a bar for (pictures, engine), for example `TerminalReporter().images`.

    Raises:
        DataError: a picture cannot be read.
        BackendUnavailable, BundleError: a backend that was asked for by name cannot be opened.
    """
    progress = progress or _no_progress
    pictures = _Pictures(load_golden(bundle), samples, bundle.manifest.preprocessing)
    run = _Run(bundle, calibration, pictures, f"golden frames and {folder}" if samples else "golden frames")
    reference = pictures.expected()
    if samples:
        with load_engine(bundle, "torch") as engine, progress(len(samples), engine.name) as advance:
            reference += _answers(engine, pictures.added(engine), pictures.reduced, advance)
    truths = pictures.truths()
    records: dict[str, EngineRecord] = {}
    left_out: dict[str, str] = {}
    hopeless = _hopeless(bundle.manifest)
    for backend in backends or (*_all_backends(len(bundle.manifest.graphs), hopeless), *also):
        try:
            engine = load_engine(bundle, backend)
        except BundleCorrupted:
            raise
        except (BackendUnavailable, BundleError) as error:
            if backends or backend in also:
                raise
            left_out[backend] = str(error)
            continue
        with engine, progress(len(pictures), engine.name) as advance:
            answers = _answers(engine, pictures.pieces(engine), pictures.reduced, advance)
        records[engine.name] = run.record(engine.name, truths, reference, answers)
    spread = pictures.golden.spread is not None
    asked = (*backends, *also)
    untried = () if backends else hopeless
    return GateReport(bundle, calibration, pictures.names, records, left_out, spread, asked, tuple(samples), untried)


def merged_records(bundle: Bundle, report: GateReport) -> Verification:
    """What verification.json of `bundle` shall hold: the new records, and those old ones that still hold."""
    try:
        old = load_verification(bundle)
    except BundleCorrupted:
        old = None
    return (old or Verification(bundle.weights_sha256, {})).merged(
        report.records, lambda name: engine_files(bundle, EngineName.parse(name))
    )


def _answers(
    engine: Engine, pictures: Iterable[Callable[[], Pieces]], reduced: Reduced, advance: Callable[[int], None]
) -> list[Answer]:
    answers = []
    for make in pictures:
        answers.append(_answer(engine, make, reduced))
        advance(1)
    return answers


def _answer(engine: Engine, make: Callable[[], Pieces], reduced: Reduced) -> Answer:
    try:
        picture = make()
        prediction = predict(engine, picture)
        anomaly_map = reduced(prediction.anomaly_map, picture)
    except (InferenceError, ValueError):
        # An engine that fails on a picture, or gives a map of an odd size, shall fail the gate, not end it.
        return Answer(math.nan, np.zeros((0, 0)))
    return Answer(prediction.score if np.isfinite(anomaly_map).all() else math.nan, anomaly_map)


@dataclass(frozen=True)
class _Run:
    """What all records of one run have in common."""

    bundle: Bundle
    calibration: Calibration | None
    pictures: _Pictures
    source: str

    def record(
        self, name: str, truths: Sequence[Truth], reference: Sequence[Answer], answers: Sequence[Answer]
    ) -> EngineRecord:
        calibration = self.calibration
        thresholds = (calibration.warn_threshold, calibration.reject_threshold) if calibration else None
        golden = self.pictures.golden
        figures = figures_of(truths, reference, answers, thresholds[1] if thresholds else math.inf, golden)
        expected = tuple(float(a.score) for a in reference)
        scores = tuple(float(a.score) if math.isfinite(a.score) else None for a in answers)
        decisions = compare_decisions(expected, scores, thresholds, BAND) if thresholds else None
        faults = (*faults_of(name, figures, scores, golden.spread is not None), *_rule_faults(calibration, scores))
        return EngineRecord(
            files=engine_files(self.bundle, EngineName.parse(name)),
            library=_library(name),
            machine=processor_names(),
            csflow=version("csflow"),
            created_utc=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            pictures=self.source,
            band=BAND,
            reference_scores=expected,
            scores=scores,
            figures=figures,
            faults=faults,
            thresholds=thresholds,
            decisions=decisions,
            passed=not faults and (decisions is None or decisions.flips == 0),
        )


@contextmanager
def _no_progress(_pictures: int, _engine: str) -> Iterator[Callable[[int], None]]:
    yield lambda _count: None


def _hopeless(manifest: Manifest) -> tuple[str, ...]:
    """What rounds an int8 backbone where the model does not: bfloat16, in its sums and in what is wider than int8."""
    if ModelConfig.from_manifest(manifest).backbone.precision != "int8":
        return ()
    return tuple(str(EngineName("openvino", p)) for p in OPENVINO if p.split("+")[0] == "bf16")


def _all_backends(graphs: int, but: Sequence[str] = ()) -> tuple[str, ...]:
    # The others are the trained model itself and in half precision, which no line runs unasked, the engine without a
    # model, servers somewhere else, and names for what is here already.
    chosen = (AUTO, "torch", "torch-fp16", "fake", "openvino", "tensorrt-fp16", "tensorrt-rtx-fp16")
    fitting = (1, graphs)
    here = (n for n in engine_names() if n not in (*chosen, *but) and ":" not in n)
    return tuple(n for n in here if n.count("+") + 1 in fitting)


def _library(engine_name: str) -> str:
    name = EngineName.parse(engine_name).backend.replace("-", "_")
    if name == "triton":
        # The module triton is a compiler that comes with torch.
        return f"tritonclient {version('tritonclient')}"
    return f"{name} {getattr(sys.modules.get(name), '__version__', '')}".rstrip()


def _rule_faults(calibration: Calibration | None, scores: Sequence[float | None]) -> tuple[str, ...]:
    """Whether the runtime applies the thresholds exactly as they are written, on both sides of each of them."""
    if calibration is None:
        return ()
    thresholds = (calibration.warn_threshold, calibration.reject_threshold)
    probes = [float(np.nextafter(t, side)) for t in thresholds for side in (-np.inf, t, np.inf)]
    probes += [score for score in scores if score is not None]
    said = np.array([LEVELS[calibration.verdict(score)] for score in probes])
    wrong = int((said != levels(probes, thresholds)).sum())
    return (f"{wrong} verdicts do not follow from score and threshold: report it",) if wrong else ()
