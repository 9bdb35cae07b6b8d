"""`make gpu`: one run of ten minutes at most on a machine with an NVIDIA GPU; prints one JSON object.

Plans of float32, float16 and, where the model's backbone is int8, its Q/DQ graphs are built, timed in turn with torch
and with one another, with CUDA graphs and without, and what they decide on real pictures is set beside the trained
model.

    make gpu                                                    # random weights: times alone
    make gpu GPU='--bundle tiles.csflow --bundle int8.csflow --images mtd/ --limit 300'

A bundle of the user's is copied, never changed. What the time does not reach is named under left_out.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import numpy as np
from bench_model import pictures, random_bundle

from csflow.export.gate.pictures import choose_samples
from csflow.export.gate.verify import verify
from csflow.export.graphs.onnx_export import make_graphs
from csflow.export.plans.build.options import EngineChoice
from csflow.export.plans.export import export_engines, prepare_engines
from csflow.runtime.bundle.calibration import load_calibration
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.golden import load_golden
from csflow.runtime.engine import DescribedEngine, Engine
from csflow.runtime.engines.opening import load_engine
from csflow.runtime.errors import CSFlowError
from csflow.runtime.machine import probes
from csflow.runtime.types import Frame
from csflow.toolkit.data.dataset import load_dataset

PRECISIONS = ("fp32", "fp16")
NO_GPU = 4


class Budget:
    """Seconds for all steps; one that has no time left is named instead of run."""

    def __init__(self, limit_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._end = clock, clock() + limit_s
        self.left_out: dict[str, str] = {}

    def run(self, step: str, work: Callable[[], Any]) -> Any:
        """What `work` returns; None where there was no time for it, or csflow refused it."""
        if self._clock() >= self._end:
            self.left_out[step] = "no time left"
            return None
        try:
            return work()
        except CSFlowError as error:
            self.left_out[step] = str(error)
            return None


def with_plans(path: Path, target: str, budget: Budget) -> tuple[Bundle, dict[str, list[dict[str, Any]]]]:
    """The bundle with graphs and plans of each precision, and what the builder says of them."""
    bundle, records = Bundle.open(path), {}
    for precision in PRECISIONS:
        choice = EngineChoice(target)
        builder = budget.run(f"{path.stem}: builder", lambda: prepare_engines("fp16", choice))  # noqa: B023 - at once
        if builder is None:
            continue
        bundle = bundle.update(make_graphs(bundle, ("fp32", precision)))
        made = budget.run(
            f"{path.stem}: plans of {precision}",
            lambda: export_engines(bundle, precision, choice, builder, quiet=True),  # noqa: B023 - called at once
        )
        records[precision] = [asdict(record) for record in made.records] if made else []
    return bundle, records


def timed(engines: dict[str, Engine], frame: Frame, repeats: int) -> dict[str, dict[str, Any]]:
    """Milliseconds of a frame by each engine, all in turn; the first round does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in engines}
    for _ in range(repeats + 1):
        for name, engine in engines.items():
            start = time.perf_counter()
            engine.infer([frame])
            seconds[name].append(time.perf_counter() - start)
    return {name: _figures(engine, seconds[name][1:]) for name, engine in engines.items()}


def _figures(engine: Engine, seconds: Sequence[float]) -> dict[str, Any]:
    what = engine.describe() if isinstance(engine, DescribedEngine) else engine.name
    quantiles = {f"p{q}_ms": float(np.percentile(seconds, q)) * 1e3 for q in (50, 95, 99)}
    return {"engine": what, **quantiles}


def latencies(bundle: Bundle, names: Sequence[str], repeats: int, budget: Budget) -> dict[str, dict[str, Any]]:
    """Times of those engines that open."""
    with ExitStack() as stack:
        engines = {}
        for name in names:
            opened = budget.run(f"{bundle.path.stem}: {name}", lambda: load_engine(bundle, name))  # noqa: B023 - at once
            if opened is not None:
                engines[name] = stack.enter_context(opened)
        return timed(engines, load_golden(bundle).pictures[0][0], repeats)


def decisions(bundle: Bundle, names: Sequence[str], images: Path, limit: int) -> dict[str, dict[str, Any]]:
    """What the decision gate finds on golden frames and pictures; `flips` is None without thresholds."""
    samples = choose_samples(load_dataset(images), limit)
    report = verify(bundle, load_calibration(bundle), names, samples, str(images))
    return {
        name: {
            "passed": record.passed,
            "faults": list(record.faults),
            "flips": record.decisions.flips if record.decisions else None,
            **asdict(record.figures),
        }
        for name, record in report.records.items()
    }


def judged(source: Path, work: Path, target: str, images: Path | None, limit: int, repeats: int, budget: Budget) -> Any:
    """All that is measured of one bundle, on a copy of it."""
    path = Path(shutil.copytree(source, work / source.name, ignore=shutil.ignore_patterns("engines")))
    bundle, plans = with_plans(path, target, budget)
    names = [f"{target}-{precision}" for precision in PRECISIONS]
    found: dict[str, Any] = {"plans": plans}
    found["latency"] = budget.run(
        f"{path.stem}: latency", lambda: latencies(bundle, ["torch", *names], repeats, budget)
    )
    if images is not None:
        found["decisions"] = budget.run(f"{path.stem}: decisions", lambda: decisions(bundle, names, images, limit))
    return found


@click.command()
@click.option(
    "--bundle", "bundles", multiple=True, type=click.Path(path_type=Path, exists=True), help="May be repeated."
)
@click.option("--images", type=click.Path(path_type=Path, exists=True), help="Pictures that verdicts are compared on.")
@click.option("--limit", type=click.IntRange(min=1), default=300, show_default=True, help="At most so many of them.")
@click.option("--backbone", default="tf_efficientnet_b5", show_default=True, help="Of random models, without --bundle.")
@click.option("--image-size", default=768, show_default=True)
@click.option("--hidden", default=1024, show_default=True)
@click.option("--target", type=click.Choice(["tensorrt", "tensorrt-rtx"]), default="tensorrt", show_default=True)
@click.option("--repeats", type=click.IntRange(min=1), default=100, show_default=True, help="Frames of each engine.")
@click.option("--limit-s", type=click.FloatRange(min=0), default=540.0, show_default=True, help="Seconds of all steps.")
@click.pass_context
def gpu(
    ctx: click.Context,
    bundles: tuple[Path, ...],
    images: Path | None,
    limit: int,
    backbone: str,
    image_size: int,
    hidden: int,
    target: str,
    repeats: int,
    limit_s: float,
) -> None:
    """Build, time and judge what TensorRT makes of bundles, and print one JSON object."""
    answer = probes.cuda()
    if not answer.get("devices"):
        click.echo(f"no NVIDIA GPU: {answer.get('problem', 'CUDA lists none')}", err=True)
        ctx.exit(NO_GPU)
    begun, budget = time.monotonic(), Budget(limit_s)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        sources = list(bundles)
        for precision in () if bundles else ("fp32", "int8"):
            made = work / "random" / f"{precision}.csflow"
            random_bundle(made, backbone, image_size, hidden, pictures(1)[0], precision)
            sources.append(made)
        found = {s.stem: judged(s, work, target, images, limit, repeats, budget) for s in sources}
    about = {"gpu": answer, "target": target, "repeats": repeats, "seconds": round(time.monotonic() - begun, 1)}
    click.echo(json.dumps({**about, "bundles": found, "left_out": budget.left_out}, indent=2))


if __name__ == "__main__":
    gpu()
