"""A bundle: the directory that carries one trained inspection from the training machine to the line.

    manifest.json        what the bundle is; SHA-256 and size of every file below but calibration.json
    weights/             flow.safetensors, backbone.safetensors
    graphs/<precision>/  backbone.onnx, flow.onnx
    golden/              frames with the scores they must give
    calibration.json     thresholds; editable by hand, bound to the weights, validated when read

Nothing in a bundle is ever unpickled, and no parser sees a file before its hash was checked.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from csflow.runtime.atomic import atomic_file, sync_directory, write_atomic
from csflow.runtime.errors import BundleCorrupted, BundleError
from csflow.runtime.manifest import FileEntry, Manifest, file_name_problem

__all__ = ["CALIBRATION", "MANIFEST", "Bundle", "default_path"]

MANIFEST = "manifest.json"
CALIBRATION = "calibration.json"
MAX_MANIFEST_BYTES = 8 << 20


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
            BundleError: there is no bundle at `path`.
            BundleVersionError: newer format.
            BundleCorrupted: the manifest is damaged, or a file is missing, linked, or of another size.
        """
        path = Path(path)
        if not path.is_dir():
            raise BundleError(
                f"no bundle at {path}: train one with 'csflow train', or name one with --bundle or CSFLOW_BUNDLE"
            )
        manifest = Manifest.from_bytes(_read_manifest(path / MANIFEST), str(path / MANIFEST))
        bundle = cls(path, manifest)
        for name, entry in manifest.files.items():
            bundle._check_size(name, entry)
        return bundle

    @classmethod
    def create(cls, path: Path | str, manifest: Manifest, files: Mapping[str, bytes]) -> Bundle:
        """Make a bundle at `path`, or replace the one there; its calibration and graphs belonged to the old weights.

        Raises BundleError when `path` holds something else or a damaged bundle, OSError as the file system does.
        """
        path = Path(path)
        old: frozenset[str] = frozenset()
        if (path / MANIFEST).exists():
            old = frozenset(Manifest.from_bytes(_read_manifest(path / MANIFEST), str(path / MANIFEST)).files)
        elif path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise BundleError(f"{path} exists and is no bundle: name another path with --bundle")
        path.mkdir(parents=True, exist_ok=True)
        created = cls(path, replace(manifest, files={}))._commit(files, kept={}, forget=bool(old))
        for name in (old - set(files)) | {CALIBRATION}:
            (path / name).unlink(missing_ok=True)
        return created

    def update(self, files: Mapping[str, bytes], remove: tuple[str, ...] = ()) -> Bundle:
        """Add, replace and remove hashed files; returns the bundle as it is now.

        Killed at any moment, the bundle still opens, though it may lack the files that were being replaced.
        Raises BundleError for a name that no bundle may hold, OSError as the file system does.
        """
        kept = {n: e for n, e in self.manifest.files.items() if n not in files and n not in remove}
        updated = self._commit(files, kept, forget=kept != self.manifest.files)
        for name in remove:
            (self.path / name).unlink(missing_ok=True)
        return updated

    def _commit(self, files: Mapping[str, bytes], kept: dict[str, FileEntry], forget: bool) -> Bundle:
        # Every state between these steps is a valid bundle: contents beside their names, a manifest
        # without the old entries, the renames, a manifest with the new entries.
        for name in files:
            if problem := file_name_problem(name):
                raise BundleError(problem)
        staged: dict[str, Path] = {}
        try:
            for name, data in files.items():
                staged[name] = self._stage(name, data)
            if forget:
                self._write_manifest(kept)
            for name, temporary in staged.items():
                os.replace(temporary, self.path / name)
                sync_directory((self.path / name).parent)
            entries = {n: FileEntry(hashlib.sha256(data).hexdigest(), len(data)) for n, data in files.items()}
            return Bundle(self.path, self._write_manifest({**kept, **entries}))
        finally:
            for temporary in staged.values():
                temporary.unlink(missing_ok=True)

    def has(self, name: str) -> bool:
        """Whether the manifest names this file."""
        return name in self.manifest.files

    def read(self, name: str) -> bytes:
        """The content of a hashed file, checked.

        Raises BundleError when the bundle has no such file, BundleCorrupted when its content is not what was written.
        """
        entry = self.manifest.files.get(name)
        if entry is None:
            raise BundleError(f"bundle {self.path} has no {name}")
        self._check_size(name, entry)
        data = (self.path / name).read_bytes()
        if hashlib.sha256(data).hexdigest() != entry.sha256:
            raise BundleCorrupted(
                f"{self.path / name} is not the file that was written (its SHA-256 differs): copy the bundle again"
            )
        return data

    def verify(self) -> None:
        """Hash every file. Raises BundleCorrupted naming the first that does not fit."""
        for name in self.manifest.files:
            self.read(name)

    def read_calibration(self) -> bytes | None:
        """The bytes of calibration.json, or None where the bundle is not calibrated. It carries no hash."""
        path = self.path / CALIBRATION
        if not path.is_file():
            return None
        if path.stat().st_size > MAX_MANIFEST_BYTES:
            raise BundleCorrupted(f"{path} is larger than {MAX_MANIFEST_BYTES} bytes: calibrate again")
        return path.read_bytes()

    def write_calibration(self, data: bytes) -> None:
        """Replace calibration.json as a whole."""
        write_atomic(self.path / CALIBRATION, data)

    @property
    def weights_sha256(self) -> str:
        """SHA-256 over the names and hashes of all weights: the identity of the trained model."""
        names = sorted(n for n in self.manifest.files if n.startswith("weights/"))
        text = "".join(f"{n} {self.manifest.files[n].sha256}\n" for n in names)
        return hashlib.sha256(text.encode()).hexdigest()

    def _check_size(self, name: str, entry: FileEntry) -> None:
        path = self.path / name
        try:
            status = path.lstat()
        except OSError:
            raise BundleCorrupted(f"{path} is missing: copy the bundle again") from None
        if not stat.S_ISREG(status.st_mode):
            raise BundleCorrupted(f"{path} is not a plain file: copy the bundle again")
        if status.st_size != entry.size:
            raise BundleCorrupted(
                f"{path} has {status.st_size} bytes, {entry.size} were written: copy the bundle again"
            )

    def _stage(self, name: str, data: bytes) -> Path:
        staged = self.path / f"{name}.staged"
        with atomic_file(staged) as file:
            file.write(data)
        return staged

    def _write_manifest(self, files: dict[str, FileEntry]) -> Manifest:
        manifest = replace(self.manifest, files=dict(sorted(files.items())))
        write_atomic(self.path / MANIFEST, manifest.to_bytes())
        return manifest


def _read_manifest(path: Path) -> bytes:
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_MANIFEST_BYTES:
            raise BundleCorrupted(f"{path} is not a plain file of at most {MAX_MANIFEST_BYTES} bytes")
        return path.read_bytes()
    except FileNotFoundError:
        raise BundleError(f"{path.parent} is not a csflow bundle: it has no {MANIFEST}") from None
    except OSError as error:
        raise BundleError(f"cannot read {path}: {error.strerror}") from None

