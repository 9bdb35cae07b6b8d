"""What a defect scores on borders of tiles beside what it scores in a tile's middle, in units of the calibrated band.

python tests/bench/bench_borders.py FOLDER: trains a small model of tiles on cloudy sheets that are drawn here, exports
and calibrates it (as `csflow train --tile`, `export`, `calibrate`), then judges each of 108 defects at ten places of
the same sheet. The sheet goes round, so that the defect brings what lies about it along: only the grid is elsewhere.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from csflow.calibration.calibrate import calibrate
from csflow.export.graphs.onnx_export import make_graphs
from csflow.runtime.bundle.calibration import Calibration
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.detector import Detector
from csflow.runtime.engines.opening import open_engine
from csflow.runtime.types import Verdict
from csflow.toolkit.data.dataset import load_dataset
from csflow.toolkit.methods.reporter import Silent
from csflow.toolkit.plan import BackboneChoice, TrainPlan, model_plan
from csflow.toolkit.train_model import train_model

SIZE = (832, 640)
SIDE, OVERLAP = 256, 64
GOOD, CALIBRATION = 24, 60
KINDS, SIDES, STRENGTHS, REPEATS = ("square", "spot", "scratch", "ring"), (20, 36, 56), (0.1, 0.2, 0.5), 3
HOME = (320, 320)
"""The middle of a tile: the second of each axis, whose step is 192."""
PLACES: Mapping[str, tuple[str, tuple[int, int]]] = {
    "middle": ("middle", HOME),
    "another middle": ("middle", (512, 320)),
    "beside a middle": ("middle", (346, 300)),
    "between two": ("border", (416, 320)),
    "between two rows": ("border", (320, 416)),
    "on a tile's edge": ("border", (384, 320)),
    "between four": ("corner", (416, 416)),
    "on two edges": ("corner", (448, 384)),
}
"""Where the middle of the defect lies, and of which kind that is; at the picture's edge it depends on its size."""
Picture = NDArray[np.float64]


def sheet(seed: int) -> Picture:
    """(H, W) of a cloudy material that is alike everywhere and goes round, in grey levels."""
    width, height = SIZE
    y, x = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)
    waves = np.fft.rfft2(np.random.default_rng(seed).normal(size=(3, height, width)))
    blurred = (w * n * np.exp(-2 * (np.pi * w) ** 2 * (x**2 + y**2)) for w, n in zip((1, 2, 4), waves, strict=True))
    clouds: Picture = 128 + 30 * np.fft.irfft2(sum(blurred), s=(height, width))
    return clouds


def shape_of(kind: str, side: int, seed: int) -> Picture:
    """(side, side) in 0..1: where the defect is, and how much."""
    y, x = (np.mgrid[:side, :side] + 0.5) / side * 2 - 1
    away, turn = np.hypot(x, y), np.random.default_rng(seed).uniform(0, np.pi)
    across = np.abs(x * np.sin(turn) - y * np.cos(turn)) * side / 2
    return {
        "square": np.ones((side, side)),
        "spot": np.clip((1 - away) * side / 4, 0, 1),
        "scratch": np.clip(2.5 - across, 0, 1) * (away < 1),
        "ring": np.clip(2 - np.abs(away - 0.75) * side / 2, 0, 1),
    }[kind]


@dataclass(frozen=True)
class Defect:
    """One of them."""

    number: int
    kind: str
    side: int
    strength: float

    def sheet(self, at: tuple[int, int]) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 with the defect's middle at (x, y); whatever the place, the same is round about it."""
        levels, half = sheet(2000 + self.number), self.side // 2
        inside = slice(HOME[1] - half, HOME[1] - half + self.side), slice(HOME[0] - half, HOME[0] - half + self.side)
        depth = shape_of(self.kind, self.side, self.number) * self.strength
        # A spot is brighter than the sheet, all else darker.
        levels[inside] += depth * (120 if self.kind == "spot" else -levels[inside])
        return colours(np.roll(levels, (at[1] - HOME[1], at[0] - HOME[0]), axis=(0, 1)))

    def places(self) -> Mapping[str, tuple[str, tuple[int, int]]]:
        """`PLACES`, and the edge of the picture."""
        width, _ = SIZE
        near = self.side // 2 + 3
        return {**PLACES, "at the edge": ("edge", (near, 320)), "in the corner": ("edge", (width - near, near))}


def colours(levels: Picture) -> NDArray[np.uint8]:
    """(H, W, 3) uint8."""
    return np.repeat(np.clip(levels, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def defects() -> Iterator[Defect]:
    """All of them."""
    every = itertools.product(KINDS, SIDES, STRENGTHS, range(REPEATS))
    return (Defect(number, kind, side, strength) for number, (kind, side, strength, _) in enumerate(every))


def made(folder: Path, method: str, image_size: int) -> Bundle:
    """A model of tiles with graphs and thresholds; what is there already is taken."""
    path = folder / "model.csflow"
    if path.exists():
        return Bundle.open(path)
    for place, count, first in (("train", GOOD, 0), ("calibration", CALIBRATION, 1000)):
        (folder / place / "good").mkdir(parents=True)
        for i in range(count):
            Image.fromarray(colours(sheet(first + i))).save(folder / place / "good" / f"{i:03d}.png", compress_level=1)
    model, training = model_plan(method, BackboneChoice("tf_efficientnet_lite0", image_size))
    plan = TrainPlan(model, training, tiles=(SIDE, OVERLAP))
    bundle = train_model(load_dataset(folder, SIDE), path, plan, Silent())
    bundle = bundle.update(make_graphs(bundle))
    with open_engine(bundle, "openvino-fp32") as engine:
        calibrate(bundle, [folder / "calibration" / "good"], engine, rate=0.05)
    return bundle


def scores(detector: Detector, kept: Path, seconds: float) -> list[dict[str, Any]]:
    """A row a defect with its score by place. Rows that are kept are not computed again; ends after so many seconds."""
    rows: list[dict[str, Any]] = json.loads(kept.read_text()) if kept.exists() else []
    end_s = time.monotonic() + seconds
    for defect in itertools.islice(defects(), len(rows), None):
        if time.monotonic() > end_s:
            break
        found = {name: detector.detect(defect.sheet(at)).score for name, (_, at) in defect.places().items()}
        rows.append({"kind": defect.kind, "side": defect.side, "strength": defect.strength, "scores": found})
        kept.write_text(json.dumps(rows))
    return rows


def compared(rows: list[dict[str, Any]], calibration: Calibration) -> dict[str, Any]:
    """What each kind of place makes of verdict and score, beside the middle; differences in bands.

    The band is the width of UNCERTAIN, from the warn to the reject threshold. Near are defects that score less than
    twice the reject threshold in the middle, clear are the others.
    """
    band = calibration.reject_threshold - calibration.warn_threshold
    found: dict[str, Any] = {"band": band, "warn": calibration.warn_threshold, "reject": calibration.reject_threshold}
    for kind in ("middle", "border", "corner", "edge"):
        names = [name for name in rows[0]["scores"] if name != "middle" and kind_of(name) == kind]
        pairs = [(row["scores"]["middle"], row["scores"][name]) for row in rows for name in names]
        middle, here = np.array(pairs).T
        same, nok = (
            np.array([test(calibration.verdict(a), calibration.verdict(b)) for a, b in pairs])
            for test in (lambda a, b: a is b, lambda _, b: b is Verdict.NOK)
        )
        near, moved, share = (
            middle < 2 * calibration.reject_threshold,
            np.abs(here - middle) / band,
            np.log(here / middle),
        )
        found[kind] = {
            "pictures": len(pairs),
            "nok": float(nok.mean()),
            "same_verdict": float(same.mean()),
            "same_verdict_clear": float(same[~near].mean()),
            "near_bands": float(moved[near].mean()),
            "near_within_band": float((moved[near] <= 1).mean()),
            "largest_bands": float(moved.max()),
            "share_of_middle": float(np.exp(share.mean())),
            "share_spread": float(np.sqrt((share**2).mean())),
            "least_share": float(np.exp(share.min())),
        }
    found["nok_in_the_middle"] = float(np.mean([r["scores"]["middle"] > calibration.reject_threshold for r in rows]))
    return found


def kind_of(place: str) -> str:
    """Middle, border, corner (where four tiles meet) or edge (of the picture)."""
    return Defect(0, "ring", 20, 0.1).places()[place][0]


def drawn(rows: list[dict[str, Any]], calibration: Calibration, path: Path) -> None:
    """A point a defect and place: its score in the middle, and there."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    kinds = {name: kind_of(name) for name in rows[0]["scores"] if name != "middle"}
    figure, axis = pyplot.subplots(figsize=(7, 6), layout="constrained")
    for kind, marker in {"middle": "o", "border": "s", "corner": "^", "edge": "x"}.items():
        points = [(r["scores"]["middle"], r["scores"][n]) for r in rows for n, k in kinds.items() if k == kind]
        label = {
            "middle": "other middles",
            "border": "on borders",
            "corner": "where four meet",
            "edge": "picture's edge",
        }
        axis.scatter(*zip(*points, strict=True), s=14, marker=marker, label=label[kind], alpha=0.7)
    axis.axline((1, 1), slope=1, color="grey", linewidth=0.8)
    for level in (calibration.warn_threshold, calibration.reject_threshold):
        axis.axvline(level, color="black", linewidth=0.6, linestyle=":")
        axis.axhline(level, color="black", linewidth=0.6, linestyle=":")
    axis.set(
        xscale="log", yscale="log", xlabel="score in the middle of a tile", ylabel="score of the same defect elsewhere"
    )
    axis.legend(loc="upper left")
    figure.savefig(path, dpi=90)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--method", default="mahalanobis", show_default=True)
@click.option("--image-size", default=128, show_default=True)
@click.option("--seconds", default=3600.0, show_default=True, help="End after so long; the next call goes on.")
def main(folder: Path, method: str, image_size: int, seconds: float) -> None:
    """Print one JSON object, and draw FOLDER/borders.png."""
    begun_s = time.monotonic()
    bundle = made(folder, method, image_size)
    with Detector.open(bundle.path, "openvino-fp32", unverified=True) as detector:
        rows = scores(detector, folder / "rows.json", seconds - (time.monotonic() - begun_s))
        found = compared(rows, detector.calibration)
        drawn(rows, detector.calibration, folder / "borders.png")
    click.echo(json.dumps({"method": method, "image_size": image_size, "defects": len(rows), **found}, indent=1))
    sys.exit(len(rows) < len(list(defects())))


if __name__ == "__main__":
    main()
