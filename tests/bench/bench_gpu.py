"""`make gpu`: one run of ten minutes at most on a machine with an NVIDIA GPU; prints one JSON object.

Plans of float32, float16 and, where the model's backbone is int8, its Q/DQ graphs are built, timed in turn with torch
and with one another, with CUDA graphs and without, and what they decide on real pictures is set beside the trained
model.

    make gpu                                                    # random weights: times alone
    make gpu GPU='--bundle tiles.csflow --bundle int8.csflow --images mtd/ --limit 300'

A bundle of the user's is copied, never changed; graphs that it has are taken as they are. What is found is kept in
--out after every step, so a run that is cut off loses its last step alone. What the time does not reach, and what
fails, is named under left_out.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
from bench_model import pictures, random_model

from csflow.export.gate.pictures import choose_samples
from csflow.export.gate.verify import verify
from csflow.export.graphs.onnx_export import make_graphs
from csflow.export.plans.build.options import EngineChoice
from csflow.export.plans.export import export_engines, has_graphs, prepare_engines
from csflow.runtime.atomic import write_atomic
from csflow.runtime.bundle.calibration import load_calibration
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.golden import load_golden
from csflow.runtime.engine import DescribedEngine, Engine
from csflow.runtime.engines.opening import load_engine
from csflow.runtime.engines.tensorrt.engine import TensorRTEngine
from csflow.runtime.machine import probes
from csflow.runtime.types import Frame
from csflow.toolkit.data.dataset import load_dataset

PRECISIONS = ("fp32", "fp16")
NO_GPU = 4
TIMING_S = 60.0
"""The rounds of one bundle's engines end after so long: torch may run on the processor."""


class Steps:
    """Seconds for all steps, and a file of what they found; one that has no time left is named instead of run."""

    def __init__(
        self, limit_s: float, out: Path, about: dict[str, Any], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock, self._begun, self._limit_s = clock, clock(), limit_s
        self._out, self._about = out, about
        self.bundles: dict[str, dict[str, Any]] = {}
        self.left_out: dict[str, str] = {}

    def run(self, step: str, work: Callable[[], Any]) -> Any:
        """What `work` returns; None where there was no time for it, or it failed."""
        spent_s = self._clock() - self._begun
        if spent_s >= self._limit_s:
            self.left_out[step] = "no time left"
            return None
        click.echo(f"{spent_s:6.1f} s  {step}", err=True)
        try:
            return work()
        except Exception as error:  # noqa: BLE001 - whatever breaks in one step, the minutes are for the others
            self.left_out[step] = f"{type(error).__name__}: {error}"
            return None
        finally:
            self.keep()

    def note(self, bundle: str, what: str, value: Any) -> None:
        """Keep what was found of a bundle."""
        self.bundles.setdefault(bundle, {})[what] = value
        self.keep()

    def keep(self) -> None:
        """Write the file."""
        write_atomic(self._out, self.text().encode())

    def text(self) -> str:
        """All of it as one JSON object."""
        about = {**self._about, "seconds": round(self._clock() - self._begun, 1)}
        return json.dumps({**about, "bundles": self.bundles, "left_out": self.left_out}, indent=2)


def with_plans(path: Path, target: str, steps: Steps) -> tuple[Bundle, dict[str, list[dict[str, Any]]]]:
    """The bundle with graphs and plans of each precision, and what the builder says of them."""
    bundle, records = Bundle.open(path), {}
    for precision in PRECISIONS:
        made = steps.run(f"{path.stem}: plans of {precision}", partial(_planned, path, target, precision))
        bundle = Bundle.open(path)
        records[precision] = [asdict(record) for record in made.records] if made else []
    return bundle, records


def _planned(path: Path, target: str, precision: str) -> Any:
    bundle, choice = Bundle.open(path), EngineChoice(target)
    builder = prepare_engines("fp16", choice)
    missing = tuple(p for p in dict.fromkeys(("fp32", precision)) if not has_graphs(bundle, p))
    if missing:
        bundle = bundle.update(make_graphs(bundle, missing))
    return export_engines(bundle, precision, choice, builder, quiet=True)


def timed(engines: dict[str, Engine], frame: Frame, repeats: int) -> dict[str, dict[str, Any]]:
    """Milliseconds of a frame by each engine, all in turn; the first round does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in engines}
    begun = time.monotonic()
    for round_ in range(repeats + 1):
        if round_ > 1 and time.monotonic() - begun > TIMING_S:
            break
        for name, engine in engines.items():
            start = time.perf_counter()
            engine.infer([frame])
            seconds[name].append(time.perf_counter() - start)
    return {name: _figures(engine, seconds[name][1:]) for name, engine in engines.items()}


def _figures(engine: Engine, seconds: Sequence[float]) -> dict[str, Any]:
    what = engine.describe() if isinstance(engine, DescribedEngine) else engine.name
    quantiles = {f"p{q}_ms": float(np.percentile(seconds, q)) * 1e3 for q in (50, 95, 99)}
    return {"engine": what, "frames": len(seconds), **quantiles}


def latencies(bundle: Bundle, names: Sequence[str], repeats: int, steps: Steps) -> dict[str, dict[str, Any]]:
    """Times of those engines that open; of those that launch CUDA graphs once more without."""
    with ExitStack() as stack:
        engines = {}
        for name in names:
            opened = steps.run(f"{bundle.path.stem}: {name} opens", partial(load_engine, bundle, name))
            if opened is not None:
                engines[name] = stack.enter_context(opened)
        frame = load_golden(bundle).pictures[0][0]
        found = timed(engines, frame, repeats) if engines else {}
        plain = {f"{name}, no CUDA graphs": engine for name, engine in engines.items() if without_graphs(engine)}
        return {**found, **(timed(plain, frame, repeats) if plain else {})}


def without_graphs(engine: Engine) -> bool:
    """Let an engine enqueue plainly from now on; False where it did so already."""
    if not isinstance(engine, TensorRTEngine) or engine._graphs.refused:
        return False
    with engine._session.current():
        engine._graphs.refuse("to compare")
    return True


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


def judge(path: Path, target: str, images: Path | None, limit: int, repeats: int, steps: Steps) -> None:
    """Note all that is measured of one bundle, which is changed."""
    bundle, plans = with_plans(path, target, steps)
    steps.note(path.stem, "plans", plans)
    names = [f"{target}-{precision}" for precision in PRECISIONS]
    times = partial(latencies, bundle, ["torch", *names], repeats, steps)
    latency = steps.run(f"{path.stem}: latency", times)
    steps.note(path.stem, "latency", latency)
    if images is None:
        return
    # One that does not open would end the gate for the others.
    open_ones = [name for name in names if name in (latency or {})]
    if open_ones:
        work = partial(decisions, bundle, open_ones, images, limit)
        steps.note(path.stem, "decisions", steps.run(f"{path.stem}: decisions", work))


def copies(bundles: Sequence[Path], work: Path) -> list[Path]:
    """The user's bundles without their plans, to be changed. Raises UsageError where two have one name."""
    if len({source.stem for source in bundles}) < len(bundles):
        raise click.UsageError("two bundles have the same name: rename one, figures are kept by name")
    without = shutil.ignore_patterns("engines")
    return [Path(shutil.copytree(source, work / source.name, ignore=without)) for source in bundles]


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
@click.option(
    "--limit-s",
    type=click.FloatRange(min=0),
    default=420.0,
    show_default=True,
    help="No step begins after so many seconds; what has begun ends.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("out/gpu.json"), show_default=True, help="Kept as it goes."
)
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
    out: Path,
) -> None:
    """Build, time and judge what TensorRT makes of bundles, and print one JSON object."""
    answer = probes.cuda()
    if not answer.get("devices"):
        click.echo(f"no NVIDIA GPU: {answer.get('problem', 'CUDA lists none')}", err=True)
        ctx.exit(NO_GPU)
    steps = Steps(limit_s, out, {"gpu": answer, "target": target, "repeats": repeats})
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        for path in copies(bundles, work):
            judge(path, target, images, limit, repeats, steps)
        for precision in () if bundles else ("fp32", "int8"):
            made = work / f"{precision}.csflow"
            size = (backbone, image_size, hidden, pictures(1)[0], precision)
            if steps.run(f"random model, backbone {precision}", partial(random_model, made, *size)) is not None:
                judge(made, target, None, limit, repeats, steps)
    click.echo(steps.text())


if __name__ == "__main__":
    gpu()
