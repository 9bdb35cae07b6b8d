"""`csflow train`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from csflow.runtime.cli.command import Command, Share, bundle_option, pixels_option, require
from csflow.toolkit.cli.method_options import flow_names, flow_options
from csflow.toolkit.cli.options import Numbers, exposure_option
from csflow.toolkit.cli.presets import is_said, preset_option, without_preset

__all__ = ["train"]

EXAMPLES = (
    "csflow train images/ --preset fast",
    "csflow train good_parts/ --preset balanced --epochs 60",
    "csflow train images/ --region region.json --hold-out 0.1",
    "csflow train images/ --auto --preset fast",
    "csflow train sheets/ --preset fast --tile 512 --overlap 128",
    "csflow train images/ --method 'mahalanobis?shrinkage=0.1' --image-size 384",
)


@click.command(cls=Command, examples=EXAMPLES)
@click.argument("images", type=click.Path(path_type=Path))
@bundle_option
@pixels_option
@preset_option
@click.option(
    "--method",
    default="cs-flow",
    show_default=True,
    metavar="NAME",
    help="What detects: 'cs-flow', 'glad', 'mahalanobis', 'nearest', 'padim' or 'patches'. Options of a "
    "method follow its name, as in 'mahalanobis?shrinkage=0.1'; those of cs-flow can be given as below, too.",
)
@click.option(
    "--auto",
    is_flag=True,
    help="Choose among --candidates by defects made in good pictures that are held out, then train on all of them.",
)
@click.option(
    "--candidates",
    default="mahalanobis,padim,nearest",
    show_default=True,
    metavar="NAMES",
    help="For --auto, the preferred first; options follow a name, as in 'cs-flow?hidden=128&epochs=10'.",
)
@click.option(
    "--backbone",
    default="tf_efficientnet_b5.aa_in1k",
    show_default=True,
    help="timm name of a network with feature maps.",
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
@click.option(
    "--backbone-precision",
    type=click.Choice(["fp32", "int8"]),
    default="fp32",
    show_default=True,
    help="'int8' rounds an EfficientNet before anything is fitted to its features: it runs about twice as fast.",
)
@click.option("--image-size", default=768, show_default=True, help="Side of the model input in pixels.")
@click.option(
    "--scales",
    type=int,
    help="Image scales: 1, 1/2, 1/4, ...  [default: the method's; 3 of cs-flow and nearest, 1 of others]",
)
@click.option(
    "--stages",
    type=Numbers(int),
    help="Stages of the backbone whose features are read, from 0.  [default: the method's; of an EfficientNet 5 "
    "for cs-flow and nearest, 4,5 for padim, 2,4,5 for others; of another network 4 for these, 1,2,3 for others]",
)
@flow_options
@click.option(
    "--flips",
    type=click.Choice(["none", "horizontal", "vertical", "both"]),
    default="none",
    show_default=True,
    help="Train on mirror images too, where a mirrored part is as good.",
)
@click.option(
    "--align",
    type=click.Choice(["translation", "euclidean"]),
    help="Move every picture onto the mean good one first, in training as at the line: parts may lie shifted, with "
    "'euclidean' turned too.  [default: as they lie]",
)
@exposure_option
@click.option(
    "--hold-out",
    type=Share(0, 0.5),
    help="Share of the good pictures that is scored but not fitted, at most half: the spread of scores that engines "
    "are judged by and csflow combine goes by is then theirs.  [default: 0; with --early-stop 10%]",
)
@click.option(
    "--randomise",
    type=click.IntRange(0),
    metavar="SEED",
    help="Turn every picture by up to 10 degrees and crop it, at random: for csflow evaluate --randomise.",
)
@click.option(
    "--roi",
    type=Numbers(int, 4),
    metavar="X,Y,W,H",
    help="Region of interest in pixels of the pictures; the bundle keeps it.",
)
@click.option(
    "--window",
    type=Numbers(int, 2),
    metavar="LOW,HIGH",
    help="Levels of 16-bit grey pictures that become black and white; 'csflow roi' proposes some.",
)
@click.option(
    "--tile",
    type=click.IntRange(min=1),
    metavar="PIXELS",
    help="Cut large pictures into squares of this side, each of which goes through the model.",
)
@click.option(
    "--overlap",
    type=click.IntRange(min=0),
    metavar="PIXELS",
    help="How far tiles overlap: what is no longer lies whole in one.  [default: a quarter of the tile]",
)
@click.option(
    "--region", metavar="FILE", help="Region, ignored areas and window as 'csflow roi --save FILE' wrote them."
)
@click.option(
    "--set-aside",
    type=click.IntRange(min=0),
    metavar="N",
    help="Good pictures kept for csflow calibrate.  [default: of a folder with nothing but good pictures as many as a "
    "promise of 1% needs, at most a third; else 0]",
)
@click.option("--any-size", is_flag=True, help="Take pictures of different sizes, or smaller than the model input.")
@click.option("--fresh", is_flag=True, help="Discard an unfinished training instead of resuming it.")
@click.pass_context
def train(
    ctx: click.Context, /, images: Path, bundle: str, auto: bool, randomise: int | None, fresh: bool, **said: Any
) -> None:
    """Train on the good pictures in IMAGES and write the bundle.

    IMAGES holds train/good (MVTec layout), good pictures alone, good/ (ok/, gut/ ...) beside folders of defects, or
    one product of a public data set (docs/data.md).
    Interrupted, the same command resumes. Defaults are the paper's settings; --preset fast or balanced is for a first
    try, and for machines without a GPU.
    """
    require("train", "torch", "torchvision", "timm", "safetensors", "sklearn", "tqdm")
    from csflow.toolkit.choosing.settings import AUTO, TrainSettings, choose_beside
    from csflow.toolkit.cli.progress import TerminalReporter
    from csflow.toolkit.data.randomised import randomised
    from csflow.toolkit.data.split import calibrate_words, set_aside_words
    from csflow.toolkit.train_model import train_model

    flow = flow_names()
    given = {name: said[name] for name in flow if said[name] is not None}
    # An option that is neither CS-Flow's nor a setting, which a fleet knows too, does not get past this.
    settings = TrainSettings(**{name: value for name, value in said.items() if name not in flow})
    if auto or settings.method != "cs-flow":
        given = without_preset(ctx, given)
    if auto and (given or is_said(ctx, "method")):
        raise click.UsageError("--auto chooses the method and its options: name them in --candidates instead")
    if not auto and is_said(ctx, "candidates"):
        raise click.UsageError("--candidates are for --auto: say --auto too, or --method NAME instead")
    settings = replace(settings, method=AUTO) if auto else settings
    plans = settings.plans(given)
    if randomise is not None and settings.set_aside is None:
        settings = replace(settings, set_aside=0)
    dataset = settings.dataset(images)
    reporter = TerminalReporter()
    for line in (*dataset.lines(), *set_aside_words(dataset)):
        reporter.say(line)
    with randomised(dataset, randomise, "train", "test") as pictures:
        plan = next(iter(plans.values()))
        if settings.method == AUTO:
            choice = choose_beside(Path(bundle), pictures, plans, reporter)
            click.echo("\n".join(choice.lines()))
            plan = choice.chosen.plan
        made = train_model(pictures, Path(bundle), plan, reporter, fresh)
    facts = "".join(f", {name} {value:.4g}" for name, value in made.manifest.provenance["fit"].items())
    count = made.manifest.provenance["training"]["images"]
    click.echo(f"trained {made.manifest.method} on {count} good pictures{facts}")
    click.echo(f"wrote {bundle}; next, with the engine that the line will use:")
    click.echo(f"  csflow export --bundle {bundle}\n  csflow calibrate {calibrate_words(dataset)} --bundle {bundle}")
