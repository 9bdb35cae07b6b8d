"""What alignment mends: image AUROC on a synthetic line whose parts lie shifted and turned, with and without it.

    python tests/bench/bench_align.py --backbone tf_efficientnet_lite0 --image-size 128

Parts are those of csflow synthetic, smaller, shifted by up to an eighth of the picture's side and turned by up to 10
degrees, under a camera of twice the model's resolution. One JSON object a line: each alignment's AUROCs.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from csflow.runtime.engines.opening import open_engine
from csflow.toolkit.backbones.config import BackboneConfig
from csflow.toolkit.data.dataset import load_dataset
from csflow.toolkit.data.synthetic import write_dataset
from csflow.toolkit.evaluation.evaluation import evaluate
from csflow.toolkit.methods.reporter import Silent
from csflow.toolkit.plan import BackboneChoice, TrainPlan, model_plan, named_methods
from csflow.toolkit.train_model import SharedFeatures, train_model

SMALL = 0.7
"""Side of the part's picture, of that of the camera's: the moved part stays in it."""
SHIFT, TURN = 0.125, 10.0
BELT = (22, 22, 22)
GRAIN = 2.5
"""Deviation of the camera's noise, in grey levels."""


def moved(path: Path, side: int, draw: np.random.Generator, mask: bool) -> None:
    """Replace a picture of a part by one of `side` pixels in which it lies anyhow; its mask is moved alike."""
    inner, angle = round(SMALL * side), draw.uniform(-TURN, TURN)
    x, y = (round(float(v) * side) for v in draw.uniform(-SHIFT, SHIFT, 2))
    ways = (Image.Resampling.NEAREST,) * 2 if mask else (Image.Resampling.LANCZOS, Image.Resampling.BICUBIC)
    with Image.open(path) as opened:
        small = opened.convert("L" if mask else "RGB").resize((inner, inner), ways[0])
    fill = 0 if mask else BELT
    canvas = Image.new(small.mode, (side, side), fill)
    canvas.paste(small, ((side - inner) // 2, (side - inner) // 2))
    turned = np.asarray(canvas.rotate(angle, ways[1], translate=(x, y), fillcolor=fill)).astype(float)
    noise = 0.0 if mask else draw.normal(0.0, GRAIN, turned.shape)
    Image.fromarray(np.clip(turned + noise, 0, 255).astype(np.uint8)).save(path, compress_level=1)


def write_line(root: Path, side: int, seed: int) -> None:
    """The synthetic line, every part moved at random."""
    write_dataset(root, train=60, calibration=1, test_good=40, test_defects_each=8, size=side, seed=seed)
    for path in sorted(p for p in root.rglob("*.png") if "ground_truth" not in p.parts):
        mask = root / "ground_truth" / path.parent.name / f"{path.stem}_mask.png"
        place = [seed, *path.relative_to(root).as_posix().encode()]
        moved(path, side, np.random.default_rng(place), mask=False)
        if mask.is_file():
            moved(mask, side, np.random.default_rng(place), mask=True)


def main() -> None:
    """Print a line for each alignment."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", default="mahalanobis,padim,glad?components=10")
    parser.add_argument("--backbone", default="tf_efficientnet_lite0")
    parser.add_argument("--image-size", type=int, default=128)
    parser.add_argument("--align", default="none,translation,euclidean", help="which, with commas between them")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    choice = BackboneChoice(args.backbone, args.image_size)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        write_line(root / "line", 2 * args.image_size, args.seed)
        dataset = load_dataset(root / "line")
        for named in args.align.split(","):
            align = None if named == "none" else named
            found = {}
            plans = {m: TrainPlan(*model_plan(m, choice), align=align) for m in named_methods(args.methods)}
            wide = BackboneConfig.reading_all(plan.model.backbone for plan in plans.values())
            shared = SharedFeatures(root / f"features {align}", wide)
            for i, (method, plan) in enumerate(plans.items()):
                bundle = train_model(dataset, root / f"{align} {i}.csflow", plan, Silent(), shared=shared)
                with open_engine(bundle, "torch") as engine:
                    found[method] = round(evaluate(bundle, dataset, engine).image_auroc, 4)
            print(json.dumps({"align": align, **found}), flush=True)


if __name__ == "__main__":
    main()
