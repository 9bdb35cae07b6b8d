"""The seal of a pack: its last 112 bytes, checked before any other byte has a meaning.

    magic      16 bytes  "csflow-pack-1\\n" and two zeros
    key        32 bytes  the raw Ed25519 public key (RFC 8032, 5.1.5), or zeros where nobody signed
    signature  64 bytes  of the magic followed by SHA-512 of all bytes before it; unsigned: that SHA-512 itself

The seal is the comment of a ZIP file, whose length the signed bytes state: `unzip -l` reads a pack, csflow only after
the seal held. An unsigned pack cannot be made of a signed one unnoticed: the key is part of what is hashed.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from csflow.runtime.bundle.files import CHUNK, sha256_of
from csflow.runtime.errors import BundleCorrupted
from csflow.runtime.pack.keys import SigningKey, TrustList, signature_holds

__all__ = ["SEAL_BYTES", "Seal", "check_seal", "write_seal"]

MAGIC = b"csflow-pack-1\n\0\0"
KEY_BYTES = 32
SEAL_BYTES = len(MAGIC) + KEY_BYTES + 64
NOBODY = bytes(KEY_BYTES)


@dataclass(frozen=True)
class Seal:
    """What a checked seal says."""

    signer: str
    """The name that the trust list gives the key; empty where nobody signed."""
    sha256: str
    """Of the whole file."""


def write_seal(file: BinaryIO, key: SigningKey | None) -> None:
    """Append the seal to what an open file holds; `file` is readable and writable."""
    file.seek(0, os.SEEK_END)
    file.write(MAGIC + (NOBODY if key is None else key.public))
    file.seek(0)
    digest = _digest(file, file.seek(0, os.SEEK_END))
    file.write(digest if key is None else key.sign(MAGIC + digest))


def check_seal(path: Path, trusted: TrustList, allow_unsigned: bool) -> Seal:
    """Who signed the file, after its signature was found to hold for every byte.

    Raises:
        BundleCorrupted: no pack, changed since it was sealed, signed by a key that is not trusted, or by nobody
            although `allow_unsigned` is False.
        OSError: as the file system does.
    """
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        if size <= SEAL_BYTES:
            raise BundleCorrupted(f"{path} is no pack of csflow's, or was cut off: copy it again")
        file.seek(size - SEAL_BYTES)
        tail = file.read(SEAL_BYTES)
        magic, key, signature = tail[: len(MAGIC)], tail[len(MAGIC) : -64], tail[-64:]
        if magic != MAGIC:
            raise BundleCorrupted(f"{path} is no pack of csflow's, or was cut off: copy it again")
        digest = _digest(file, size - 64)
        os.lseek(file.fileno(), 0, os.SEEK_SET)
        whole = sha256_of(file.fileno())
    return Seal(_signer(path, key, signature, digest, trusted, allow_unsigned), whole)


def _signer(path: Path, key: bytes, signature: bytes, digest: bytes, trusted: TrustList, allow_unsigned: bool) -> str:
    if key == NOBODY:
        if signature != digest:
            raise BundleCorrupted(f"{path} was changed after it was packed: copy it again")
        if not allow_unsigned:
            raise BundleCorrupted(
                f"nobody signed {path}: pack it with --key, or allow it with --allow-unsigned, which every result shows"
            )
        return ""
    name = trusted.name_of(key)
    if name is None:
        raise BundleCorrupted(
            f"{path} is signed by a key that {trusted.where} does not name: ask who packed it, and add the line of his "
            "public key if you trust him"
        )
    if not signature_holds(key, signature, MAGIC + digest):
        raise BundleCorrupted(f"{path} was changed after {name} signed it: copy it again")
    return name


def _digest(file: BinaryIO, size: int) -> bytes:
    digest, left = hashlib.sha512(), size
    file.seek(0)
    while left > 0 and (block := file.read(min(CHUNK, left))):
        digest.update(block)
        left -= len(block)
    return digest.digest()
