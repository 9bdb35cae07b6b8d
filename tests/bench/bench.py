"""`make bench`: times of one run on one machine, as ratios; prints the table for docs/benchmarks.md."""

from __future__ import annotations

import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path

import click
import numpy as np
import torch

from csflow.export.onnx_export import make_graphs
from csflow.runtime.bundle import Bundle
from csflow.runtime.engine import open_engine
from csflow.runtime.golden import GoldenFrame, write_golden
from csflow.runtime.manifest import Definitions, Manifest, Preprocessing
from csflow.runtime.preprocess import preprocess
from csflow.runtime.schema import to_mapping
from csflow.runtime.types import Frame
from csflow.toolkit.backbone import build_backbone, resolve_name
from csflow.toolkit.config import FlowConfig, ModelConfig
from csflow.toolkit.flow import CrossScaleFlow, negative_log_likelihood
from csflow.toolkit.model_io import weight_files
from csflow.toolkit.torch_engine import predict

ENGINES = ("torch", "openvino-fp32", "openvino-bf16")


def median_s(action: Callable[[], object], repeats: int) -> float:
    """Median seconds of `action`, after one call that does not count."""
    action()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def random_bundle(path: Path, backbone: str, image_size: int, hidden: int) -> Bundle:
    """A bundle of this size with random weights and gamma away from 0: times do not depend on training."""
    trunk = build_backbone(resolve_name(backbone))
    config = ModelConfig(image_size, trunk.config, FlowConfig(trunk.channels, hidden=hidden))
    flow = CrossScaleFlow(config.flow).eval()
    for name, parameter in flow.named_parameters():
        if name.endswith("gamma"):
            parameter.data.fill_(0.1)
    manifest = Manifest(Preprocessing(image_size), Definitions(), to_mapping(config), {}, {})
    pictures = np.random.default_rng(1).integers(0, 256, (2, image_size, image_size, 3), dtype=np.uint8)
    golden = [
        (image, GoldenFrame.of(f"{i}.png", "noise", predict(trunk, flow, torch.from_numpy(image[None]))[0]))
        for i, image in enumerate(pictures)
    ]
    bundle = Bundle.create(path, manifest, {**weight_files(trunk, flow), **write_golden(golden)})
    return bundle.update(make_graphs(bundle))


def training_step_s(channels: int, side: int, hidden: int, bfloat16: bool) -> float:
    """Seconds of one forward and backward pass of a batch of 16."""
    flow = CrossScaleFlow(FlowConfig(channels, hidden=hidden))
    x = tuple(torch.randn(16, channels, side >> i, side >> i) for i in range(3))

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            z, log_det = flow(x)
        negative_log_likelihood(z, log_det).backward()  # type: ignore[no-untyped-call]

    return median_s(step, 5)


def processor() -> str:
    """Name of the processor and its relevant instructions."""
    has = torch.cpu.get_capabilities()
    flags = [name for name in ("avx2", "avx512_f", "avx512_bf16", "amx_bf16") if has.get(name)]
    return f"{has.get('cpu_name', platform.machine())}, {torch.get_num_threads()} threads, {' '.join(flags)}"


def help_s() -> float:
    """Seconds that `csflow run --help` takes."""
    words = [str(Path(sys.executable).parent / "csflow"), "run", "--help"]
    return median_s(lambda: subprocess.run(words, check=True, capture_output=True), 5)


@click.command()
@click.option("--backbone", default="tf_efficientnet_lite2", show_default=True)
@click.option("--image-size", default=384, show_default=True)
@click.option("--hidden", default=256, show_default=True)
@click.option("--repeats", default=10, show_default=True)
def bench(backbone: str, image_size: int, hidden: int, repeats: int) -> None:
    """Time engines, the work around them, training in two precisions, and the start of the command line."""
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "openvino", "numpy", "pillow"))
    click.echo(f"{processor()}; {versions}\n{backbone}, {image_size} px, hidden {hidden}, batch 1, random weights\n")
    picture = np.random.default_rng(0).integers(0, 256, (768, 1024, 3), dtype=np.uint8)
    how = Preprocessing(image_size)
    frame = Frame(preprocess(picture, how))
    click.echo("| what | median ms | ratio |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        bundle = random_bundle(Path(folder) / "model.csflow", backbone, image_size, hidden)
        times: dict[str, float] = {}
        for name in ENGINES:
            with open_engine(bundle, name) as engine:
                times[name] = median_s(partial(engine.infer, [frame]), repeats)
            click.echo(f"| {name} | {times[name] * 1e3:.1f} | {times[name] / times['torch']:.2f} of torch |")
    around = median_s(lambda: preprocess(picture, how), repeats)
    best = min(times.values())
    click.echo(f"| crop and resize from 1024x768 | {around * 1e3:.1f} | {around / best:.2f} of the fastest engine |")
    channels = build_backbone(resolve_name(backbone)).channels
    single = training_step_s(channels, image_size // 32, hidden, bfloat16=False)
    half = training_step_s(channels, image_size // 32, hidden, bfloat16=True)
    click.echo(f"| training step, batch 16, float32 | {single * 1e3:.0f} | 1 |")
    click.echo(f"| training step, batch 16, bfloat16 autocast | {half * 1e3:.0f} | {half / single:.2f} of float32 |")
    click.echo(f"| csflow run --help | {help_s() * 1e3:.0f} | |")


if __name__ == "__main__":
    bench()
