"""`csflow evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from csflow.runtime.cli.command import Command, backend_option, bundle_option, echo_json, pixels_option, require

if TYPE_CHECKING:
    from csflow.toolkit.data.dataset import Dataset

__all__ = ["evaluate"]

EXAMPLES = (
    "csflow evaluate images/",
    "csflow evaluate images/ --backend openvino --report out/report",
)


@click.command(cls=Command, examples=EXAMPLES)
@click.argument("images", type=click.Path(path_type=Path))
@bundle_option
@pixels_option
@backend_option("auto", "Engine that scores: by default that of the line. ")
@click.option(
    "--report",
    "directory",
    type=click.Path(path_type=Path),
    default="evaluation",
    show_default=True,
    help="Where the report, the plots and the heat-map sheet go.",
)
@click.option(
    "--randomise",
    type=click.IntRange(0),
    metavar="SEED",
    help="Turn every test picture by up to 10 degrees and crop it, at random: how much a model, trained with "
    "--randomise too, leans on parts lying always the same.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the numbers as one JSON object.")
def evaluate(images: Path, bundle: str, backend: str, directory: Path, randomise: int | None, as_json: bool) -> None:
    """Score the test pictures in IMAGES and write a report: AUROC, table per defect, plots, heat maps."""
    require("train", "sklearn", "scipy", "matplotlib", "jinja2", "tqdm")
    from csflow.runtime.bundle.directory import Bundle
    from csflow.runtime.engines.opening import open_engine
    from csflow.toolkit.cli.progress import TerminalReporter
    from csflow.toolkit.data.dataset import load_dataset
    from csflow.toolkit.data.provenance import trained_on, with_unseen_good
    from csflow.toolkit.data.randomised import randomised
    from csflow.toolkit.evaluation.evaluation import evaluate as run_evaluation
    from csflow.toolkit.evaluation.mixture import mixture_plots
    from csflow.toolkit.evaluation.report import VIEWER, report_folder, write_report
    from csflow.toolkit.evaluation.summary import summary_lines, to_json

    opened = Bundle.open(bundle)
    dataset = with_unseen_good(opened, load_dataset(images))
    with report_folder(directory) as folder, randomised(dataset, randomise, "test") as pictures:
        _tell(pictures, trained_on(opened, pictures.test))
        with (
            open_engine(opened, backend) as engine,
            TerminalReporter().images(len(pictures.test), "evaluating") as advance,
        ):
            evaluation = run_evaluation(opened, pictures, engine, advance)
        page = write_report(evaluation, folder, mixture_plots(opened, evaluation))
    if as_json:
        echo_json(to_json(evaluation))
        return
    for line in summary_lines(evaluation):
        click.echo(line)
    click.echo(f"report: {directory / page.name}")
    click.echo(f"every picture, and what each threshold would cost: {directory / VIEWER}")


def _tell(dataset: Dataset, seen: list[Path]) -> None:
    for line in dataset.lines():
        click.echo(line, err=True)
    if seen:
        click.echo(f"Warning: the model was trained on {len(seen)} of these pictures, for example {seen[0]}", err=True)
