"""`csflow pack` and `csflow unpack`."""

from __future__ import annotations

from pathlib import Path

import click

from csflow.runtime.cli.command import Command, bundle_option
from csflow.runtime.cli.packs.options import signed, trust_options, trusted

__all__ = ["pack", "unpack"]


@click.command(cls=Command)
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Default: BUNDLE.zip.")
@click.option(
    "--key",
    type=click.Path(path_type=Path),
    envvar="CSFLOW_KEY",
    metavar="FILE",
    help="Ed25519 private key that signs: 'ssh-keygen -t ed25519 -f factory' makes one; also taken from CSFLOW_KEY.",
)
def pack(bundle: Path, output: Path | None, key: Path | None) -> None:
    """Write BUNDLE as one file: the same bytes wherever it is packed, signed, without any machine's engines.

    \b
    csflow pack part7.csflow --key factory
    """
    from csflow.runtime.bundle.directory import Bundle
    from csflow.runtime.pack import archive
    from csflow.runtime.pack.keys import SigningKey

    target = output or bundle.with_name(f"{bundle.absolute().name}.zip")
    signing = None if key is None else SigningKey.read(key, lambda: _passphrase(key))
    archive.pack(Bundle.open(bundle), target, signing)
    click.echo(f"{target}: {'UNSIGNED' if signing is None else f'signed with {key}'}, {target.stat().st_size} bytes")


@click.command(cls=Command)
@click.argument("pack", type=click.Path(path_type=Path))
@bundle_option
@trust_options
def unpack(pack: Path, bundle: str, trust: Path | None, allow_unsigned: bool) -> None:
    """Check who signed PACK and that no byte changed, then make its bundle, which must not exist yet.

    \b
    csflow unpack part7.csflow.zip --bundle part7.csflow
    """
    from csflow.runtime.pack import archive

    made, seal = archive.unpack(pack, Path(bundle), trusted(trust), allow_unsigned)
    click.echo(f"{made.path}: {signed(seal.signer)}")


def _passphrase(key: Path) -> str:
    answer: str = click.prompt(f"Passphrase of {key}", hide_input=True, err=True)
    return answer
