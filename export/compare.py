"""Several methods on the same pictures: each is trained, exported, calibrated and evaluated alike, one row each.

Features are extracted once, for all that any of the methods reads. 'a+b' among the methods is their combined judgement
(`csflow.toolkit.combine`), made of the bundles of this comparison.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from csflow.calibration.calibrate import calibrate, check_parts
from csflow.calibration.metrics import GOOD
from csflow.calibration.paired import Paired, paired
from csflow.export.graphs.onnx_export import make_graphs
from csflow.export.timed import Bars, Clock, Timed
from csflow.runtime.atomic import alone_in
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.engine import Engine
from csflow.runtime.engines.opening import open_engine
from csflow.runtime.engines.stages import graph_file
from csflow.runtime.errors import CalibrationError, ConfigError, EngineMismatch, InferenceError
from csflow.toolkit.backbones.config import BackboneConfig
from csflow.toolkit.combine import Combination, combine
from csflow.toolkit.data.dataset import Dataset
from csflow.toolkit.evaluation.evaluation import Evaluation, evaluate
from csflow.toolkit.methods.table import chosen_method
from csflow.toolkit.plan import BackboneChoice, SharedFeatures, TrainPlan, model_plan
from csflow.toolkit.train_model import train_model

__all__ = ["Comparison", "Failure", "Gain", "Report", "Row", "compare"]

ITS_OWN = (ConfigError, CalibrationError, InferenceError, EngineMismatch)
"""What one method may fail by while others do not."""
HOLD_OUT = 0.1
"""Share of the good pictures that gives the spread of scores by which judgements are combined."""


@dataclass(frozen=True)
class Row:
    """How one method did. Shares are None where the data set sets no good pictures aside for thresholds."""

    method: str
    """As it was named, with its options."""
    bundle: str
    """Path of the bundle, with float32 graphs and, where there are pictures for them, thresholds."""
    image_auroc: float
    pro: float | None
    """Per-region overlap up to a false-positive rate of 0.3; None where no mask marks a pixel."""
    false_reject_rate: float | None
    """Share of the good test pictures above the reject threshold."""
    escape_rate: float | None
    """Share of the defective test pictures whose verdict is OK."""
    train_s: float
    """Seconds until the bundle is written, those of extracting features left out; of a combination, those of its
    members too."""
    graph_bytes: int
    """Of the float32 graphs, which is what a line reads."""
    frame_ms: float
    """Median milliseconds of the engine for one test frame, in this run on this machine."""
    not_found: int = 0
    """Test pictures without the part that the bundle aligns by: ERRORs, neither false rejects nor escapes."""


@dataclass(frozen=True)
class Gain:
    """What a combination wins, and what it costs."""

    method: str
    better: str
    """The member with the higher image AUROC."""
    auroc: Paired
    """Of the combination, less that of `better`."""
    time_ratio: float
    """Milliseconds of a frame over those of the slower member, in this run."""

    @property
    def worth(self) -> bool:
        """Whether all of the interval is a gain."""
        return self.auroc.low > 0.0


@dataclass(frozen=True)
class Failure:
    """A method that could not be trained or judged."""

    method: str
    """As it was named."""
    problem: str


@dataclass(frozen=True)
class Report:
    """A finished comparison."""

    rows: tuple[Row, ...]
    gains: tuple[Gain, ...]
    features_s: float
    """Seconds of extracting features, once for all methods; 0 where they lay there."""
    failed: tuple[Failure, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """What is the same for all methods."""

    dataset: Dataset
    backbone: BackboneChoice
    folder: Path
    """Where the bundles go, each under the name of its method, and the features."""
    weights: str = "auto"
    backend: str = "openvino-fp32"
    rate: float = 0.01
    """At most this share of good parts may be rejected, in 0..1, as `csflow calibrate` takes it."""
    align: str | None = None
    """What may differ in how parts lie, as `TrainPlan` takes it."""
    exposure: int | None = None
    """Level that the median of every picture is brought to, as `TrainPlan` takes it."""


@dataclass(frozen=True)
class _Judged:
    row: Row
    bundle: Bundle
    scores: tuple[float, ...]
    is_good: tuple[bool, ...]
    """Of the same pictures."""


def compare(what: Comparison, methods: Sequence[str], reporter: Bars) -> Report:
    """Train, judge and time every method, then every combination.

    Every name and option is read, and two methods for one bundle or too few pictures for thresholds are refused, before
    the first training.

    A method that fails by itself costs none of the others hours: it is told in the report, with its combinations.

    Raises:
        ConfigError: an unknown method or option, one named twice, a combination of methods that are not named, or
            another comparison works in the folder.
        DataError: no good or no defective test pictures.
        CalibrationError: too few pictures for thresholds at this rate.
        Whatever `train_model`, `combine`, `make_graphs` and `open_engine` raise where no method came through, and what
        concerns all of them: pictures, disk, libraries.
    """
    alone = [method for method in methods if "+" not in method.partition("?")[0]]
    plans = _plans(what, alone)
    if good := _for_thresholds(what.dataset):
        check_parts(len(good), what.rate)
    combinations = {method: _members(method, plans) for method in methods if method not in alone}
    if combinations:
        plans = {name: (text, dataclasses.replace(plan, hold_out=HOLD_OUT)) for name, (text, plan) in plans.items()}
    refusal = ConfigError(f"another csflow compare works in {what.folder}: wait for it, or name another --bundles")
    with alone_in(what.folder, refusal):
        return _compared(what, plans, combinations, reporter)


def _compared(
    what: Comparison, plans: dict[str, tuple[str, TrainPlan]], combinations: dict[str, list[str]], reporter: Bars
) -> Report:
    shared = _shared(what, [plan.model.backbone for _, plan in plans.values()])
    clock = Clock(reporter)
    judged, failed, problem = {}, [], None
    for name, (text, plan) in plans.items():
        try:
            judged[name] = _trained(what, name, text, plan, shared, clock)
        except ITS_OWN as error:
            reporter.say(f"{text} FAILED: {error}")
            failed.append(Failure(text, str(error)))
            problem = problem or error
    if problem and not judged:
        raise problem
    whole = {method: of for method, of in combinations.items() if judged.keys() >= {*of}}
    failed += [Failure(method, "one of its methods failed") for method in combinations if method not in whole]
    joined = {method: _combined(what, method, [judged[m] for m in of], reporter) for method, of in whole.items()}
    gains = tuple(_gain(joined[method], [judged[m] for m in of]) for method, of in whole.items())
    rows = tuple(j.row for j in (*judged.values(), *joined.values()))
    return Report(rows, gains, clock.seconds, tuple(failed))


def _shared(what: Comparison, backbones: Sequence[BackboneConfig]) -> SharedFeatures | None:
    """Features that all methods read, but those that read patches; None where there are no others."""
    whole = [backbone for backbone in backbones if not backbone.patches]
    return SharedFeatures(what.folder / "features", BackboneConfig.reading_all(whole)) if whole else None


def _plans(what: Comparison, methods: Sequence[str]) -> dict[str, tuple[str, TrainPlan]]:
    """By the name of each method: how it was named, and its plan."""
    names = [chosen_method(method.partition("?")[0]).name for method in methods]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"{twice[0]} is named twice, and both would write {twice[0]}.csflow: compare in two runs")
    plans = [
        TrainPlan(*model_plan(method, what.backbone), what.weights, align=what.align, exposure=what.exposure)
        for method in methods
    ]
    if not plans:
        raise ConfigError("no method is named: name one, or several with commas between them")
    return {name: each for name, *each in zip(names, methods, plans, strict=True)}  # type: ignore[misc]


def _members(method: str, plans: dict[str, tuple[str, TrainPlan]]) -> list[str]:
    members = method.split("+")
    if missing := [member for member in members if member not in plans]:
        raise ConfigError(
            f"{method} combines {missing[0]}, which is not compared: name it too, without its options here"
        )
    return members


def _trained(
    what: Comparison, name: str, method: str, plan: TrainPlan, shared: SharedFeatures | None, clock: Clock
) -> _Judged:
    clock.say(f"{method}:")
    began, before = time.perf_counter(), clock.seconds
    bundle = train_model(what.dataset, what.folder / f"{name}.csflow", plan, clock, shared=shared)
    spent = time.perf_counter() - began - (clock.seconds - before)
    return _judged(what, method, bundle, spent, clock.reporter)


def _combined(what: Comparison, method: str, members: Sequence[_Judged], reporter: Bars) -> _Judged:
    reporter.say(f"{method}:")
    began = time.perf_counter()
    bundle = combine([m.bundle for m in members], what.folder / f"{method}.csflow", Combination(), reporter)
    spent = time.perf_counter() - began + sum(m.row.train_s for m in members)
    return _judged(what, method, bundle, spent, reporter)


def _judged(what: Comparison, method: str, bundle: Bundle, train_s: float, reporter: Bars) -> _Judged:
    bundle = bundle.update(make_graphs(bundle))
    with open_engine(bundle, what.backend) as engine, Timed(engine) as timed:
        evaluation = _evaluated(what, bundle, timed, reporter)
    rates, pixel = evaluation.rates, evaluation.pixel
    row = Row(
        method,
        str(bundle.path),
        evaluation.image_auroc,
        None if pixel is None else pixel.pro,
        None if rates is None else rates.false_reject_rate,
        None if rates is None else rates.escape_rate,
        train_s,
        sum(len(bundle.read(graph_file("fp32", graph))) for graph in bundle.manifest.graphs),
        1000.0 * median(timed.seconds),
        len(evaluation.not_found),
    )
    samples = evaluation.samples
    return _Judged(row, bundle, tuple(one.score for one in samples), tuple(one.good for one in samples))


def _gain(joined: _Judged, members: Sequence[_Judged]) -> Gain:
    better = max(members, key=lambda member: member.row.image_auroc)
    slowest = max(member.row.frame_ms for member in members)
    difference = paired(joined.scores, better.scores, joined.is_good)
    return Gain(joined.row.method, better.row.method, difference, joined.row.frame_ms / slowest)


def _evaluated(what: Comparison, bundle: Bundle, engine: Engine, reporter: Bars) -> Evaluation:
    if good := _for_thresholds(what.dataset):
        calibrate(bundle, good, engine, what.rate, any_size=what.dataset.any_size)
    with reporter.images(len(what.dataset.test), "evaluating") as advance:
        return evaluate(bundle, what.dataset, engine, advance)


def _for_thresholds(dataset: Dataset) -> list[Path]:
    return [sample.path for sample in dataset.calibration if sample.label == GOOD]
