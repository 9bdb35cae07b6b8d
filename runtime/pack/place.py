"""Where a bundle is deployed: a path here, or HOST:PATH by the ssh and scp of this machine."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from csflow.runtime.errors import BackendUnavailable, ConfigError, SinkError

__all__ = ["Place", "bundle_name"]

OPTIONS = ("-o", "BatchMode=yes")
"""A password prompt would wait for nobody: keys are arranged before."""


@dataclass(frozen=True)
class Place:
    """A link for a bundle in use, here or on another machine."""

    host: str
    """As ssh takes it, `user@line1` or a name of ~/.ssh/config; empty: here."""
    link: PurePosixPath

    @classmethod
    def parse(cls, text: str, pack: Path) -> Place:
        """`[HOST:]PATH`, as scp reads it: a colon before the first slash ends the host.

        A path that does not end in .csflow is the folder for a link named as the pack, without its .zip.

        Raises ConfigError where the host would be taken for an option.
        """
        head, colon, tail = text.partition(":")
        host, path = (head, tail) if colon and "/" not in head else ("", text)
        if host.startswith("-") or (colon and not host and "/" not in head):
            raise ConfigError(f"{text!r} names no host: write line1:folder/, or ./folder/ for a folder here")
        link = PurePosixPath(path or ".")
        return cls(host, link if link.suffix == ".csflow" else link / bundle_name(pack))

    def send(self, file: Path, name: str) -> None:
        """Copy a file into the home folder of the host. Raises SinkError with what scp said."""
        self._call("scp", ["-q", *OPTIONS, "--", str(file), f"{self.host}:{name}"])

    def call(self, words: Sequence[str]) -> str:
        """Run a command there; its output. Raises SinkError with what it said."""
        return self._call("ssh", [*OPTIONS, "--", self.host, shlex.join(words)])

    def _call(self, program: str, words: Sequence[str]) -> str:
        try:
            done = subprocess.run([program, *words], capture_output=True, text=True, errors="replace", check=False)
        except FileNotFoundError:
            raise BackendUnavailable(f"{program} is not installed here (Debian: openssh-client)") from None
        if done.returncode:
            said = (done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}").splitlines()[-1]
            raise SinkError(f"{self.host}: {said.removeprefix('Error: ')}")
        return done.stdout


def bundle_name(pack: Path) -> str:
    """part7.csflow for part7.csflow.zip."""
    name = pack.name.removesuffix(".zip")
    return name if name.endswith(".csflow") else f"{name}.csflow"
