"""`csflow synthetic`, `csflow train` and `csflow evaluate`."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from csflow.runtime.command import Command, bundle_option
from csflow.runtime.errors import BackendUnavailable

__all__ = ["evaluate", "synthetic", "train"]


class _Numbers(click.ParamType):  # type: ignore[type-arg]
    """Numbers separated by commas, of one type."""

    def __init__(self, kind: type, count: int | None = None) -> None:
        self.kind = kind
        self.count = count
        self.name = "numbers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """A tuple of numbers, or a usage error."""
        if isinstance(value, tuple):
            return value
        try:
            numbers = tuple(self.kind(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is not a list of numbers separated by commas", param, ctx)
        if self.count is not None and len(numbers) != self.count:
            self.fail(f"expected {self.count} numbers, got {len(numbers)}", param, ctx)
        return numbers


@click.command(cls=Command)
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--size", default=256, show_default=True, help="Side of the square pictures in pixels.")
@click.option("--train", default=120, show_default=True, help="Good pictures in train/good.")
@click.option("--calibration", default=60, show_default=True, help="Good pictures in calibration/good.")
@click.option("--test-good", default=40, show_default=True, help="Good pictures in test/good.")
@click.option("--test-defects", default=10, show_default=True, help="Pictures of each defect in test/.")
@click.option("--seed", default=0, show_default=True, help="Same seed, same pictures.")
def synthetic(
    directory: Path, size: int, train: int, calibration: int, test_good: int, test_defects: int, seed: int
) -> None:
    """Write a synthetic product line into the empty or new DIRECTORY: metal parts, four kinds of defects, masks."""
    from csflow.toolkit.synthetic import write_dataset

    write_dataset(
        directory,
        train=train,
        calibration=calibration,
        test_good=test_good,
        test_defects_each=test_defects,
        size=size,
        seed=seed,
    )
    click.echo(f"wrote {directory}: {train} good pictures to train on, {calibration} to calibrate, and a test set")


@click.command(cls=Command)
@click.argument("images", type=click.Path(path_type=Path))
@bundle_option
@click.option(
    "--backbone", default="tf_efficientnet_b5.aa_in1k", show_default=True, help="timm name of an EfficientNet."
)
@click.option(
    "--backbone-weights",
    default="auto",
    show_default=True,
    metavar="WHERE",
    help="'hub', 'lite-weights', a .safetensors or .pth file, or 'auto': lite-weights where installed, else hub.",
)
@click.option(
    "--padding",
    type=click.Choice(["timm", "tf_same", "symmetric", "lm071"]),
    default="timm",
    show_default=True,
    help="Padding convention of the backbone; 'timm' keeps the named model's own.",
)
@click.option("--image-size", default=768, show_default=True, help="Side of the model input in pixels.")
@click.option("--scales", default=3, show_default=True, help="Image scales: 1, 1/2, 1/4, ...")
@click.option("--hidden", default=1024, show_default=True, help="Width inside the coupling blocks.")
@click.option(
    "--kernel-sizes",
    type=_Numbers(int),
    default="3,3,3,5",
    show_default=True,
    help="One coupling block per entry; 3,3,3,3 localises finer (paper's supplement).",
)
@click.option(
    "--standardise/--no-standardise",
    default=True,
    show_default=True,
    help="Standardise each feature channel first; the paper does not.",
)
@click.option("--epochs", default=240, show_default=True, help="Passes over the pictures.")
@click.option("--batch-size", default=16, show_default=True)
@click.option("--learning-rate", default=2e-4, show_default=True, help="Adam's learning rate.")
@click.option(
    "--schedule",
    type=click.Choice(["constant", "cosine"]),
    default="constant",
    show_default=True,
    help="Learning rate over time.",
)
@click.option(
    "--betas", type=_Numbers(float, 2), default="0.9,0.999", show_default=True, help="Adam's; the paper has 0.5,0.9."
)
@click.option("--weight-decay", default=1e-5, show_default=True)
@click.option(
    "--feature-noise",
    default=0.0,
    show_default=True,
    help="Noise on the features in training, as a share of their deviation: for few pictures.",
)
@click.option(
    "--flips",
    type=click.Choice(["none", "horizontal", "vertical", "both"]),
    default="none",
    show_default=True,
    help="Train on mirror images too, where a mirrored part is as good.",
)
@click.option("--seed", default=0, show_default=True)
@click.option("--autocast/--no-autocast", default=True, show_default=True, help="bfloat16 where it is faster.")
@click.option(
    "--roi",
    type=_Numbers(int, 4),
    metavar="X,Y,W,H",
    help="Region of interest in pixels of the pictures; the bundle keeps it.",
)
@click.option("--region", metavar="FILE", help="Region and ignored areas as 'csflow roi --save FILE' wrote them.")
@click.option("--any-size", is_flag=True, help="Take pictures of different sizes, or smaller than the model input.")
@click.option("--fresh", is_flag=True, help="Discard an unfinished training instead of resuming it.")
def train(
    images: Path,
    bundle: str,
    backbone: str,
    backbone_weights: str,
    padding: str,
    image_size: int,
    scales: int,
    hidden: int,
    kernel_sizes: tuple[int, ...],
    standardise: bool,
    roi: tuple[int, int, int, int] | None,
    region: str | None,
    any_size: bool,
    flips: str,
    fresh: bool,
    **training: Any,
) -> None:
    """Train on the good pictures in IMAGES and write the bundle.

    IMAGES holds train/good (MVTec layout), the Magnetic Tile Defects layout, or good pictures alone. Interrupted,
    the same command resumes. Defaults are the paper's settings.
    """
    _require("torch", "torchvision", "timm", "safetensors", "tqdm")
    import dataclasses

    from csflow.runtime.region import Region, load_region
    from csflow.toolkit.backbone import resolve_name
    from csflow.toolkit.config import FlowConfig, ModelConfig, TrainConfig, checked
    from csflow.toolkit.data import load_dataset
    from csflow.toolkit.progress import TerminalReporter
    from csflow.toolkit.train_model import TrainPlan, train_model

    trunk = checked(dataclasses.replace, resolve_name(backbone), scales=scales, padding=padding)
    flow = checked(FlowConfig, scales=scales, kernel_sizes=kernel_sizes, hidden=hidden, standardise=standardise)
    model, settings = checked(ModelConfig, image_size, trunk, flow), checked(TrainConfig, **training)
    if roi and region:
        raise click.UsageError("--roi and --region both name the region of interest: give one")
    area = load_region(region) if region else Region(roi)
    roi = area.roi
    plan = TrainPlan(model, settings, backbone_weights, flips, roi, area.ignore)
    dataset = load_dataset(images, image_size=min(image_size, *roi[2:]) if roi else image_size, any_size=any_size)
    made = train_model(dataset, Path(bundle), plan, TerminalReporter(), fresh)
    click.echo(f"trained on {len(dataset.train)} good pictures, loss {made.manifest.provenance['loss']:.4f}")
    click.echo(f"wrote {bundle}; next: csflow calibrate GOOD_PICTURES --bundle {bundle}")


@click.command(cls=Command)
@click.argument("images", type=click.Path(path_type=Path))
@bundle_option
@click.option(
    "--backend",
    default="torch",
    show_default=True,
    metavar="NAME",
    help="torch, openvino, openvino-fp32, openvino-bf16 or auto.",
)
@click.option(
    "--report",
    "directory",
    type=click.Path(path_type=Path),
    default="evaluation",
    show_default=True,
    help="Where the report, the plots and the heat-map sheet go.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the numbers as one JSON object.")
def evaluate(images: Path, bundle: str, backend: str, directory: Path, as_json: bool) -> None:
    """Score the test pictures in IMAGES and write a report: AUROC, table per defect, plots, heat maps."""
    _require("sklearn", "scipy", "matplotlib", "jinja2", "tqdm")
    from csflow.runtime.bundle import Bundle
    from csflow.runtime.engine import open_engine
    from csflow.toolkit.data import load_dataset
    from csflow.toolkit.evaluation import evaluate as run_evaluation
    from csflow.toolkit.evaluation import summary_lines, to_json
    from csflow.toolkit.progress import TerminalReporter
    from csflow.toolkit.provenance import trained_on
    from csflow.toolkit.report import prepare_directory, write_report

    opened = Bundle.open(bundle)
    dataset = load_dataset(images)
    prepare_directory(directory)
    if seen := trained_on(opened, dataset.test):
        click.echo(f"Warning: the model was trained on {len(seen)} of these pictures, for example {seen[0]}", err=True)
    bar = TerminalReporter().images(len(dataset.test), "evaluating")
    with open_engine(opened, backend) as engine, bar as advance:
        evaluation = run_evaluation(opened, dataset, engine, advance)
    page = write_report(evaluation, directory)
    if as_json:
        click.echo(json.dumps(to_json(evaluation)))
        return
    for line in summary_lines(evaluation):
        click.echo(line)
    click.echo(f"report: {page}")


def _require(*modules: str) -> None:
    if missing := [name for name in modules if find_spec(name) is None]:
        raise BackendUnavailable(f"this command needs {', '.join(missing)}: pip install 'csflow[train]'")
