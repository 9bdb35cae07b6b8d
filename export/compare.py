"""Several methods on the same pictures: each is trained, exported, calibrated and evaluated alike, one row each."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Protocol

from csflow.calibration.calibrate import calibrate
from csflow.calibration.metrics import GOOD
from csflow.export.graphs.onnx_export import make_graphs
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.engine import Engine
from csflow.runtime.engines.opening import open_engine
from csflow.runtime.engines.stages import graph_file
from csflow.runtime.errors import ConfigError
from csflow.runtime.types import Frame, Prediction
from csflow.toolkit.data.dataset import Dataset
from csflow.toolkit.evaluation.evaluation import Evaluation, evaluate
from csflow.toolkit.methods.table import chosen_method
from csflow.toolkit.plan import BackboneChoice, TrainPlan, model_plan
from csflow.toolkit.train_model import Reporter, train_model

__all__ = ["Comparison", "Row", "compare", "table_lines", "to_json"]


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
    """Seconds until the bundle is written, features included."""
    graph_bytes: int
    """Of the float32 graphs, which is what a line reads."""
    frame_ms: float
    """Median milliseconds of the engine for one test frame, in this run on this machine."""


@dataclass(frozen=True)
class Comparison:
    """What is the same for all methods."""

    dataset: Dataset
    backbone: BackboneChoice
    folder: Path
    """Where the bundles go, each under the name of its method."""
    weights: str = "auto"
    backend: str = "openvino-fp32"
    rate: float = 0.01
    """At most this share of good parts may be rejected, in 0..1, as `csflow calibrate` takes it."""


class _Bars(Reporter, Protocol):
    def images(self, total: int, label: str = ...) -> Any:
        """As `TerminalReporter`."""


def compare(what: Comparison, methods: Sequence[str], reporter: _Bars) -> Iterator[Row]:
    """One row a method, as soon as it is known.

    Every name and option is read, and two methods for one bundle are refused, before the first training.

    Raises:
        ConfigError: an unknown method or option, or one named twice.
        DataError: no good or no defective test pictures.
        CalibrationError: too few pictures for thresholds at this rate.
        Whatever `train_model`, `make_graphs` and `open_engine` raise.
    """
    names = [chosen_method(method.partition("?")[0]).name for method in methods]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"{twice[0]} is named twice, and both would write {twice[0]}.csflow: compare in two runs")
    plans = [TrainPlan(*model_plan(method, what.backbone), what.weights) for method in methods]
    return (_row(what, *each, reporter) for each in zip(methods, names, plans, strict=True))


def table_lines(rows: Sequence[Row]) -> list[str]:
    """The rows as a table for a terminal."""
    width = max(len("method"), *(len(row.method) for row in rows))
    head = f"{'method':<{width}}   AUROC     PRO  false rejects  escapes  train s  graphs MB  ms a frame"
    return [head, *(_line(row, width) for row in rows)]


def to_json(rows: Sequence[Row]) -> dict[str, Any]:
    """The rows for programs."""
    return {"format_version": 1, "methods": [asdict(row) for row in rows]}


def _row(what: Comparison, method: str, name: str, plan: TrainPlan, reporter: _Bars) -> Row:
    reporter.say(f"{method}:")
    began = time.perf_counter()
    bundle = train_model(what.dataset, what.folder / f"{name}.csflow", plan, reporter)
    train_s = time.perf_counter() - began
    bundle = bundle.update(make_graphs(bundle))
    with open_engine(bundle, what.backend) as engine, _Timed(engine) as timed:
        evaluation = _evaluated(what, bundle, timed, reporter)
    rates, pixel = evaluation.rates, evaluation.pixel
    return Row(
        method,
        str(bundle.path),
        evaluation.image_auroc,
        None if pixel is None else pixel.pro,
        None if rates is None else rates.false_reject_rate,
        None if rates is None else rates.escape_rate,
        train_s,
        sum(len(bundle.read(graph_file("fp32", graph))) for graph in bundle.manifest.graphs),
        1000.0 * median(timed.seconds),
    )


def _evaluated(what: Comparison, bundle: Bundle, engine: Engine, reporter: _Bars) -> Evaluation:
    good = [sample.path for sample in what.dataset.calibration if sample.label == GOOD]
    if good:
        calibrate(bundle, good, engine, what.rate, any_size=what.dataset.any_size)
    with reporter.images(len(what.dataset.test), "evaluating") as advance:
        return evaluate(bundle, what.dataset, engine, advance)


class _Timed:
    """An engine that notes how long it takes for each call."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.name = engine.name
        self.seconds: list[float] = []

    def infer(self, frames: Sequence[Frame]) -> list[Prediction]:
        began = time.perf_counter()
        predictions = self._engine.infer(frames)
        self.seconds.append(time.perf_counter() - began)
        return predictions

    def close(self) -> None:
        self._engine.close()

    def __enter__(self) -> _Timed:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _line(row: Row, width: int) -> str:
    pro = "-" if row.pro is None else f"{row.pro:.3f}"
    rejects, escapes = ("-" if share is None else f"{share:.1%}" for share in (row.false_reject_rate, row.escape_rate))
    return (
        f"{row.method:<{width}}  {row.image_auroc:6.4f}  {pro:>6}  {rejects:>13}  {escapes:>7}  {row.train_s:7.0f}  "
        f"{row.graph_bytes / 1e6:9.1f}  {row.frame_ms:10.1f}"
    )
