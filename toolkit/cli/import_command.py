"""`csflow import`."""

from __future__ import annotations

from pathlib import Path

import click

from csflow.runtime.cli.command import Command, bundle_option, require
from csflow.toolkit.cli.options import Numbers

__all__ = ["import_command"]

EXAMPLES = (
    "csflow import model.ckpt",
    "csflow import model.pt --from reference --bundle line1.csflow",
)


@click.command("import", cls=Command, examples=EXAMPLES)
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--from",
    "source",
    type=click.Choice(["auto", "reference", "anomalib", "anomalib-0.x", "anomalib-1.x"]),
    default="auto",
    show_default=True,
    help="Where FILE comes from; anomalib-1.x is 1.0 and later.",
)
@click.option(
    "--backbone-weights",
    default="auto",
    show_default=True,
    metavar="WHERE",
    help="A .pth or .safetensors file (efficientnet_pytorch, torchvision or timm names), 'hub', or 'auto': FILE's own, "
    "else the hub.",
)
@click.option(
    "--padding",
    type=click.Choice(["tf_same", "symmetric", "lm071"]),
    help="The origin's backbone: efficientnet_pytorch 0.6, 0.7.0 or 0.7.1. [default: anomalib symmetric, else lm071]",
)
@click.option("--image-size", type=int, help="Side of the model input in pixels, where FILE does not tell.")
@click.option(
    "--mean",
    type=Numbers(float, 3),
    metavar="R,G,B",
    help="Subtracted from RGB in 0..1 in its training, where FILE does not tell.",
)
@click.option("--std", type=Numbers(float, 3), metavar="R,G,B", help="Divides after --mean, where FILE does not tell.")
@click.option("--clamp", type=float, help="alpha of the couplings, where FILE does not tell. [default: 3]")
@bundle_option
def import_command(
    file: Path,
    source: str,
    backbone_weights: str,
    padding: str | None,
    image_size: int | None,
    mean: tuple[float, float, float] | None,
    std: tuple[float, float, float] | None,
    clamp: float | None,
    bundle: str,
) -> None:
    """Make a bundle of a CS-Flow model trained elsewhere.

    FILE is a pickle of the authors' code (torch.save of the whole model) or a Lightning checkpoint of anomalib.
    Nothing in it is executed.
    """
    require("train", "torch", "timm", "safetensors")
    from csflow.toolkit.importers.import_model import ImportPlan, import_model

    plan = ImportPlan(source, backbone_weights, padding, image_size, clamp, mean, std)
    for line in import_model(file, Path(bundle), plan).lines:
        click.echo(line)
    click.echo(f"wrote {bundle}; next, with the engine that the line will use:")
    click.echo(f"  csflow export --bundle {bundle}\n  csflow calibrate GOOD_PICTURES --bundle {bundle}")
