"""A bundle: the directory that carries one trained inspection from the training machine to the line.

    manifest.json        what the bundle is; SHA-256 and size of every file below that is marked with *
    weights/           * <graph>.safetensors for every graph of the manifest: backbone, flow
    graphs/<precision>/* <graph>.onnx; resize_<H>x<W>.onnx for cameras whose pictures the GPU resizes
    golden/            * frames with the scores they must give
    provenance/        * training_images.json: SHA-256 of every picture that was trained on
    verification.json  * what the decision gate found about each engine; verification.html shows it
    calibration.json     thresholds; editable by hand, bound to the weights, validated when read
    engines/             <backend>/<precision>/<graph>.plan of TensorRT, each with its record; this machine's own

Nothing in a bundle is ever unpickled, and no parser sees a file before its hash was checked.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from csflow.runtime.atomic import atomic_file, sync_directory, write_atomic
from csflow.runtime.bundle.files import (
    clear_leftovers,
    is_leftover,
    most_bytes,
    open_plain,
    read_at_most,
    read_json_file,
    require_size,
    sha256_of,
)
from csflow.runtime.bundle.identity import identity
from csflow.runtime.bundle.manifest import CALIBRATION, MANIFEST, FileEntry, Manifest, file_name_problem
from csflow.runtime.errors import BundleCorrupted, BundleError, BundleMissing

__all__ = ["CALIBRATION", "MANIFEST", "Bundle", "default_path"]

REMEDY = "copy the bundle again"


def default_path() -> Path:
    """`$CSFLOW_BUNDLE`, or model.csflow in the working directory."""
    return Path(os.environ.get("CSFLOW_BUNDLE") or "model.csflow")


@dataclass(frozen=True)
class Bundle:
    """An opened bundle: its directory and its checked manifest."""

    path: Path
    manifest: Manifest

    @classmethod
    def open(cls, path: Path | str) -> Bundle:
        """Read the manifest and check that every file it names is there with the right size.

        Contents are hashed when they are read (`read`), or all at once by `verify`.

        Raises:
            BundleMissing: there is no bundle at `path`.
            BundleError: it may not be read.
            BundleVersionError: newer format.
            BundleCorrupted: the manifest is damaged, or a file is missing, linked, or of another size.
        """
        path = Path(path)
        if not _exists(path):
            raise BundleMissing(path)
        bundle = cls(path, _read_manifest(path))
        for name, entry in bundle.manifest.files.items():
            with bundle._opened(name, entry):
                pass
        return bundle

    @classmethod
    def create(cls, path: Path | str, manifest: Manifest, files: Mapping[str, bytes]) -> Bundle:
        """Make a bundle at `path`, or replace the one there with all that belonged to its weights.

        Contents are written before anything old is touched: a full disk leaves the old bundle as it was.
        Killed at any moment, `path` holds the old bundle, the new one, or a bundle that says which file it
        lacks. One process writes at a time.

        Raises:
            BundleError: `path` holds something else, or a damaged bundle, or a name is not allowed.
            OSError: as the file system does.
        """
        path = Path(path)
        _check_names(files)
        old = cls.check_target(path)
        fresh = cls(path, replace(manifest, files={}))
        if not os.path.lexists(path / MANIFEST):
            # An empty bundle first: if this is killed, `path` is a bundle still, and can be created again.
            fresh._write_manifest({})
        return fresh._commit(files, kept={}, remove={*old, CALIBRATION})

    @staticmethod
    def check_target(path: Path) -> set[str]:
        """Whether `create` may write at `path`, asked before hours of training; returns the files it would replace.

        Raises BundleError when `path` holds something else or may not be written, BundleCorrupted when it holds a
        damaged bundle.
        """
        _require_writable(path)
        if os.path.lexists(path / MANIFEST):
            return set(_read_replaceable(path).files)
        _require_vacant(path)
        return set()

    def require_writable(self) -> None:
        """Raises BundleError where files of the bundle cannot be replaced: asked before minutes of work."""
        if not os.access(self.path, os.W_OK | os.X_OK):
            raise BundleError(
                f"{self.path} may not be written, and what comes out belongs into it: correct its permissions, or copy "
                "it to where you may write"
            )

    def update(self, files: Mapping[str, bytes], remove: tuple[str, ...] = ()) -> Bundle:
        """Add, replace and remove hashed files; returns the bundle as it is now.

        Killed at any moment, the bundle still opens, though it may lack the files that were being replaced.
        One process writes at a time. Raises BundleError for a name that no bundle may hold, OSError as the
        file system does.
        """
        _check_names(files)
        gone = {n for n in self.manifest.files if n in files or n in remove}
        kept = {n: e for n, e in self.manifest.files.items() if n not in gone}
        return self._commit(files, kept, gone)

    def _commit(self, files: Mapping[str, bytes], kept: dict[str, FileEntry], remove: set[str]) -> Bundle:
        # Every state between these steps is a valid bundle: contents beside their names, a manifest
        # without the old entries, the renames, a manifest with the new entries.
        entries = {n: FileEntry(hashlib.sha256(data).hexdigest(), len(data)) for n, data in files.items()}
        updated = replace(self.manifest, files={**kept, **entries})
        staged: dict[str, Path] = {}
        clear_leftovers(self.path)
        try:
            for name, data in files.items():
                staged[name] = self._stage(name, data)
            if remove:
                self._write_manifest(kept)
            for name in remove - set(files):
                (self.path / name).unlink(missing_ok=True)
            for name, temporary in staged.items():
                os.replace(temporary, self.path / name)
                sync_directory((self.path / name).parent)
            return Bundle(self.path, self._write_manifest(dict(updated.files)))
        finally:
            for temporary in staged.values():
                temporary.unlink(missing_ok=True)

    def has(self, name: str) -> bool:
        """Whether the manifest names this file."""
        return name in self.manifest.files

    def read(self, name: str) -> bytes:
        """The content of a hashed file, checked.

        Raises BundleError when the bundle has no such file or it may not be read, BundleCorrupted when its
        content is not what was written.
        """
        entry = self.manifest.files.get(name)
        if entry is None:
            raise BundleError(f"bundle {self.path} has no {name}")
        with self._opened(name, entry) as handle:
            data = read_at_most(handle, entry.size)
        self._require_hash(name, entry, hashlib.sha256(data).hexdigest())
        return data

    @contextlib.contextmanager
    def checked(self, name: str) -> Iterator[str]:
        """A path of a hashed file for a library that reads files, checked in memory of a fixed size.

        It names the file that was checked, whatever lies at its place later, and holds inside the `with` alone. Raises
        as `read` does.
        """
        entry = self.manifest.files.get(name)
        if entry is None:
            raise BundleError(f"bundle {self.path} has no {name}")
        with self._opened(name, entry) as handle:
            self._require_hash(name, entry, sha256_of(handle))
            yield f"/proc/self/fd/{handle}"

    def verify(self) -> None:
        """Hash every file, in memory of a fixed size. Raises BundleCorrupted naming the first that does not fit."""
        for name, entry in self.manifest.files.items():
            with self._opened(name, entry) as handle:
                self._require_hash(name, entry, sha256_of(handle))

    def read_calibration(self) -> bytes | None:
        """The bytes of calibration.json, or None where the bundle is not calibrated. It carries no hash."""
        if not os.path.lexists(self.path / CALIBRATION):
            return None
        return read_json_file(self.path, CALIBRATION, "correct it or run 'csflow calibrate' again")

    def write_calibration(self, data: bytes) -> None:
        """Replace calibration.json as a whole."""
        clear_leftovers(self.path)
        write_atomic(self.path / CALIBRATION, data)

    @property
    def weights_sha256(self) -> str:
        """Identity of the trained model: `csflow.runtime.bundle.identity.identity` of the manifest."""
        return identity(self.manifest)

    def _require_hash(self, name: str, entry: FileEntry, got: str) -> None:
        if got != entry.sha256:
            raise BundleCorrupted(
                f"{self.path / name} is not what was written (its SHA-256 differs): copy the bundle again"
            )

    @contextlib.contextmanager
    def _opened(self, name: str, entry: FileEntry) -> Iterator[int]:
        with open_plain(self.path, name, REMEDY) as handle:
            require_size(self.path / name, handle, entry.size, most_bytes(name))
            yield handle

    def _stage(self, name: str, data: bytes) -> Path:
        # Hidden, so that it can never be the name of a file of the bundle.
        target = self.path / name
        staged = target.with_name(f".{target.name}.staged")
        with atomic_file(staged) as file:
            file.write(data)
        return staged

    def _write_manifest(self, files: dict[str, FileEntry]) -> Manifest:
        manifest = replace(self.manifest, files=dict(sorted(files.items())))
        write_atomic(self.path / MANIFEST, manifest.to_bytes())
        return manifest


def _exists(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError as error:
        raise BundleError(f"cannot read {path}: {error.strerror}") from None


def _read_manifest(path: Path) -> Manifest:
    try:
        (path / MANIFEST).lstat()
    except FileNotFoundError:
        raise BundleError(f"{path} is not a csflow bundle: it has no {MANIFEST}") from None
    except OSError as error:
        raise BundleError(f"cannot read {path}: {error.strerror}") from None
    return Manifest.from_bytes(read_json_file(path, MANIFEST, REMEDY), str(path / MANIFEST))


def _read_replaceable(path: Path) -> Manifest:
    try:
        return _read_manifest(path)
    except BundleCorrupted:
        raise BundleCorrupted(f"{path} holds a damaged bundle: delete it, or name another path") from None


def _require_vacant(path: Path) -> None:
    if path.exists() and (not path.is_dir() or any(not is_leftover(p) for p in path.iterdir())):
        raise BundleError(f"{path} exists and is no bundle: name another path")


def _require_writable(path: Path) -> None:
    there = next(p for p in (path.absolute(), *path.absolute().parents) if p.exists())
    if there.is_dir() and not os.access(there, os.W_OK | os.X_OK):
        raise BundleError(f"{there} may not be written, so there can be no bundle at {path}: name another place")


def _check_names(names: Iterable[str]) -> None:
    for name in names:
        if problem := file_name_problem(name):
            raise BundleError(problem)
