"""`make soak`: months in minutes. Memory, threads and descriptors must be flat after the warm-up.

First plug cycles: a camera that is lost, again and again. Then frames, with every file output, a page that nobody
watches and a web hook that is dead, on the fake engine: what may leak is everything around the engine.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import numpy as np

from csflow.runtime import schema
from csflow.runtime.bundle.calibration import Calibration
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.golden import GoldenFrame, write_golden
from csflow.runtime.bundle.manifest import Definitions, Manifest, Preprocessing
from csflow.runtime.detector import Detector
from csflow.runtime.engines.fake import FakeEngine
from csflow.runtime.errors import SourceLost
from csflow.runtime.line.outputs import OutputOptions, open_outputs
from csflow.runtime.line.stream import run_stream
from csflow.runtime.sources.fake import FakeSource, Step
from csflow.runtime.types import Frame, Result

SIDE = 64
WARM_UP = 0.3
MEMORY_MB = 4.0
"""What resident memory may grow from the end of the warm-up to the end: allocators breathe, leaks do not stop."""


def small_bundle(path: Path) -> Bundle:
    """A calibrated bundle for the fake engine."""
    bundle = Bundle.create(
        path, Manifest(Preprocessing(SIDE), Definitions(), {}, {}, {}), {"weights/f.safetensors": b"x"}
    )
    image = np.full((SIDE, SIDE, 3), 64, np.uint8)
    (prediction,) = FakeEngine(bundle).infer([Frame(image)])
    bundle = bundle.update(write_golden([(image, GoldenFrame.of("0.png", "plain", prediction))]))
    scores = tuple(i / 100 for i in range(1, 60))
    weights, made = bundle.weights_sha256, "2026-01-01T00:00:00Z"
    calibration = Calibration(0.6, 0.5, 0.05, 0.95, 0.05, 0.1, scores, weights, "fake", made)
    bundle.write_calibration(schema.dump_json(schema.to_mapping(calibration)))
    return bundle


class Gauge:
    """Samples resident memory, threads and descriptors of this process."""

    def __init__(self) -> None:
        self.samples: list[tuple[float, int, int]] = []

    def sample(self) -> None:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        descriptors = len(os.listdir("/proc/self/fd"))
        self.samples.append((pages * os.sysconf("SC_PAGE_SIZE") / 1e6, threading.active_count(), descriptors))

    def faults(self, what: str) -> list[str]:
        """What was not flat after the warm-up: of both halves of what follows the least, which a leak lifts and a
        file or connection that is just open does not."""
        warm = self.samples[int(WARM_UP * len(self.samples)) :]
        half = len(warm) // 2
        first, last = (np.min(np.array(part), axis=0) for part in (warm[:half], warm[half:]))
        click.echo(
            f"{what}: memory {first[0]:.1f} -> {last[0]:.1f} MB, threads {first[1]:g} -> {last[1]:g}, "
            f"descriptors {first[2]:g} -> {last[2]:g}"
        )
        grown = [last[0] - first[0] > MEMORY_MB, last[1] > first[1], last[2] > first[2]]
        return [
            f"{what}: {name} grow" for name, bad in zip(("memory", "threads", "descriptors"), grown, strict=True) if bad
        ]


class Sampler:
    """A sink that samples every n-th result."""

    def __init__(self, gauge: Gauge, every: int) -> None:
        self._gauge, self._every, self._seen = gauge, every, 0

    def write(self, result: Result, frame: Frame | None) -> None:  # noqa: ARG002 - the protocol's signature
        self._seen += 1
        if self._seen % self._every == 0:
            self._gauge.sample()

    def close(self) -> None:
        pass

    def __enter__(self) -> Sampler:
        return self

    def __exit__(self, *exc: object) -> None:
        pass


def pictures(count: int) -> Iterator[Step]:
    """New arrays, as a camera gives them; every 50th part is bad."""
    for index in range(count):
        yield np.full((SIDE, SIDE, 3), 204 if index % 50 == 0 else 51, np.uint8)


def plug(detector: Detector, cycles: int) -> list[str]:
    gauge = Gauge()
    for _ in range(cycles):
        try:
            run_stream(FakeSource([*pictures(2), SourceLost("unplugged")], live=True), detector, [])
        except SourceLost:
            gauge.sample()
    assert len(gauge.samples) == cycles
    return gauge.faults(f"{cycles} plug cycles")


def stream(detector: Detector, folder: Path, frames: int) -> list[str]:
    options = OutputOptions(
        results=str(folder / "results.jsonl"),
        csv_file=str(folder / "results.csv"),
        save=str(folder / "pictures"),
        save_budget=200_000,
        webhook="http://127.0.0.1:9/",
        serve="127.0.0.1:0",
        lines=False,
    )
    source, gauge = FakeSource(pictures(frames)), Gauge()
    source.live = False
    outputs = open_outputs(options, detector, [Unhurried(source)])
    summary = run_stream(source, detector, [outputs, Sampler(gauge, max(1, frames // 200))])
    assert summary.frames == frames
    assert summary.verdicts["ERROR"] == 0
    return gauge.faults(f"{frames} frames")


class Unhurried:
    """Stands for the source when the outputs are opened: they drop as beside a camera, though every frame is judged."""

    name, live = "fake", True

    def __init__(self, source: FakeSource) -> None:
        self.read: Callable[[float], Frame | None] = source.read

    def close(self) -> None:
        pass

    def __enter__(self) -> Unhurried:
        return self

    def __exit__(self, *exc: object) -> None:
        pass


@click.command()
@click.option("--frames", default=100_000, show_default=True, help="Frames of the long stream.")
@click.option("--plugs", default=1000, show_default=True, help="Plug cycles.")
def main(frames: int, plugs: int) -> None:
    """Soak csflow's runtime."""
    with tempfile.TemporaryDirectory() as folder:
        bundle = small_bundle(Path(folder) / "model.csflow")
        with Detector.open(bundle.path, "fake") as detector:
            faults = plug(detector, plugs) + stream(detector, Path(folder), frames)
    for fault in faults:
        click.echo(fault)
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
