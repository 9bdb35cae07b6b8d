"""The pictures of a calibration: found, and compared with each other and with the training's before any is scored."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from numpy.typing import NDArray

from csflow.runtime import schema
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.pictures import PictureSizes, picture_sizes
from csflow.runtime.errors import BundleError, CalibrationError, DataError
from csflow.runtime.machine.names import shown
from csflow.runtime.picture.images import image_size, list_images, read_picture

__all__ = [
    "GOOD_NAMES",
    "TRAINING_IMAGES",
    "TRAINING_PIXELS",
    "check_sizes",
    "each",
    "find_pictures",
    "is_good",
    "lost_line",
    "names_of",
    "pixels_sha256",
    "refuse_seen",
    "unseen_of",
]

GOOD_NAMES = ("good", "ok", "normal", "gut", "io", "i.o.")
"""What people call a folder of good parts, in lower case."""
TRAINING_IMAGES = "provenance/training_images.json"
"""File of a bundle that lists the pictures it was trained on, by SHA-256 of their bytes."""
TRAINING_PIXELS = "provenance/training_pixels.json"
"""The same by SHA-256 of their pixels: a copy with other metadata is the same picture."""
SHOWN_NAMES = 3
SHOWN_FILES = 10
MOST = 0.8
T = TypeVar("T")


@dataclass(frozen=True)
class _TrainingImages:
    files: dict[str, str]


@dataclass(frozen=True)
class _TrainingPixels:
    pixels: tuple[str, ...]


def find_pictures(paths: Sequence[Path | str]) -> list[Path]:
    """The pictures in folders (directly inside) and single pictures, each once.

    Raises DataError where there are none, or a path does not exist.
    """
    files: dict[Path, Path] = {}
    for path in map(Path, paths):
        if not path.exists():
            raise DataError(f"{path} does not exist: name a picture, or a folder with pictures of good parts")
        for file in _pictures(path) if path.is_dir() else [path]:
            files.setdefault(file.resolve(), file)
    if not files:
        raise DataError("no pictures were named: name a folder with pictures of good parts")
    return list(files.values())


def _pictures(folder: Path) -> list[Path]:
    pictures = list_images(folder)
    if pictures:
        return pictures
    inside = [p for p in sorted(folder.iterdir()) if p.is_dir() and list_images(p)]
    if not inside:
        raise DataError(f"{folder} holds no pictures: name a folder with pictures of good parts")
    choice = next(filter(is_good, inside), None)
    example = "" if choice is None else f", for example {choice}"
    raise DataError(
        f"{folder} itself holds no pictures, its folders do ({names_of(inside)}): "
        f"name the ones with good parts{example}"
    )


def each(files: Iterable[Path], read: Callable[[Path], T]) -> dict[Path, T]:
    """What `read` says of each file; one DataError names all that cannot be read, so that they are mended at once."""
    done: dict[Path, T] = {}
    failed: list[tuple[Path, str]] = []
    for file in files:
        try:
            done[file] = read(file)
        except DataError as error:
            failed.append((file, str(error)))
    if failed:
        raise DataError(_told(failed))
    return done


def _told(failed: Sequence[tuple[Path, str]]) -> str:
    """Each reason once, with the other files that it is true of; `SHOWN_FILES` files at most."""
    alike: dict[str, list[tuple[Path, str]]] = {}
    for file, text in failed[:SHOWN_FILES]:
        alike.setdefault(text.replace(str(file), "", 1), []).append((file, text))
    told = []
    for (_, text), *others in alike.values():
        also = ", ".join(shown(str(file)) for file, _ in others)
        told.append(f"{text}; the same of {also}" if also else text)
    more = f"; and {len(failed) - SHOWN_FILES} more" if len(failed) > SHOWN_FILES else ""
    return "; ".join(told) + more


def is_good(folder: Path) -> bool:
    """Whether a folder's name says that its parts are good: one of `GOOD_NAMES`, in any case."""
    return folder.name.lower() in GOOD_NAMES


def check_sizes(bundle: Bundle, files: Sequence[Path]) -> None:
    """Compare the sizes of the pictures, by their headers.

    Raises DataError for one of another size or aspect than the training's (a range where those varied), or, where the
    bundle does not tell, than four of five others; where they agree less, sizes vary by nature.
    """
    sizes = each(files, image_size)
    trained = picture_sizes(bundle)
    if trained is None:
        usual, count = Counter(sizes.values()).most_common(1)[0]
        if count < MOST * len(files):
            return
        known, whose = PictureSizes.of([usual]), "most others have"
    else:
        known, whose = trained, "the training had"
    for file, size in sizes.items():
        if known.misfit(size, exact=True):
            raise DataError(
                f"{file} has {size[0]}x{size[1]} pixels, {whose} {known}: one threshold cannot serve both; remove it, "
                "or pass --any-size if that is meant"
            )


def refuse_seen(bundle: Bundle, files: Sequence[Path]) -> bool:
    """Whether the bundle lists its training pictures, none of which is among `files`.

    Raises CalibrationError for a picture from the training, or one that is there twice, by file or by pixels.
    """
    trained = _listed(bundle)
    first: set[str] = set()
    copies: list[Path] = []
    seen: list[Path] = []
    for file, digests in each(files, _digests).items():
        if digests & trained:
            seen.append(file)
        elif digests & first:
            copies.append(file)
        first |= digests
    if seen:
        raise CalibrationError(
            f"{len(seen)} of {len(files)} pictures were used in training ({names_of(seen)}): their scores are "
            "lower than those of new parts; calibrate on good parts that the training never saw"
        )
    if copies:
        raise CalibrationError(
            f"{len(copies)} of {len(files)} pictures are copies of others ({names_of(copies)}): "
            "each part counts once; remove the copies"
        )
    return bundle.has(TRAINING_IMAGES)


def unseen_of(bundle: Bundle, files: Sequence[Path]) -> list[Path]:
    """`files` without those of the training, where that took its pictures and those for thresholds from one folder.

    For any other bundle all of `files`: that training pictures are among them is `refuse_seen`'s to tell.
    """
    training = bundle.manifest.provenance.get("training")
    if not isinstance(training, dict) or not training.get("set_aside"):
        return list(files)
    trained = _listed(bundle)
    return [file for file, digests in each(files, _digests).items() if not digests & trained]


def _listed(bundle: Bundle) -> frozenset[str]:
    digests: set[str] = set()
    try:
        if bundle.has(TRAINING_IMAGES):
            images = schema.from_mapping(_TrainingImages, schema.parse_json(bundle.read(TRAINING_IMAGES)))
            digests.update(images.files.values())
        if bundle.has(TRAINING_PIXELS):
            pixels = schema.from_mapping(_TrainingPixels, schema.parse_json(bundle.read(TRAINING_PIXELS)))
            digests.update(pixels.pixels)
    except schema.SchemaError as error:
        raise BundleError(f"{bundle.path / TRAINING_IMAGES}: {error}; train again with this csflow") from None
    return frozenset(digests)


def pixels_sha256(file: Path, read: Callable[[Path], NDArray[Any]] = read_picture) -> str:
    """SHA-256 of the picture that `read` decodes, (H, W, 3) uint8 RGB or (H, W) uint16, its size included.

    Raises DataError.
    """
    image = read(file)
    depth = "16 bits " if image.dtype.itemsize > 1 else ""
    digest = hashlib.sha256(f"{depth}{image.shape[1]}x{image.shape[0]}:".encode())
    digest.update(image.data)
    return digest.hexdigest()


def _digests(file: Path) -> set[str]:
    return {_sha256(file), pixels_sha256(file)}


def _sha256(file: Path) -> str:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise DataError(f"cannot read {file}: {error.strerror}; name a picture or a folder") from None


def lost_line(not_found: Sequence[Path]) -> str:
    """What pictures without the part that the bundle aligns by mean, in words; empty without any."""
    if not not_found:
        return ""
    return (
        f"the part was not found in {len(not_found)} of these pictures ({names_of(not_found)}): they are left out. At "
        "the line such a picture is an ERROR; the promise is about parts that are found"
    )


def names_of(files: Sequence[Path]) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(files) - SHOWN_NAMES} more" if len(files) > SHOWN_NAMES else ""
    return ", ".join(shown(file.name) for file in files[:SHOWN_NAMES]) + more
