"""`make bench`: times of one run on one machine, as ratios; prints the tables for docs/benchmarks.md."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import click
import numpy as np
import torch
from bench_camera import FORMATS, acquisition
from bench_elsewhere import elsewhere
from bench_line import Pictures, run_line
from bench_low import OnnxRuntime, machine, resident_mb
from bench_model import CAMERA_PX, NullEngine, pictures, random_bundle
from bench_peer import beside_peer, require_peer
from bench_plc import handshakes, swaps
from bench_report import Report
from bench_rows import CameraRow, Overhead, Row, in_turn

from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.engine import BatchEngine, Engine
from csflow.runtime.engines.opening import load_engine
from csflow.runtime.engines.stages import OPENVINO
from csflow.runtime.errors import BackendUnavailable, CSFlowError
from csflow.runtime.picture.preprocess import preprocess
from csflow.runtime.types import Frame
from csflow.toolkit.backbones.networks import build_backbone, resolve_name
from csflow.toolkit.methods.flow.config import FlowConfig
from csflow.toolkit.methods.flow.flow import CrossScaleFlow, negative_log_likelihood

ENGINES = ("torch", *(f"openvino-{precision}" for precision in OPENVINO))
INT8_MODEL = ("openvino-fp32", "openvino-fp32+bf16", "openvino-int8")
"""Of a model whose backbone was int8 before it was trained."""
RESIDENT = ("openvino-fp32", "openvino-fp32+bf16", "openvino-int8")
THROUGHPUT = "?mode=throughput"
CAMERAS = (1, 2, 4)
PICTURES = 8
BUSY_LOAD = 3.0


@contextlib.contextmanager
def opened(bundle: Bundle, names: Sequence[str]) -> Iterator[dict[str, Engine]]:
    """Those that this machine can run; golden frames are not asked, for these weights mean nothing."""
    with contextlib.ExitStack() as stack:
        engines = {}
        for name in names:
            try:
                engines[name] = stack.enter_context(load_engine(bundle, name))
            except BackendUnavailable as error:
                click.echo(f"{name} left out: {error}", err=True)
        yield engines


def alone_rows(
    bundle: Bundle, int8: Bundle, engines: dict[str, Engine], frame: Frame, repeats: int
) -> tuple[list[Row], str]:
    """Every engine by itself, in turn with the same model of an int8 backbone and with ONNX Runtime; and the fastest.

    The fastest is one of the first bundle's but torch: whether it may decide is the gate's question.
    """
    with opened(int8, INT8_MODEL) as others, OnnxRuntime(bundle) as other:
        named = {f"int8 model, {name}": engine for name, engine in others.items()}
        rows = engine_rows({**engines, **named, f"{other.name}, csflow's graphs": other}, frame, repeats)
    deployed = [row for row in rows if row.what in engines and row.what != "torch"] or rows[:1]
    return rows, min(deployed, key=lambda row: row.median_s).what


def engine_rows(engines: dict[str, Engine], frame: Frame, repeats: int) -> list[Row]:
    """Seconds a frame of each engine alone, as ratios of the first; it gets as many frames as it computes together."""
    counts = {name: engine.batch if isinstance(engine, BatchEngine) else 1 for name, engine in engines.items()}
    actions = {name: partial(engine.infer, [frame] * counts[name]) for name, engine in engines.items()}
    times = {name: [s / counts[name] for s in seconds] for name, seconds in in_turn(actions, repeats).items()}
    first = next(iter(engines))
    base_s = float(np.median(times[first]))
    together = {name: f", {count} at a time" if count > 1 else "" for name, count in counts.items()}
    return [Row.of_times(name + together[name], seconds, base_s, first) for name, seconds in times.items()]


def line_rows(bundle: Bundle, engine: Engine, images: Sequence[np.ndarray], frames: int) -> tuple[list[Row], Overhead]:
    """One frame through the whole line: with this engine, and around an engine that takes no time."""
    how = bundle.manifest.preprocessing
    real = run_line(bundle, engine, [Pictures("line", images)], frames)
    engine_s = float(np.median(real.engine))
    null = NullEngine(how.image_size)
    camera = run_line(bundle, null, [Pictures("null", images)], frames)
    ready = run_line(bundle, null, [Pictures("null", [preprocess(image, how) for image in images])], frames)
    resize = in_turn({"resize": lambda: preprocess(images[0], how)}, frames)["resize"]
    of, size = "engine time", f"{CAMERA_PX[0]}x{CAMERA_PX[1]}"
    taken = in_turn({name: acquisition(name, CAMERA_PX) for name in FORMATS}, frames)
    rows = [
        Row.of_times(f"engine time in the line ({engine.name})", real.engine),
        Row.of_times(f"end to end, {size}", real.end_to_end, engine_s, of),
        Row.of_times(f"around the engine, {size}", real.around, engine_s, of),
        Row.of_times(f"around a null engine, {size}", camera.around, engine_s, of),
        Row.of_times("around a null engine, picture of the model's size", ready.around, engine_s, of),
        Row.of_times(f"crop and resize from {size}", resize, engine_s, of),
        *(Row.of_times(f"genicam: camera path, {name} {size}", taken[name], engine_s, of) for name in FORMATS),
    ]
    around_s, null_s = (float(np.median(times.around)) for times in (real, ready))
    return rows, Overhead(around_s / engine_s, null_s)


def camera_rows(
    bundle: Bundle, engines: dict[str, Engine], images: Sequence[np.ndarray], frames: int, fps: float
) -> list[CameraRow]:
    """Frames a second with several cameras at `fps` each, newest frame first; the engines in turn."""
    rows: list[CameraRow] = []
    for count in CAMERAS:
        for name, engine in engines.items():
            cameras = [Pictures(f"camera {i}", images, fps) for i in range(count)]
            # Whole rounds of the cameras, so that no batch is counted by halves.
            times = run_line(bundle, engine, cameras, -(-frames // count) * count)
            ratio = times.fps / (rows[0].fps if rows else times.fps)
            rows.append(CameraRow(name, count, times.per_call, times.fps, ratio, Row.of_times("", times.latency)))
    return sorted(rows, key=lambda row: list(engines).index(row.engine))


def training_rows(backbone: str, image_size: int, hidden: int) -> list[Row]:
    """One forward and backward pass of a batch of 16, in float32 and with bfloat16 autocast."""
    channels, side = build_backbone(resolve_name(backbone)).shapes(image_size)[0][0], image_size // 32
    flow = CrossScaleFlow(FlowConfig(channels, hidden=hidden))
    x = tuple(torch.randn(16, channels, side >> i, side >> i) for i in range(3))

    def step(bfloat16: bool) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            z, log_det = flow(x)
        negative_log_likelihood(z, log_det).backward()  # type: ignore[no-untyped-call]

    names = ("training step, batch 16, float32", "training step, batch 16, bfloat16 autocast")
    times = in_turn({name: partial(step, name is names[1]) for name in names}, 5)
    base_s = float(np.median(times[names[0]]))
    return [Row.of_times(name, times[name], base_s, "float32") for name in names]


def plc_rows(frames: int, engine_s: float) -> list[Row]:
    """A PLC station around an inspection that takes no time, and its change of recipes."""
    trigger = "PLC handshake over Modbus TCP, trigger written to result read, null worker"
    return [
        Row.of_times(trigger, handshakes(20 * frames), engine_s, "engine time"),
        Row.of_times("PLC recipe, prepared, comes into force: time without READY", swaps(max(3, frames // 3))),
    ]


def help_row() -> Row:
    """The start of the command line."""
    words = [str(Path(sys.executable).parent / "csflow"), "run", "--help"]
    action = partial(subprocess.run, words, check=True, capture_output=True)
    return Row.of_times("csflow run --help", in_turn({"help": action}, 5)["help"])


def frame_for(bundle: Bundle, images: Sequence[np.ndarray]) -> Frame:
    """The first picture at the model's size."""
    return Frame(preprocess(images[0], bundle.manifest.preprocessing))


def measure_memory(report: Report, bundle: Bundle, cache: Path) -> None:
    """What an engine keeps in memory, each in a process of its own."""
    report.going_on("resident memory")
    found = {}
    for name in RESIDENT:
        try:
            found[name] = resident_mb(bundle, name, cache)
        except subprocess.CalledProcessError as error:
            click.echo(f"{name} left out: {error.stderr.strip().rpartition(chr(10))[2]}", err=True)
    words = ", ".join(f"{name} {size:.0f} MB" for name, size in found.items())
    report.fact("resident_mb", found, f"resident memory: {words}")


def measure_engines(
    report: Report, bundle: Bundle, int8: Bundle, images: Sequence[np.ndarray], repeats: int, fps: float
) -> float:
    """Engines alone, the fastest in a line, and with several cameras; seconds of its frame in the line."""
    frame = frame_for(bundle, images)
    report.going_on("opening engines")
    with opened(bundle, ENGINES) as engines:
        report.going_on(f"engines alone, in turn, {repeats} frames each")
        alone, fastest = alone_rows(bundle, int8, engines, frame, repeats)
        modes = [fastest + THROUGHPUT] if fastest.startswith("openvino") else []
        with opened(bundle, modes) as other:
            both = {fastest: engines[fastest], **other}
            report.table("engines", alone + engine_rows(both, frame, repeats)[1:])
            report.going_on(f"a line with {fastest}")
            line, overhead = line_rows(bundle, engines[fastest], images, repeats)
            report.table("line", line)
            report.fact("overhead", asdict(overhead), f"overhead: {overhead.text()}")
            report.going_on("several cameras")
            report.table("cameras", camera_rows(bundle, both, images, repeats, fps))
    return line[0].median_s


def load() -> float:
    """Of the last minute."""
    return round(os.getloadavg()[0], 1)


@contextlib.contextmanager
def in_one_line() -> Iterator[None]:
    """What csflow says went wrong, without a traceback."""
    try:
        yield
    except CSFlowError as error:
        raise click.ClickException(str(error)) from error


@click.command()
@click.option("--backbone", default="tf_efficientnet_lite2", show_default=True)
@click.option("--image-size", default=384, show_default=True)
@click.option("--hidden", default=256, show_default=True)
@click.option("--repeats", type=click.IntRange(1), default=30, show_default=True, help="Frames of each measurement.")
@click.option("--fps", default=30.0, show_default=True, help="Pace of each camera.")
@click.option("--training/--no-training", default=True, show_default=True)
@click.option("--peer", default="", metavar="PYTHON", help="One that has anomalib[openvino]: its export is timed too.")
@click.option("--json", "as_json", is_flag=True)
def bench(
    backbone: str, image_size: int, hidden: int, repeats: int, fps: float, training: bool, peer: str, as_json: bool
) -> None:
    """Time engines, the work around them, a PLC's handshake, cameras, training, and the start of the command line."""
    require_peer(peer, backbone)
    if load() > BUSY_LOAD:
        click.echo(f"WARNING: the load is {load()}; these numbers are those of a busy machine", err=True)
    images = pictures(PICTURES)
    model = f"{backbone}, {image_size} px, hidden {hidden}, batch 1, random weights"
    with in_one_line(), Report(as_json) as report, tempfile.TemporaryDirectory() as folder:
        # Compiled models of random weights are of no use to anybody later.
        os.environ["CSFLOW_CACHE"] = str(Path(folder) / "cache")
        where = Path(folder)
        about = {"machine": machine(), "model": model, "repeats": repeats, "camera_fps": fps, "load_before": load()}
        for name, value in about.items():
            report.fact(name, value)
        report.going_on("making graphs of random weights")
        bundle = random_bundle(where / "model.csflow", backbone, image_size, hidden, images[0])
        int8 = random_bundle(where / "int8.csflow", backbone, image_size, hidden, images[0], "int8")
        measure_memory(report, bundle, where / "memory")
        engine_s = measure_engines(report, bundle, int8, images, repeats, fps)
        report.going_on("a PLC station")
        report.table("plc", plc_rows(repeats, engine_s))
        report.going_on("training steps, and the start of the command line" if training else "the command line's start")
        report.table("rest", [*(training_rows(backbone, image_size, hidden) if training else ()), help_row()])
        if peer:
            # Last, for what fails there is not csflow's; and alone, as not every memory holds all engines together.
            report.going_on("the peer's export, minutes at the paper's settings")
            with beside_peer(peer, bundle, int8, where / "peer", (image_size, hidden)) as beside:
                report.going_on(f"beside the peer, in turn: {len(beside)} engines, {repeats} frames each")
                report.table("peer", engine_rows(beside, frame_for(bundle, images), repeats))
        report.fact("load_after", load())
        others = elsewhere(bool(peer))
        words = "\n".join(("not measured here:", *(row.text() for row in others)))
        report.fact("elsewhere", [asdict(row) for row in others], words)


if __name__ == "__main__":
    bench()
