"""`csflow adapt`."""

from __future__ import annotations

from pathlib import Path

import click

from csflow.runtime.cli.command import Command, Share, bundle_option, pixels_option, require

__all__ = ["adapt"]

EXAMPLES = (
    "csflow adapt model.csflow images/ --backbone-precision int8 --bundle int8.csflow",
    "csflow adapt flow.csflow images/ --backbone-precision int8 --epochs 10 --bundle int8.csflow",
    "csflow adapt model.csflow more_good_parts/ --bundle newer.csflow",
)


@click.command(cls=Command, examples=EXAMPLES)
@click.argument("source", metavar="BUNDLE", type=click.Path(path_type=Path))
@click.argument("images", type=click.Path(path_type=Path))
@bundle_option
@pixels_option
@click.option(
    "--backbone-precision",
    type=click.Choice(["fp32", "int8"]),
    help="'int8' rounds the backbone of EfficientNet before the head is fitted again.  [default: as BUNDLE has it]",
)
@click.option("--epochs", type=click.IntRange(min=1), help="Of cs-flow.  [default: 5]")
@click.option("--learning-rate", type=float, help="Of cs-flow, at its highest.  [default: that of BUNDLE's training]")
@click.option(
    "--hold-out",
    type=Share(0, 0.5),
    help="Share of the good pictures that is scored but not fitted, at most half.  "
    "[default: as BUNDLE's training had it]",
)
@click.option(
    "--set-aside",
    type=click.IntRange(min=0),
    metavar="N",
    help="Good pictures kept for csflow calibrate.  [default: as csflow train does]",
)
@click.option("--any-size", is_flag=True, help="Take pictures of different sizes, or smaller than the model input.")
@click.option("--fresh", is_flag=True, help="Discard unfinished work instead of going on with it.")
def adapt(
    source: Path,
    images: Path,
    bundle: str,
    backbone_precision: str | None,
    epochs: int | None,
    learning_rate: float | None,
    hold_out: float | None,
    set_aside: int | None,
    any_size: bool,
    fresh: bool,
) -> None:
    """Fit BUNDLE to the good pictures in IMAGES again, with its backbone in int8, and write another bundle.

    IMAGES is as for csflow train: the pictures that BUNDLE was trained on, or more of the same parts. Methods in closed
    form are fitted anew, cs-flow goes on with its weights for a few epochs. BUNDLE stays as it is. What is written has
    neither graphs nor thresholds yet: scores change. Interrupted, the same command resumes.
    """
    require("train", "torch", "torchvision", "timm", "safetensors", "sklearn", "tqdm")
    from csflow.runtime.bundle.directory import Bundle
    from csflow.toolkit.adapting.adapt import Adaptation
    from csflow.toolkit.adapting.adapt import adapt as run
    from csflow.toolkit.cli.progress import TerminalReporter
    from csflow.toolkit.data.dataset import load_dataset
    from csflow.toolkit.data.split import calibrate_words, set_aside_words, with_set_aside

    old = Bundle.open(source)
    how = old.manifest.preprocessing
    side = min(how.image_size, *how.roi[2:]) if how.roi else how.image_size
    dataset = with_set_aside(load_dataset(images, image_size=side, any_size=any_size), set_aside)
    reporter = TerminalReporter()
    for line in (*dataset.lines(), *set_aside_words(dataset)):
        reporter.say(line)
    adaptation = Adaptation(backbone_precision, epochs, learning_rate, hold_out)
    made = run(old, dataset, Path(bundle), adaptation, reporter, fresh)
    facts = "".join(f", {name} {value:.4g}" for name, value in made.manifest.provenance["fit"].items())
    count = made.manifest.provenance["training"]["images"]
    click.echo(f"adapted {made.manifest.method} to {count} good pictures{facts}; {source} is as it was")
    click.echo(f"wrote {bundle} without thresholds, as its scores are others; next:")
    click.echo(f"  csflow export --bundle {bundle}\n  csflow calibrate {calibrate_words(dataset)} --bundle {bundle}")
