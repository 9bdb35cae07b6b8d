"""`csflow calibrate`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from csflow.runtime.cli.command import Command, backend_option, bundle_option, echo_json, pixels_option, rate

if TYPE_CHECKING:
    from csflow.calibration.calibrate import CalibrationReport
    from csflow.runtime.bundle.directory import Bundle

__all__ = ["calibrate"]

EXAMPLES = (
    "csflow calibrate images/calibration/good",
    "csflow calibrate images/calibration/good --false-reject-rate 3% --backend openvino",
)


@click.command(cls=Command, examples=EXAMPLES)
@click.argument("paths", nargs=-1, required=True, metavar="DIR...")
@bundle_option
@pixels_option
@click.option(
    "--false-reject-rate",
    type=rate,
    default="1%",
    show_default=True,
    help="At most this share of good parts may be rejected.",
)
@click.option("--confidence", type=rate, default="95%", show_default=True, help="How sure the promise above shall be.")
@click.option(
    "--warn-rate",
    type=rate,
    show_default="5 x false-reject rate, at most 10%",
    help="Share of good parts that may be UNCERTAIN or NOK, on average.",
)
@backend_option("auto", "Engine that scores: take the one the line uses. ")
@click.option("--any-size", is_flag=True, help="Take pictures of another size or aspect than the training's.")
@click.option("--keep-outliers", is_flag=True, help="Take pictures whose scores lie far outside of the others'.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def calibrate(
    paths: tuple[str, ...],
    bundle: str,
    false_reject_rate: float,
    confidence: float,
    warn_rate: float | None,
    backend: str,
    any_size: bool,
    keep_outliers: bool,
    as_json: bool,
) -> None:
    """Find the thresholds from pictures of good parts that the training never saw.

    DIR is a folder of pictures, or a picture; there may be several. One picture a part.
    """
    from csflow.calibration.calibrate import calibrate as run
    from csflow.runtime.bundle.directory import Bundle
    from csflow.runtime.engines.opening import open_engine

    opened = Bundle.open(bundle)
    opened.require_writable()
    with (
        open_engine(opened, backend) as engine,
        click.progressbar(length=len(paths), label="Scoring good parts", file=sys.stderr) as bar,
    ):

        def advance(done: int, total: int) -> None:
            bar.length = total
            bar.update(done - bar.pos)

        report = run(opened, paths, engine, false_reject_rate, confidence, warn_rate, advance, any_size, keep_outliers)
    _print_json(report, opened) if as_json else _print(report, opened)


def _print(report: CalibrationReport, bundle: Bundle) -> None:
    from csflow.calibration.thresholds import percent
    from csflow.runtime.bundle.directory import CALIBRATION

    made = report.calibration
    if report.left_out:
        click.echo(f"{report.left_out} pictures were used in training and are left out.")
    click.echo(f"{len(made.scores)} good parts scored with {made.backend}; {_which(report.k)} is the threshold.")
    click.echo(f"  score above {made.reject_threshold:.6g}: NOK")
    click.echo(f"  score above {made.warn_threshold:.6g}: UNCERTAIN")
    click.echo(
        f"At most {percent(made.false_reject_rate)} of good parts will be rejected, with "
        f"{percent(made.confidence)} confidence, if the line stays as it was "
        f"(these parts support {percent(made.bound, 3)})."
    )
    click.echo(
        f"Expect about {1000 * report.expected_reject_share:.3g} NOK and "
        f"{1000 * (made.warn_rate - report.expected_reject_share):.3g} UNCERTAIN in 1000 good parts."
    )
    click.echo("Highest scores; look at these pictures, because a defect among them spoils the threshold:")
    for path, score in report.highest:
        click.echo(f"  {score:<10.6g} {path}")
    for line in report.warnings:
        click.echo(f"WARNING: {line}")
    if not report.training_checked:
        click.echo("The bundle does not list its training pictures: make sure that none is among these.")
    click.echo(f"Wrote {bundle.path / CALIBRATION}")


def _which(k: int) -> str:
    return "the highest score" if k == 1 else f"score number {k} from the top"


def _print_json(report: CalibrationReport, bundle: Bundle) -> None:
    from csflow.runtime.bundle.directory import CALIBRATION

    made = report.calibration
    values = {
        "file": str(bundle.path / CALIBRATION),
        "parts": len(made.scores),
        "k": report.k,
        "reject_threshold": made.reject_threshold,
        "warn_threshold": made.warn_threshold,
        "false_reject_rate": made.false_reject_rate,
        "confidence": made.confidence,
        "bound": made.bound,
        "warn_rate": made.warn_rate,
        "expected_reject_share": report.expected_reject_share,
        "backend": made.backend,
        "training_checked": report.training_checked,
        "warnings": list(report.warnings),
        "left_out": report.left_out,
        "not_found": [str(path) for path in report.not_found],
        "highest": [{"path": str(path), "score": score} for path, score in report.highest],
    }
    echo_json(values)
