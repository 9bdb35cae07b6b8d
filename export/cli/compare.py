"""`csflow compare`."""

from __future__ import annotations

from pathlib import Path

import click

from csflow.runtime.cli.command import Command, backend_option, echo_json, pixels_option, rate, require
from csflow.toolkit.cli.options import exposure_option

__all__ = ["compare"]

EXAMPLES = ("csflow compare images/ --methods cs-flow,mahalanobis --backbone tf_efficientnet_lite2 --image-size 384",)


@click.command(cls=Command, examples=EXAMPLES)
@click.argument("images", type=click.Path(path_type=Path))
@pixels_option
@backend_option("openvino-fp32", "Engine that calibrates, scores and is timed. ")
@click.option(
    "--methods",
    default="cs-flow,padim,mahalanobis,nearest",
    show_default=True,
    metavar="NAMES",
    help="Methods with commas between them; options follow a name, as in 'nearest?bank=500'. 'cs-flow+padim' is the "
    "combined judgement of two that are named.",
)
@click.option(
    "--backbone",
    default="tf_efficientnet_b5.aa_in1k",
    show_default=True,
    help="timm name of a network with feature maps.",
)
@click.option(
    "--backbone-weights", default="auto", show_default=True, metavar="WHERE", help="As csflow train takes it."
)
@click.option("--image-size", default=768, show_default=True, help="Side of the model input in pixels.")
@click.option("--any-size", is_flag=True, help="Take pictures of different sizes, or smaller than the model input.")
@click.option(
    "--false-reject-rate",
    type=rate,
    default="1%",
    show_default=True,
    help="At most this share of good parts may be rejected, as csflow calibrate takes it.",
)
@click.option(
    "--bundles",
    "folder",
    type=click.Path(path_type=Path),
    default="comparison",
    show_default=True,
    help="Where the bundles go, each under the name of its method.",
)
@click.option(
    "--align",
    type=click.Choice(["translation", "euclidean"]),
    help="Move every picture onto the mean good one first, as csflow train takes it.  [default: as they lie]",
)
@exposure_option
@click.option(
    "--randomise",
    type=click.IntRange(0),
    metavar="SEED",
    help="Turn every picture by up to 10 degrees and crop it, at random.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
@click.pass_context
def compare(
    ctx: click.Context,
    images: Path,
    backend: str,
    methods: str,
    backbone: str,
    backbone_weights: str,
    image_size: int,
    any_size: bool,
    false_reject_rate: float,
    folder: Path,
    align: str | None,
    exposure: int | None,
    randomise: int | None,
    as_json: bool,
) -> None:
    """Train several methods on the good pictures in IMAGES and compare them on its test pictures.

    Features are extracted once for all of them, and stay in the folder of the bundles until it is deleted.

    Thresholds come from the pictures that IMAGES sets aside for them; without any, false rejects and escapes stay open.
    A method chosen by this table is no longer judged by these test pictures: keep others for that. The exit code is 1
    where a method failed; the others have their rows.
    """
    require("export", "onnx", "onnxscript", "torch", "timm", "safetensors", "sklearn", "scipy", "tqdm")
    from csflow.export.compare import Comparison
    from csflow.export.compare import compare as run
    from csflow.export.table import table_lines, to_json
    from csflow.toolkit.cli.progress import TerminalReporter
    from csflow.toolkit.data.dataset import load_dataset
    from csflow.toolkit.data.randomised import randomised
    from csflow.toolkit.plan import BackboneChoice, named_methods

    dataset, reporter = load_dataset(images, image_size=image_size, any_size=any_size), TerminalReporter()
    choice, names = BackboneChoice(backbone, image_size), named_methods(methods)
    with randomised(dataset, randomise, "train", "calibration", "test") as pictures:
        for line in pictures.lines():
            reporter.say(line)
        what = Comparison(pictures, choice, folder, backbone_weights, backend, false_reject_rate, align, exposure)
        report = run(what, names, reporter)
    if as_json:
        echo_json(to_json(report))
    else:
        click.echo("\n".join(table_lines(report)))
    if report.failed:
        ctx.exit(1)
