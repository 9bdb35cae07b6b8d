"""`csflow train`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from csflow.runtime.cli.command import Command, bundle_option, pixels_option, require
from csflow.toolkit.cli.numbers import Numbers

__all__ = ["train"]


@click.command(cls=Command)
@click.argument("images", type=click.Path(path_type=Path))
@bundle_option
@pixels_option
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
    type=Numbers(int),
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
    "--betas", type=Numbers(float, 2), default="0.9,0.999", show_default=True, help="Adam's; the paper has 0.5,0.9."
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
    type=Numbers(int, 4),
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

    IMAGES holds train/good (MVTec layout), good pictures alone, or one product of a public data set (docs/data.md).
    Interrupted, the same command resumes. Defaults are the paper's settings.
    """
    require("train", "torch", "torchvision", "timm", "safetensors", "tqdm")
    import dataclasses

    from csflow.runtime.picture.region import Region, load_region
    from csflow.toolkit.backbones.efficientnet import resolve_name
    from csflow.toolkit.cli.progress import TerminalReporter
    from csflow.toolkit.config import FlowConfig, ModelConfig, TrainConfig, checked
    from csflow.toolkit.data.dataset import load_dataset
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
    reporter = TerminalReporter()
    for line in dataset.lines():
        reporter.say(line)
    made = train_model(dataset, Path(bundle), plan, reporter, fresh)
    click.echo(f"trained on {len(dataset.train)} good pictures, loss {made.manifest.provenance['loss']:.4f}")
    click.echo(f"wrote {bundle}; next: csflow calibrate GOOD_PICTURES --bundle {bundle}")
