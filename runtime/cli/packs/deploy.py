"""`csflow deploy` and `csflow rollback`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from csflow.runtime.cli.command import Command, backend_option
from csflow.runtime.cli.packs.options import tester, trust_options, trusted

if TYPE_CHECKING:
    from csflow.runtime.pack.place import Place

__all__ = ["deploy", "rollback"]

build_option = click.option(
    "--export", "build", is_flag=True, help="Make this machine's engines with 'csflow export' before the test."
)
remote_option = click.option(
    "--csflow", "program", default="csflow", show_default=True, metavar="PATH", help="The command on the other machine."
)


@click.command(cls=Command)
@click.argument("pack", type=click.Path(path_type=Path))
@click.argument("place", metavar="[HOST:]PLACE")
@trust_options
@backend_option("auto", "The engine of the line, which must score the golden frames as the trained model did. ")
@build_option
@remote_option
def deploy(
    pack: Path, place: str, trust: Path | None, allow_unsigned: bool, backend: str, build: bool, program: str
) -> None:
    """Put the bundle of PACK beside the one in use at PLACE, test it there, and use it from then on.

    PLACE is a link that ends in .csflow, or the folder for it. A station takes the new bundle when its PLC prepares
    the recipe again; 'csflow rollback' goes back. Each step is one line of deploy.log beside the link. With HOST
    all of it happens there, by ssh, against that machine's own trust list.

    \b
    csflow deploy part7.csflow.zip line1:csflow/
    """
    from csflow.runtime.pack.place import Place
    from csflow.runtime.pack.store import Store

    there = Place.parse(place, pack)
    if there.host:
        _require_theirs(trust)
        _send(there, pack, program, ["--backend", backend, *_flags(allow_unsigned, build)])
        return
    bundle = Store(Path(there.link)).install(pack, trusted(trust), allow_unsigned, tester(backend, build))
    click.echo(f"{bundle.path} is in use")


@click.command(cls=Command)
@click.argument("place", metavar="[HOST:]LINK")
@backend_option("auto", "The engine of the line, which must still score the golden frames as the trained model did. ")
@remote_option
def rollback(place: str, backend: str, program: str) -> None:
    """Use the bundle again that was in use at LINK before the last 'csflow deploy'; the two change places.

    \b
    csflow rollback line1:csflow/part7.csflow
    """
    from csflow.runtime.pack.place import Place
    from csflow.runtime.pack.store import Store

    there = Place.parse(place, Path(place))
    if there.host:
        click.echo(there.call([program, "rollback", str(there.link), "--backend", backend]), nl=False)
        return
    bundle = Store(Path(there.link)).rollback(tester(backend, build=False))
    click.echo(f"{bundle.path} is as before")


def _require_theirs(trust: Path | None) -> None:
    if trust is not None:
        raise click.UsageError("--trust is for this machine: the other one trusts by its own list")


def _send(there: Place, pack: Path, program: str, options: list[str]) -> None:
    import hashlib

    name = f".csflow-{hashlib.sha256(pack.name.encode()).hexdigest()[:12]}.zip"
    there.send(pack, name)
    try:
        said = there.call([program, "deploy", name, str(there.link), *options])
    finally:
        there.call(["rm", "-f", name])
    click.echo(f"{there.host}: {said}", nl=False)


def _flags(allow_unsigned: bool, build: bool) -> list[str]:
    return ["--allow-unsigned"] * allow_unsigned + ["--export"] * build
