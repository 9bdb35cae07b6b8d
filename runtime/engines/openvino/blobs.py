"""OpenVINO's compiled models on the disk: what was damaged there goes before OpenVINO reads it.

OpenVINO notices a file that ends too early. A page of zeros in its middle, as a power cut or a worn card leaves it, is
weights to it (2026.4): the same wrong network at every start, which no new export of the same graph would mend. So each
graph has a folder of its own, and each file there a seal, its SHA-256 as `sha256sum -c` reads it, that is written once
OpenVINO has compiled. What has no seal that fits is compiled anew. libcsflow does the same in engine/blobs.cpp.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

from csflow.runtime.atomic import write_atomic
from csflow.runtime.bundle.files import sha256_of
from csflow.runtime.machine.machine import processor_instructions

__all__ = ["seal_blobs", "sound_folder"]


def sound_folder(cache: Path, sha256: str, hint: str) -> Path | None:
    """The folder in `cache` for a graph of this SHA-256, precision and processor, holding nothing but what may be run.

    None where it cannot be made or cleared, as on a read-only disk: then a graph is compiled without a cache.
    """
    processor = hashlib.sha256(processor_instructions().encode()).hexdigest()[:8]
    folder = cache / f"{sha256[:32]}-{hint}-{processor}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Those beside the folders are of a csflow that sealed nothing.
        for blob in (*cache.glob("*.blob"), *folder.glob("*.blob")):
            if not _is_sound(blob):
                _seal_of(blob).unlink(missing_ok=True)
                blob.unlink(missing_ok=True)
    except OSError:
        return None
    return folder


def seal_blobs(folder: Path) -> None:
    """Seal what OpenVINO has written there; where that fails it is compiled again at the next start."""
    with contextlib.suppress(OSError):
        for blob in folder.glob("*.blob"):
            write_atomic(_seal_of(blob), f"{_sha256(blob)}  {blob.name}\n".encode())


def _seal_of(blob: Path) -> Path:
    return blob.with_name(f"{blob.name}.sha256")


def _is_sound(blob: Path) -> bool:
    try:
        return _seal_of(blob).read_bytes()[:64] == _sha256(blob).encode()
    except OSError:
        return False


def _sha256(path: Path) -> str:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return sha256_of(handle)
    finally:
        os.close(handle)
