"""Which pictures a model has seen, by the SHA-256 of their files."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from csflow.calibration.metrics import GOOD
from csflow.calibration.pictures import TRAINING_IMAGES, TRAINING_PIXELS, each, pixels_sha256
from csflow.runtime import schema
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.pictures import PictureSizes
from csflow.runtime.errors import DataError, SourceError
from csflow.runtime.machine.names import shown
from csflow.runtime.picture.images import image_size, read_picture
from csflow.runtime.picture.window import Window, eight_bits
from csflow.toolkit.data.dataset import Dataset, Sample

__all__ = [
    "FITTED",
    "HELD_OUT",
    "LEFT_OUT",
    "file_hashes",
    "identified",
    "listing",
    "listing_of_bundles",
    "made_now",
    "trained_on",
    "training_record",
    "with_unseen_good",
]

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


def made_now() -> dict[str, object]:
    """For `provenance` of a manifest: by which csflow, and when."""
    now = datetime.datetime.now(datetime.timezone.utc)
    return {"csflow": version("csflow"), "created_utc": now.isoformat(timespec="seconds")}


def training_record(
    paths: Collection[Path], how: Mapping[str, object], held_out: int, scores_of: str, set_aside: int
) -> dict[str, object]:
    """For the provenance of a manifest: csflow's version, the time, and how many pictures of what size were fitted.

    Args:
        how: options of the training.
        scores_of: whose the good scores are: `HELD_OUT`, `LEFT_OUT` or `FITTED`.
        set_aside: good pictures that were kept for thresholds.

    Raises DataError.
    """
    sizes = schema.to_mapping(PictureSizes.of(map(image_size, paths)))
    pictures = {"images": len(paths), "pictures": sizes, "held_out": held_out, "good_scores": scores_of}
    return {**made_now(), "training": {**how, **pictures, **({"set_aside": set_aside} if set_aside else {})}}


def identified(bundle: Bundle) -> dict[str, Any]:
    """For the provenance of what is made from `bundle`: its method, its identity, and all of its own."""
    return {"method": bundle.manifest.method, "identity": bundle.weights_sha256, **bundle.manifest.provenance}


def listing(
    root: Path, hashes: Mapping[Path, str], window: Window | None, before: Bundle | None = None
) -> dict[str, bytes]:
    """The files `TRAINING_IMAGES` and `TRAINING_PIXELS` of a bundle, by their names in it.

    Pictures are named by their paths below `root`; where two read alike they are numbered. Raises DataError, which
    names all pictures that cannot be decoded or do not fit the model's window.

    Args:
        window: the model's; None for pictures of 8 bits.
        before: what was fitted before with other pictures, which the bundle knows too.
    """
    if before is not None:
        return listing_of_bundles([before], list(hashes))
    named = [(shown(path.relative_to(root).as_posix()), digest) for path, digest in hashes.items()]
    return _listed(named, each(hashes, lambda path: pixels_sha256(path, lambda file: _fitting(file, window))).values())


def _fitting(path: Path, window: Window | None) -> NDArray[Any]:
    image = read_picture(path)
    try:
        eight_bits(image, window)
    except SourceError as error:
        raise DataError(f"{path}: {error}") from None
    return image


def listing_of_bundles(bundles: Sequence[Bundle], pictures: Sequence[Path]) -> dict[str, bytes]:
    """The same files for a bundle that is made of others and of more pictures; where none lists any, none.

    Raises DataError for a picture that cannot be decoded.
    """
    known = [bundle for bundle in bundles if bundle.has(TRAINING_IMAGES)]
    named = {digest: name for bundle in known for name, digest in _read(bundle, TRAINING_IMAGES, "files").items()}
    named |= {digest: shown(path.name) for path, digest in file_hashes([Sample(path) for path in pictures]).items()}
    pixels = {
        digest
        for bundle in bundles
        if bundle.has(TRAINING_PIXELS)
        for digest in _read(bundle, TRAINING_PIXELS, "pixels")
    }
    pixels |= {*each(pictures, pixels_sha256).values()}
    return _listed([(name, digest) for digest, name in named.items()], pixels) if named else {}


def _read(bundle: Bundle, file: str, key: str) -> Any:
    return schema.parse_json(bundle.read(file))[key]


def _listed(named: Sequence[tuple[str, str]], pixels: Collection[str]) -> dict[str, bytes]:
    files: dict[str, str] = {}
    for name, digest in named:
        files[name if name not in files else f"{name} #{len(files)}"] = digest
    return {
        TRAINING_IMAGES: schema.dump_json({"files": files}),
        TRAINING_PIXELS: schema.dump_json({"pixels": sorted(pixels)}),
    }


def with_unseen_good(bundle: Bundle, dataset: Dataset) -> Dataset:
    """`dataset` with the good pictures that the model was not trained on to test with, where it has no others."""
    if any(sample.label == GOOD for sample in dataset.test):
        return dataset
    seen = set(trained_on(bundle, dataset.train))
    unseen = tuple(sample for sample in dataset.train if sample.path not in seen)
    return replace(dataset, test=(*unseen, *dataset.test)) if len(unseen) < len(dataset.train) else dataset


def trained_on(bundle: Bundle, samples: Sequence[Sample]) -> list[Path]:
    """Those of `samples` whose very file the model was trained on: their scores say nothing about new parts."""
    if not bundle.has(TRAINING_IMAGES):
        return []
    seen = set(_read(bundle, TRAINING_IMAGES, "files").values())
    hashes = file_hashes(samples)
    return [s.path for s in samples if hashes[s.path] in seen]
