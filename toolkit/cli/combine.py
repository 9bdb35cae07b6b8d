"""`csflow combine`."""

from __future__ import annotations

from pathlib import Path

import click

from csflow.runtime.cli.command import Command, bundle_option, pixels_option, require
from csflow.toolkit.cli.options import Numbers

__all__ = ["combine"]

EXAMPLES = ("csflow combine flow.csflow mahalanobis.csflow --bundle both.csflow",)


@click.command(cls=Command, examples=EXAMPLES)
@click.argument("bundles", nargs=-1, required=True, type=click.Path(path_type=Path))
@bundle_option
@pixels_option
@click.option(
    "--rule",
    type=click.Choice(["mean", "maximum"]),
    default="mean",
    show_default=True,
    help="Of the standardised scores, and of the maps.",
)
@click.option(
    "--map", "maps", type=Numbers(int), help="Bundles whose maps are joined, counted from 1 as named.  [default: all]"
)
@click.option(
    "--good",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Pictures of good parts that no bundle was trained on, whose scores standardise.  [default: the spreads of "
    "unseen good parts that the bundles recorded]",
)
def combine(
    bundles: tuple[Path, ...],
    bundle: str,
    rule: str,
    maps: tuple[int, ...] | None,
    good: tuple[Path, ...],
) -> None:
    """Join trained BUNDLES over one backbone into one bundle, whose scores are the mean of their standardised scores.

    All must have been trained with the same backbone, weights and image size. What comes out is calibrated, exported
    and run like any bundle.
    """
    require("train", "torch", "timm", "safetensors", "tqdm")
    from csflow.runtime.bundle.directory import Bundle
    from csflow.toolkit.cli.progress import TerminalReporter
    from csflow.toolkit.combine import Combination
    from csflow.toolkit.combine import combine as run

    opened = [Bundle.open(path) for path in bundles]
    chosen = None if maps is None else tuple(i - 1 for i in maps)
    made = run(opened, Path(bundle), Combination(rule, chosen, good), TerminalReporter())
    factors = ", ".join(f"{name} {value:.4g}" for name, value in made.manifest.provenance["fit"].items())
    click.echo(f"joined {', '.join(b.manifest.method for b in opened)} by the {rule} of standardised scores: {factors}")
    click.echo(f"wrote {bundle}; next, with the engine that the line will use:")
    click.echo(f"  csflow export --bundle {bundle}\n  csflow calibrate GOOD_PICTURES --bundle {bundle}")
