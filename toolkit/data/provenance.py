"""Which pictures a model has seen, by the SHA-256 of their files."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from csflow.calibration.pictures import TRAINING_IMAGES, TRAINING_PIXELS, pixels_sha256
from csflow.runtime import schema
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.pictures import PictureSizes
from csflow.runtime.errors import DataError
from csflow.runtime.machine.names import shown
from csflow.runtime.picture.images import image_size
from csflow.toolkit.data.dataset import Sample

__all__ = ["FITTED", "HELD_OUT", "LEFT_OUT", "file_hashes", "listing", "trained_on", "training_record"]

HELD_OUT = "held out"
"""Centre and spread in golden.json are those of pictures that were never fitted."""
LEFT_OUT = "left out in turn"
"""They are those of fitted pictures, each scored by a model of all others."""
FITTED = "fitted"
"""They are those of the fitted pictures themselves, which score lower than new ones."""


def file_hashes(samples: Sequence[Sample]) -> dict[Path, str]:
    """SHA-256 of each picture's file; raises DataError for an unreadable one."""
    hashes = {}
    for sample in samples:
        try:
            hashes[sample.path] = hashlib.sha256(sample.path.read_bytes()).hexdigest()
        except OSError as error:
            raise DataError(f"cannot read {sample.path}: {error.strerror}") from None
    return hashes


def training_record(paths: Collection[Path]) -> dict[str, object]:
    """For `provenance.training` of a manifest: how many pictures, and of what size. Raises DataError."""
    return {"images": len(paths), "pictures": schema.to_mapping(PictureSizes.of(map(image_size, paths)))}


def listing(root: Path, hashes: Mapping[Path, str]) -> dict[str, bytes]:
    """The files `TRAINING_IMAGES` and `TRAINING_PIXELS` of a bundle, by their names in it.

    Pictures are named by their paths below `root`; where two read alike they are numbered. Raises DataError for a
    picture that cannot be decoded.
    """
    files: dict[str, str] = {}
    for path, digest in hashes.items():
        name = shown(path.relative_to(root).as_posix())
        files[name if name not in files else f"{name} #{len(files)}"] = digest
    pixels = sorted(pixels_sha256(path) for path in hashes)
    return {TRAINING_IMAGES: schema.dump_json({"files": files}), TRAINING_PIXELS: schema.dump_json({"pixels": pixels})}


def trained_on(bundle: Bundle, samples: Sequence[Sample]) -> list[Path]:
    """Those of `samples` whose very file the model was trained on: their scores say nothing about new parts."""
    if not bundle.has(TRAINING_IMAGES):
        return []
    seen = set(schema.parse_json(bundle.read(TRAINING_IMAGES))["files"].values())
    hashes = file_hashes(samples)
    return [s.path for s in samples if hashes[s.path] in seen]
