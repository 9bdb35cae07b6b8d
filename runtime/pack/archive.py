"""What lies in a pack: a ZIP file (PKWARE's APPNOTE 6.3) with deterministic bytes, nothing compressed.

manifest.json comes first, then every file that it names and calibration.json by the alphabet, all stamped 1980-01-01:
the same bundle gives the same bytes on every machine. Plans and caches of engines are made for one machine and stay
there.
"""

from __future__ import annotations

import os
import shutil
import zipfile
from pathlib import Path

from csflow.runtime.atomic import atomic_file, whole_folder, write_atomic
from csflow.runtime.bundle.directory import CALIBRATION, MANIFEST, Bundle
from csflow.runtime.bundle.files import CHUNK, MAX_SETTINGS, open_plain
from csflow.runtime.bundle.manifest import Manifest
from csflow.runtime.errors import BundleCorrupted, BundleError
from csflow.runtime.pack.keys import SigningKey, TrustList
from csflow.runtime.pack.origin import Origin, write_origin
from csflow.runtime.pack.seal import SEAL_BYTES, Seal, check_seal, write_seal

__all__ = ["pack", "unpack"]

EPOCH = (1980, 1, 1, 0, 0, 0)
PLAIN_FILE = 0o100644 << 16


def pack(bundle: Bundle, target: Path, key: SigningKey | None) -> None:
    """Write a bundle, checked whole, as one file; `target` holds its old content or all of the new.

    Raises BundleCorrupted where a file of the bundle is not what was written, OSError as the file system does.
    """
    bundle.verify()
    with atomic_file(target) as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
            # Its length stands in the bytes that are signed; the seal takes its place below.
            archive.comment = bytes(SEAL_BYTES)
            _add(archive, MANIFEST, bundle.path)
            for name in sorted({*bundle.manifest.files, *_calibration(bundle)}):
                _add(archive, name, bundle.path)
        file.truncate(file.seek(0, os.SEEK_END) - SEAL_BYTES)
        write_seal(file, key)


def unpack(source: Path, target: Path, trusted: TrustList, allow_unsigned: bool = False) -> tuple[Bundle, Seal]:
    """Make the bundle of a pack at `target`, which must not exist; it appears whole or not at all.

    Raises:
        BundleCorrupted: the seal does not hold (see `check_seal`), or the content is no bundle.
        BundleVersionError: it was packed by a newer csflow.
        BundleError: there is something at `target`.
        OSError: as the file system does.
    """
    seal = check_seal(source, trusted, allow_unsigned)
    if os.path.lexists(target):
        raise BundleError(f"{target} exists: name another folder, or remove it")
    with whole_folder(target) as folder:
        _extract(source, folder)
        bundle = Bundle.open(folder)
        bundle.verify()
        write_origin(bundle, Origin(bundle.weights_sha256, seal.sha256, seal.signer))
    return Bundle.open(target), seal


def _calibration(bundle: Bundle) -> set[str]:
    return set() if bundle.read_calibration() is None else {CALIBRATION}


def _add(archive: zipfile.ZipFile, name: str, root: Path) -> None:
    entry = zipfile.ZipInfo(name, EPOCH)
    entry.external_attr, entry.create_system = PLAIN_FILE, 3
    with open_plain(root, name, "copy the bundle again") as handle, open(handle, "rb", closefd=False) as file:
        entry.file_size = os.fstat(handle).st_size
        with archive.open(entry, "w") as stored:
            shutil.copyfileobj(file, stored, CHUNK)


def _extract(source: Path, folder: Path) -> None:
    try:
        with zipfile.ZipFile(source) as archive:
            entries = _entries(archive, source)
            manifest = _small(archive, entries.pop(MANIFEST, None), source, MANIFEST)
            sizes = {name: entry.size for name, entry in Manifest.from_bytes(manifest, MANIFEST).files.items()}
            write_atomic(folder / MANIFEST, manifest)
            if CALIBRATION in entries:
                write_atomic(folder / CALIBRATION, _small(archive, entries.pop(CALIBRATION), source, CALIBRATION))
            if {name: entry.file_size for name, entry in entries.items()} != sizes:
                raise _strange(source)
            for name, entry in entries.items():
                with archive.open(entry) as stored, atomic_file(folder / name) as file:
                    shutil.copyfileobj(stored, file, CHUNK)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError):
        raise _strange(source) from None


def _entries(archive: zipfile.ZipFile, source: Path) -> dict[str, zipfile.ZipInfo]:
    """Each name once, nothing compressed: a size cannot lie. Names are compared with the manifest's, which are safe."""
    listed = archive.infolist()
    entries = {entry.filename: entry for entry in listed}
    if len(entries) != len(listed) or any(entry.compress_type != zipfile.ZIP_STORED for entry in listed):
        raise _strange(source)
    return entries


def _small(archive: zipfile.ZipFile, entry: zipfile.ZipInfo | None, source: Path, name: str) -> bytes:
    if entry is None or entry.file_size > MAX_SETTINGS:
        raise BundleCorrupted(f"{source} holds no usable {name}: pack the bundle again")
    return archive.read(entry)


def _strange(source: Path) -> BundleCorrupted:
    return BundleCorrupted(f"{source} holds something else than one bundle: pack the bundle again with 'csflow pack'")
