"""`csflow verify`: the decision gate."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

from csflow.runtime.cli.command import Command, backend_option, bundle_option, echo_json, pixels_option, require
from csflow.runtime.errors import BackendUnavailable

if TYPE_CHECKING:
    from csflow.export.gate.verify import GateReport

__all__ = ["verify"]

EXAMPLES = (
    "csflow verify images/",
    "csflow verify images/ --backend openvino-fp32 --json",
)


@click.command(cls=Command, examples=EXAMPLES)
@click.argument("images", required=False, type=click.Path(path_type=Path))
@bundle_option
@pixels_option
@backend_option(None, "Engine to verify, repeatable; by default every one that runs here. ")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most N pictures of IMAGES, always the same.")
@click.option("--report", "directory", type=click.Path(path_type=Path), help="Write the page to this folder as well.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as one JSON object.")
def verify(
    images: Path | None,
    bundle: str,
    backend: tuple[str, ...],
    limit: int | None,
    directory: Path | None,
    as_json: bool,
) -> None:
    """Prove that engines decide as the trained model does, on the good and defective pictures in IMAGES.

    Each picture goes through the trained model (float32, torch) and through each engine. The outcome is written into
    the bundle: verification.json, which csflow run asks for, and verification.html. Without IMAGES the bundle's
    golden frames are all there is. Exit code 4 where an engine failed that was named or
    that a line would use; other OpenVINO precisions are candidates, "not used" where they fail.
    """
    if limit is not None and images is None:
        raise click.UsageError("--limit is for the pictures of IMAGES")
    require("export", "torch", "timm", "scipy", "sklearn", "jinja2", "tqdm")
    from csflow.export.gate.pictures import choose_samples
    from csflow.export.gate.report import gate_files, kept_lines, summary_lines, to_json, untried_lines
    from csflow.export.gate.verify import verify as run
    from csflow.runtime.atomic import write_atomic
    from csflow.runtime.bundle.calibration import load_calibration
    from csflow.runtime.bundle.directory import Bundle
    from csflow.toolkit.cli.progress import TerminalReporter
    from csflow.toolkit.data.dataset import load_dataset
    from csflow.toolkit.evaluation.report import report_folder

    opened = Bundle.open(bundle)
    opened.require_writable()
    calibration = load_calibration(opened)
    reporter, dataset = TerminalReporter(), load_dataset(images) if images else None
    for line in dataset.lines() if dataset else ():
        reporter.say(line)
    samples = choose_samples(dataset, limit) if dataset else ()
    with report_folder(directory) if directory else nullcontext() as folder:
        report = run(opened, calibration, backend, samples, str(images or ""), reporter.images)
        kept, files = kept_lines(opened, report), gate_files(opened, report)
        opened.update(files)
        if folder:
            for name, data in files.items():
                write_atomic(folder / name, data)
    if as_json:
        echo_json(to_json(report))
    else:
        click.echo("\n".join([*summary_lines(report), *untried_lines(report), *kept]))
    _require_passed(report)


def _require_passed(report: GateReport) -> None:
    from csflow.export.gate.report import require_passed

    if not report.records:
        raise BackendUnavailable(f"no engine runs here: {'; '.join(report.left_out.values())}")
    require_passed(report)
