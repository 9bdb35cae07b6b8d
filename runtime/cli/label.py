"""`csflow label`: the operator's word on a verdict."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from csflow.runtime.cli.command import Command, echo_json, pixels_option
from csflow.runtime.errors import DataError

__all__ = ["label"]

EXAMPLES = (
    "csflow label parts/0173.png --results results.jsonl --wrong --reason 'only dust' --to labelled/",
    "csflow label --to labelled/",
)
GONE = 5
"""Names of pictures that are not there, at most, in one message."""


@click.command(cls=Command, examples=EXAMPLES)
@click.argument("pictures", nargs=-1, type=click.Path(path_type=Path), metavar="[PICTURE]...")
@click.option("--to", "folder", required=True, metavar="DIR", help="The folder that collects them, or your data set.")
@click.option("--right/--wrong", "right", default=None, help="Whether the verdict was right.")
@click.option("--good", is_flag=True, help="The part is good.")
@click.option("--defect", metavar="TYPE", help="The part has this defect; a folder of that name takes it.")
@click.option("--reason", metavar="TEXT", help="Why, for whoever reads it later.")
@click.option("--by", metavar="NAME", show_default="the user", help="Who says so.")
@click.option(
    "--verdict", type=click.Choice(["OK", "NOK", "UNCERTAIN"]), help="What csflow said, where --results does not tell."
)
@click.option("--results", type=click.Path(path_type=Path), metavar="FILE", help="JSON lines of the run.")
@click.option(
    "--use",
    type=click.Choice(["train", "calibration", "test"]),
    default="test",
    show_default=True,
    help="What good parts are for; defective ones are always for testing.",
)
@pixels_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def label(
    pictures: tuple[Path, ...],
    folder: str,
    right: bool | None,
    good: bool,
    defect: str | None,
    reason: str | None,
    by: str | None,
    verdict: str | None,
    results: Path | None,
    use: str,
    as_json: bool,
) -> None:
    """Say that the verdicts on PICTURES were right or wrong, and keep pictures and word in a folder for training.

    A NOK that was wrong is a good part, an OK that was wrong a defective one; UNCERTAIN needs --good or --defect.
    Without PICTURES the counts of the folder are printed.
    """
    from csflow.runtime.labels.folder import LabelFolder
    from csflow.runtime.machine.names import shown
    from csflow.runtime.machine.user import user_name

    kept = LabelFolder(folder)
    if not pictures:
        if right is not None or good or defect or reason or verdict or results:
            raise click.UsageError("on which pictures? Name them; without any the counts of the folder are printed")
        counts = kept.counts()
        echo_json(_counted(counts)) if as_json else click.echo(counts.line())
        return
    if not reason or not reason.strip():
        raise click.UsageError("say why: --reason TEXT")
    if gone := [shown(str(picture)) for picture in pictures if not picture.is_file()]:
        raise DataError(f"there is no picture {', '.join(gone[:GONE])}: nothing was labelled; name pictures of the run")
    words = _words(pictures, results, verdict)
    made = [_add(kept, p, words[p], (right, defect, good), reason, by or user_name(), use) for p in pictures]
    if as_json:
        echo_json({"labels": made, **_counted(kept.counts())})
        return
    for one in made:
        click.echo(f"{one['verdict']}, {'overruled: ' if one['overruled'] else ''}{one['truth']}: {one['picture']}")
    click.echo(kept.counts().line())


def _words(pictures: tuple[Path, ...], results: Path | None, verdict: str | None) -> dict[Path, dict[str, Any]]:
    """The record of each picture; only its verdict where there are no results."""
    from csflow.runtime.labels.results import results_of

    if results is None and verdict is None:
        return {picture: _kept_record(picture) for picture in pictures}
    if results is None:
        return {picture: {"verdict": verdict} for picture in pictures}
    found = results_of(results, pictures)
    return {picture: {**record, **({"verdict": verdict} if verdict else {})} for picture, record in found.items()}


def _kept_record(picture: Path) -> dict[str, Any]:
    """What `csflow run --save-raw` wrote into the picture."""
    from csflow.runtime.picture.origin import RESULT, record_in

    record = record_in(picture, RESULT)
    if record.get("verdict") not in ("OK", "NOK", "UNCERTAIN"):
        raise click.UsageError("what did csflow say? --results FILE of the run, or --verdict OK, NOK or UNCERTAIN")
    return record


def _add(
    kept: Any,
    picture: Path,
    record: dict[str, Any],
    said: tuple[bool | None, str | None, bool],
    reason: str,
    by: str,
    use: str,
) -> dict[str, Any]:
    from csflow.runtime.errors import ConfigError
    from csflow.runtime.labels.label import truth_of
    from csflow.runtime.picture.images import read_picture
    from csflow.runtime.schema import to_mapping

    read_picture(picture)
    truth = truth_of(record["verdict"], *said)
    try:
        result = record if len(record) > 1 else {}
        made = kept.add(picture.read_bytes(), picture.name, record["verdict"], truth, reason, by, use, result)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    return {**to_mapping(made), "overruled": made.overruled}


def _counted(counts: Any) -> dict[str, dict[str, int]]:
    from csflow.runtime.schema import to_mapping

    return {"counts": {**to_mapping(counts), "overruled": counts.overruled}}
