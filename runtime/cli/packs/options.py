"""What these commands share."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from csflow.runtime.bundle.directory import Bundle
    from csflow.runtime.pack.keys import TrustList

__all__ = ["signed", "tester", "trust_options", "trusted"]

LAUNCH = "from csflow.runtime.cli.main import main; main(prog_name='csflow')"


def trust_options(function: Any) -> Any:
    """--trust and --allow-unsigned; the body receives `trust` and `allow_unsigned`."""
    for option in (
        click.option(
            "--allow-unsigned", is_flag=True, help="Take a pack that nobody signed; every result then shows it."
        ),
        click.option(
            "--trust",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="Public keys whose packs are taken, as in sshd's authorized_keys; default: CSFLOW_TRUST, or "
            "~/.config/csflow/trusted_keys.",
        ),
    ):
        function = option(function)
    return function


def trusted(trust: Path | None) -> TrustList:
    """The trust list of a command. Raises ConfigError where a named file does not exist."""
    from csflow.runtime.errors import ConfigError
    from csflow.runtime.pack.keys import TrustList, default_trust

    if trust is not None and not trust.exists():
        raise ConfigError(f"no file {trust}: name a list of public keys with --trust")
    return TrustList.read(default_trust() if trust is None else trust)


def signed(signer: str) -> str:
    """In words."""
    return f"signed by {signer}" if signer else "UNSIGNED"


def tester(backend: str, build: bool) -> Callable[[Bundle], None]:
    """Opens the bundle as the line will, which scores its golden frames; before it the engines are made if asked."""

    def test(bundle: Bundle) -> None:
        from csflow.runtime.detector import Detector
        from csflow.runtime.errors import EngineError

        if build:
            words = [sys.executable, "-c", LAUNCH, "export", "--bundle", str(bundle.path)]
            if subprocess.run(words, stdin=subprocess.DEVNULL, check=False).returncode:
                raise EngineError(f"'csflow export --bundle {bundle.path}' failed, see above: nothing was changed")
        Detector.open(bundle.path, backend).close()

    return test
