"""`csflow split`."""

from __future__ import annotations

from pathlib import Path

import click

from csflow.runtime.cli.command import Command, Share, rate

__all__ = ["split"]

EXAMPLES = (
    "csflow split parts/ images/",
    "csflow split parts/ images/ --false-reject-rate 5% --test-share 20%",
)


@click.command(cls=Command, examples=EXAMPLES)
@click.argument("pictures", type=click.Path(path_type=Path))
@click.argument("images", type=click.Path(path_type=Path))
@click.option(
    "--false-reject-rate",
    type=rate,
    default="1%",
    show_default=True,
    help="What the thresholds shall promise: as many good pictures as that needs are for them, at most a third.",
)
@click.option("--confidence", type=rate, default="95%", show_default=True, help="How sure the promise shall be.")
@click.option(
    "--test-share",
    type=Share(0, 0.5),
    help="Share of the good pictures to test with, at most half.  "
    "[default: a sixth where there are defective ones, else 0]",
)
def split(pictures: Path, images: Path, false_reject_rate: float, confidence: float, test_share: float | None) -> None:
    """Part PICTURES into training, thresholds and test, in the new folder IMAGES.

    PICTURES holds good pictures, or a folder good/ (ok/, normal/) beside folders of defects. The parts are spread
    evenly over the pictures in the order of their names; files are linked where the file system can, else copied.
    """
    from csflow.toolkit.data.dataset import load_dataset
    from csflow.toolkit.data.split import Promise, write_split

    for line in write_split(load_dataset(pictures), images, Promise(false_reject_rate, confidence), test_share):
        click.echo(line)
    click.echo(f"next: csflow train {images}")
