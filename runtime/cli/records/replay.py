"""`csflow replay`: recorded parts judged again."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from csflow.runtime.cli.command import Command, backend_option, bundle_option, echo_json, pixels_option, tell

if TYPE_CHECKING:
    from csflow.runtime.replay.again import Again, Counts

__all__ = ["replay"]

SHOWN = 20
EVERY = 100


@click.command(cls=Command)
@click.argument("results", type=click.Path(path_type=Path))
@click.option(
    "--pictures",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The folder with the pictures, by the names of the run; default: where the run had found them.",
)
@bundle_option
@backend_option("auto")
@click.option("--unverified", is_flag=True, help="Also with an engine that the decision gate has not passed.")
@click.option("--report", type=click.Path(path_type=Path), metavar="FILE", help="Write an HTML page of what differs.")
@click.option("--json", "as_json", is_flag=True, help="Print the counts as one JSON object.")
@pixels_option
@click.pass_context
def replay(
    ctx: click.Context,
    results: Path,
    pictures: Path | None,
    bundle: str,
    backend: str,
    unverified: bool,
    report: Path | None,
    as_json: bool,
) -> None:
    """Judge the parts of RESULTS, the JSON lines of a run, again, and say which come out otherwise.

    By the bundle of the run every score must be the same to the last bit, on the same engine and machine. With the
    bundle that is to take its place this is the table that the decision rests on. The exit code is 1 where a verdict
    differs.

    \b
    csflow replay results.jsonl --pictures parts/ --bundle new.csflow --report differences.html
    """
    from csflow.runtime.detector import Detector
    from csflow.runtime.picture.region import Region
    from csflow.runtime.replay.again import Counts, again
    from csflow.runtime.replay.page import write_page
    from csflow.runtime.replay.parts import parts_of

    counts = Counts()
    with Detector.open(bundle, backend, unverified) as detector:
        parts = again(parts_of(results, pictures), detector, counts, lambda: _progress(counts))
        listed = parts if as_json else _listed(parts)
        if report is None:
            for _ in listed:
                pass
        else:
            region = Region.of(detector.bundle.manifest.preprocessing)
            write_page(report, f"{results.name} judged again by {detector.identity.bundle}", listed, region)
    _tell(counts, as_json)
    ctx.exit(1 if counts.differ else 0)


def _listed(parts: Iterable[Again]) -> Iterable[Again]:
    shown = 0
    for one in parts:
        if one.differs:
            shown += 1
            if shown <= SHOWN:
                click.echo(f"{one.part.record['source']}: was {one.part.record['verdict']}, is {one.verdict}")
            elif shown == SHOWN + 1:
                click.echo("... and more: --report shows them")
        yield one


def _progress(counts: Counts) -> None:
    if counts.parts % EVERY == 0:
        tell(f"{counts.parts} parts")


def _tell(counts: Counts, as_json: bool) -> None:
    from csflow.runtime.schema import to_mapping

    if as_json:
        echo_json(to_mapping(counts))
        return
    click.echo(
        f"{counts.parts} parts: {counts.identical} identical, {counts.same_verdict} with another score, "
        f"{counts.differ} with another verdict, {counts.not_judged} without a verdict (ERROR), "
        f"{counts.without_picture} without a picture"
    )
    if counts.other_model:
        click.echo(f"{counts.other_model} had been judged by another model")
    if counts.other_engine:
        click.echo(
            f"{counts.other_engine} had been judged by another engine, whose scores may differ in the last digits"
        )
