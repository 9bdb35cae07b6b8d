"""Keys as ssh-keygen's users have them."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from csflow.runtime.pack.keys import SigningKey, TrustList


class Pair(NamedTuple):
    """A key of the factory, and a box that trusts it."""

    private: Path
    trust: Path
    key: SigningKey
    trusted: TrustList


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    """A key in OpenSSH's files."""
    pytest.importorskip("cryptography", reason="the extra pack is not installed")
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    made = Ed25519PrivateKey.generate()
    private, trust = tmp_path / "factory", tmp_path / "trusted_keys"
    private.write_bytes(made.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    line = made.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    trust.write_text(f"# who may send\n\n{line} anna of the factory\n")
    return Pair(private, trust, SigningKey.read(private, str), TrustList.read(trust))
