"""A deployment by real ssh, scp and sshd, each connection through a pipe to an sshd of its own: no port is taken."""

from __future__ import annotations

import getpass
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.cli.main import main

SSHD, SFTP = Path("/usr/sbin/sshd"), Path("/usr/lib/openssh/sftp-server")
PROGRAMS = [str(SSHD), str(SFTP), "ssh", "scp", "ssh-keygen"]
SERVER = """
HostKey {root}/host
AuthorizedKeysFile {root}/client.pub
StrictModes no
UsePAM no
PasswordAuthentication no
PidFile none
Subsystem sftp {sftp}
SetEnv CSFLOW_TRUST={trust}
ForceCommand cd {home} && exec sh -c "$SSH_ORIGINAL_COMMAND"
"""
CLIENT = """
Host line1
ProxyCommand {sshd} -i -f {root}/server.conf -E {root}/server.log
User {user}
IdentityFile {root}/client
IdentitiesOnly yes
UserKnownHostsFile {root}/known
StrictHostKeyChecking accept-new
"""


@pytest.fixture
def line1(tmp_path: Path, pair: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home folder of a machine that this one's ssh knows as line1."""
    if missing := [name for name in PROGRAMS if shutil.which(name) is None]:
        pytest.skip(f"{missing[0]} is not installed (Debian: openssh-server, openssh-client)")
    if os.geteuid() == 0:
        # Of root's sshd; the system makes it when its own is started.
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    root, home = tmp_path / "ssh", tmp_path / "home"
    root.mkdir()
    home.mkdir()
    for name in ("host", "client"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(root / name)], check=True, timeout=60)
    places = {"root": root, "home": home, "trust": pair.trust, "sshd": SSHD, "sftp": SFTP, "user": getpass.getuser()}
    (root / "server.conf").write_text(SERVER.format(**places))
    (root / "client.conf").write_text(CLIENT.format(**places))
    tools = tmp_path / "tools"
    tools.mkdir()
    for name, more in (("ssh", ""), ("scp", f"-S {tools}/ssh ")):
        (tools / name).write_text(f'#!/bin/sh\nexec {shutil.which(name)} -F {root}/client.conf {more}"$@"\n')
        (tools / name).chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    return home


def test_a_pack_is_deployed_by_a_real_sshd_and_a_changed_one_refused(
    line1: Path, calibrated_bundle: Bundle, pair: Any, tmp_path: Path
) -> None:
    pack = tmp_path / "part7.csflow.zip"
    words = ["pack", str(calibrated_bundle.path), "--key", str(pair.private), "-o", str(pack)]
    assert CliRunner().invoke(main, words).exit_code == 0
    options = ["--backend", "fake", "--csflow", str(Path(sys.executable).with_name("csflow"))]
    done = CliRunner().invoke(main, ["deploy", str(pack), "line1:bundles of line 1/", *options])
    assert done.exit_code == 0, done.output + (line1.parent / "ssh" / "server.log").read_text()
    link = line1 / "bundles of line 1" / "part7.csflow"
    assert Bundle.open(link).weights_sha256 == calibrated_bundle.weights_sha256
    assert [path.name for path in line1.iterdir()] == ["bundles of line 1"], "the copy of the pack is gone"
    pack.write_bytes(pack.read_bytes()[:-1] + b"!")
    done = CliRunner().invoke(main, ["deploy", str(pack), "line1:bundles of line 1/", *options])
    assert done.exit_code == 7
    assert done.stderr.startswith("Error: line1: ")
