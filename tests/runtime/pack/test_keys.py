"""Keys are OpenSSH's; what is none is told in one line."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from csflow.runtime.errors import ConfigError
from csflow.runtime.pack.keys import SigningKey, TrustList, default_trust, signature_holds


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="no ssh-keygen (Debian: openssh-client)")
def test_the_files_of_ssh_keygen(tmp_path: Path) -> None:
    pytest.importorskip("cryptography", reason="the extra pack is not installed")
    words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "bea", "-f", str(tmp_path / "factory")]
    subprocess.run(words, check=True)
    key = SigningKey.read(tmp_path / "factory", str)
    trusted = TrustList.read(tmp_path / "factory.pub")
    assert trusted.name_of(key.public) == "bea"
    assert signature_holds(key.public, key.sign(b"part"), b"part")
    assert not signature_holds(key.public, key.sign(b"part"), b"parts")


def test_pem_with_a_passphrase(pair: Any, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

    made = Ed25519PrivateKey.generate()
    path = tmp_path / "locked"
    path.write_bytes(made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")))
    assert SigningKey.read(path, lambda: "secret").public != pair.key.public
    with pytest.raises(ConfigError, match="passphrase is wrong"):
        SigningKey.read(path, lambda: "guess")


def test_another_kind_of_key(pair: Any, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    made = generate_private_key(SECP256R1())
    (tmp_path / "ec").write_bytes(made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(ConfigError, match="no Ed25519 key"):
        SigningKey.read(tmp_path / "ec", str)
    line = made.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    (tmp_path / "list").write_bytes(pair.trust.read_bytes() + line + b" carl\n")
    with pytest.raises(ConfigError, match="line 4 is no Ed25519 public key"):
        TrustList.read(tmp_path / "list")


@pytest.mark.parametrize("content", [b"", b"not a key", b"\x00" * 40, b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n"])
@pytest.mark.usefixtures("pair")
def test_what_is_no_key(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "none").write_bytes(content)
    with pytest.raises(ConfigError, match="ssh-keygen -t ed25519"):
        SigningKey.read(tmp_path / "none", str)


def test_where_the_list_lies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("CSFLOW_TRUST", raising=False)
    assert default_trust() == tmp_path / ".config/csflow/trusted_keys"
    monkeypatch.setenv("CSFLOW_TRUST", "/etc/csflow/keys")
    assert default_trust() == Path("/etc/csflow/keys")
    assert TrustList.read(tmp_path / "none").names == {}
