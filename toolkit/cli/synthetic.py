"""`csflow synthetic`."""

from __future__ import annotations

from pathlib import Path

import click

from csflow.runtime.cli.command import Command

__all__ = ["synthetic"]

EXAMPLES = (
    "csflow synthetic out/images",
    "csflow synthetic out/images --train 300 --size 384",
)


@click.command(cls=Command, examples=EXAMPLES)
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--size", default=256, show_default=True, help="Side of the square pictures in pixels.")
@click.option("--train", default=120, show_default=True, help="Good pictures in train/good.")
@click.option("--calibration", default=60, show_default=True, help="Good pictures in calibration/good.")
@click.option("--test-good", default=40, show_default=True, help="Good pictures in test/good.")
@click.option("--test-defects", default=10, show_default=True, help="Pictures of each defect in test/.")
@click.option("--seed", default=0, show_default=True, help="Same seed, same pictures.")
def synthetic(
    directory: Path, size: int, train: int, calibration: int, test_good: int, test_defects: int, seed: int
) -> None:
    """Write a synthetic product line into the empty or new DIRECTORY: metal parts, four kinds of defects, masks."""
    from csflow.toolkit.data.synthetic import write_dataset

    write_dataset(
        directory,
        train=train,
        calibration=calibration,
        test_good=test_good,
        test_defects_each=test_defects,
        size=size,
        seed=seed,
    )
    click.echo(f"wrote {directory}: {train} good pictures to train on, {calibration} to calibrate, and a test set")
