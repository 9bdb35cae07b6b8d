"""Ed25519 keys (RFC 8032) as OpenSSH's files: `ssh-keygen -t ed25519 -f factory` makes a pair.

The private key signs packs where they are made. A box keeps a trust list in the form of sshd's authorized_keys: lines
`ssh-ed25519 AAAA... name`, comments after #.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from csflow.runtime.errors import BackendUnavailable, ConfigError
from csflow.runtime.machine.install import pip_install

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

__all__ = ["SigningKey", "TrustList", "default_trust", "signature_holds"]

MAX_BYTES = 1 << 20


def default_trust() -> Path:
    """`$CSFLOW_TRUST`, or ~/.config/csflow/trusted_keys."""
    named = os.environ.get("CSFLOW_TRUST")
    return Path(named) if named else Path.home() / ".config" / "csflow" / "trusted_keys"


@dataclass(frozen=True)
class SigningKey:
    """A private key."""

    _key: Ed25519PrivateKey

    @classmethod
    def read(cls, path: Path, passphrase: Callable[[], str]) -> SigningKey:
        """Read OpenSSH's or PEM's form; `passphrase` is asked where the file is encrypted.

        Raises ConfigError where the file holds no Ed25519 private key or the passphrase is wrong, OSError as the file
        system does.
        """
        _require_cryptography()
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_ssh_private_key

        data = _read(path)
        load = load_ssh_private_key if b"OPENSSH" in data else load_pem_private_key
        try:
            try:
                key = load(data, None)
            except TypeError:  # that is how cryptography says "encrypted"
                key = load(data, passphrase().encode())
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise ConfigError(
                f"{path} holds no private key that can be read, or the passphrase is wrong: "
                "make one with 'ssh-keygen -t ed25519 -f factory'"
            ) from None
        if not isinstance(key, Ed25519PrivateKey):
            raise ConfigError(f"{path} is no Ed25519 key: make one with 'ssh-keygen -t ed25519 -f factory'")
        return cls(key)

    @property
    def public(self) -> bytes:
        """The 32 bytes of the public key."""
        return self._key.public_key().public_bytes_raw()

    def sign(self, message: bytes) -> bytes:
        """The signature of 64 bytes."""
        return self._key.sign(message)


@dataclass(frozen=True)
class TrustList:
    """Whose packs this box takes."""

    where: str
    names: dict[bytes, str]
    """The name of each public key of 32 bytes."""

    @classmethod
    def read(cls, path: Path) -> TrustList:
        """The keys of a file; none where there is no file. Raises ConfigError for a line that is no Ed25519 key."""
        if not path.exists():
            return cls(f"{path} (which does not exist)", {})
        names = {}
        for number, line in enumerate(_read(path).decode(errors="replace").splitlines(), 1):
            if text := line.split("#", 1)[0].strip():
                key, name = _trusted(text, f"{path}, line {number}")
                names[key] = name
        return cls(str(path), names)

    def name_of(self, key: bytes) -> str | None:
        """The name of a key, or None where it is not trusted."""
        return self.names.get(key)


def signature_holds(key: bytes, signature: bytes, message: bytes) -> bool:
    """Whether `signature` is that of `message` by the public key of 32 bytes."""
    _require_cryptography()
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def _trusted(text: str, where: str) -> tuple[bytes, str]:
    _require_cryptography()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_ssh_public_key

    try:
        key = load_ssh_public_key(text.encode())
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigError(f"{where} is no Ed25519 public key: a line reads 'ssh-ed25519 AAAA... name'")
    return key.public_bytes_raw(), " ".join(text.split()[2:]) or "a key without a name"


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{path} is larger than {MAX_BYTES} bytes: name a file of keys")
    return data


def _require_cryptography() -> None:
    try:
        import cryptography  # noqa: F401
    except ImportError:
        raise BackendUnavailable(f"signatures need cryptography: {pip_install('pack')}") from None
