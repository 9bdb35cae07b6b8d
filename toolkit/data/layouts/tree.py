"""Looking into folders: children by name in any case, pictures at any depth, and what nobody took."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from csflow.calibration.metrics import GOOD
from csflow.calibration.pictures import is_good
from csflow.runtime.machine.names import shown
from csflow.runtime.picture.images import list_images

__all__ = ["child", "folders", "held_out", "kinds", "label_of", "pictures", "unused", "words"]

BAD_NAMES = ("bad", "defective", "ko", "ng", "nok", "schlecht", "nio", "n.i.o.", "ausschuss")
"""What people call a folder of defective parts of any type, in lower case."""
DEPTH = 8
T = TypeVar("T")


def folders(path: Path | None) -> list[Path]:
    """The folders directly inside `path`, by name, hidden ones left out; none where `path` is no folder."""
    if path is None or not path.is_dir():
        return []
    return sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))


def child(path: Path | None, *names: str) -> Path | None:
    """The folder inside `path` that has the first of these names, upper or lower case; None where there is none."""
    inside = {f.name.lower(): f for f in reversed(folders(path))}
    return next((inside[name.lower()] for name in names if name.lower() in inside), None)


def pictures(folder: Path, depth: int = DEPTH) -> list[Path]:
    """The pictures in `folder` and, `depth` levels deep, in the folders below, each folder once. Raises DataError."""
    return _below(folder, depth, set())


def _below(folder: Path, depth: int, seen: set[Path]) -> list[Path]:
    real = folder.resolve()
    if real in seen:
        return []
    seen.add(real)
    found = list_images(folder)
    if depth > 0:
        for inner in folders(folder):
            found += _below(inner, depth - 1, seen)
    return found


def kinds(folder: Path) -> list[Path]:
    """The folders of types of defects that a folder stands for: itself, or those inside one that says only 'bad'."""
    inside = folders(folder) if folder.name.lower() in BAD_NAMES and not list_images(folder) else []
    return inside or [folder]


def label_of(folder: Path) -> str:
    """'good', or the folder's name as the type of defect."""
    return GOOD if is_good(folder) else shown(folder.name)


def held_out(items: Sequence[T]) -> tuple[list[T], list[T]]:
    """(for training, for testing): every third is for testing, in a data set that has no split of its own."""
    rest = [item for i, item in enumerate(items) if i % 3 != 2]
    return rest, list(items[2::3])


def unused(root: Path, used: Iterable[Path | None]) -> list[str]:
    """A line for each folder in `root` that holds pictures and is not among `used`."""
    taken = {path for path in used if path is not None}
    counted = {folder: len(pictures(folder)) for folder in folders(root) if folder not in taken}
    return [f"left out: {words(count, 'picture')} in {shown(f.name)}/" for f, count in counted.items() if count]


def words(count: int, noun: str) -> str:
    """'1 picture', '2 pictures'."""
    return f"{count} {noun}{'' if count == 1 else 's'}"
