"""Which pictures a model has seen, by the SHA-256 of their files."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from csflow.calibration.calibrate import TRAINING_IMAGES
from csflow.runtime import schema
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.errors import DataError
from csflow.runtime.machine.names import shown
from csflow.toolkit.data.dataset import Sample

__all__ = ["file_hashes", "listing", "trained_on"]


def file_hashes(samples: Sequence[Sample]) -> dict[Path, str]:
    """SHA-256 of each picture's file; raises DataError for an unreadable one."""
    hashes = {}
    for sample in samples:
        try:
            hashes[sample.path] = hashlib.sha256(sample.path.read_bytes()).hexdigest()
        except OSError as error:
            raise DataError(f"cannot read {sample.path}: {error.strerror}") from None
    return hashes


def listing(root: Path, hashes: Mapping[Path, str]) -> bytes:
    """The file `TRAINING_IMAGES` of a bundle; names are paths below `root`, where two read alike they are numbered."""
    files: dict[str, str] = {}
    for path, digest in hashes.items():
        name = shown(path.relative_to(root).as_posix())
        files[name if name not in files else f"{name} #{len(files)}"] = digest
    return schema.dump_json({"files": files})


def trained_on(bundle: Bundle, samples: Sequence[Sample]) -> list[Path]:
    """Those of `samples` whose very file the model was trained on: their scores say nothing about new parts."""
    if not bundle.has(TRAINING_IMAGES):
        return []
    seen = set(schema.parse_json(bundle.read(TRAINING_IMAGES))["files"].values())
    hashes = file_hashes(samples)
    return [s.path for s in samples if hashes[s.path] in seen]
