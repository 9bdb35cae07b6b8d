"""The parts of a record, and the picture of each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from csflow.runtime.errors import DataError
from csflow.runtime.labels.results import records_of
from csflow.runtime.machine.names import meant, shown
from csflow.runtime.picture.images import list_images
from csflow.runtime.types import Verdict

__all__ = ["Part", "parts_of"]


@dataclass(frozen=True)
class Part:
    """What a run said about one part."""

    record: dict[str, Any]
    """As `result_record` makes it."""
    picture: Path | None
    """None: it is not there."""

    @property
    def source(self) -> Path:
        """Where the run had found the picture."""
        return Path(self.record["source"])

    @property
    def judged(self) -> bool:
        """Whether there was a verdict on the part; of an ERROR there is none to compare with."""
        return bool(self.record["verdict"] != Verdict.ERROR.name)


def parts_of(results: Path, pictures: Path | None) -> Iterator[Part]:
    """Every part of the JSON lines of `csflow run --results`, in their order.

    Args:
        pictures: the folder that holds the pictures by the names of the run, with its subfolders; None: each lies where
            the run had found it.

    Raises DataError where the lines are no results, or a name stands for several pictures.
    """
    by_name = None if pictures is None else _by_name(pictures)
    for record in records_of(results):
        source = Path(record["source"])
        if by_name is None:
            yield Part(record, next(filter(Path.is_file, (source, Path(meant(record["source"])))), None))
        else:
            yield Part(record, _one(by_name.get(source.name, []), source))


def _by_name(folder: Path) -> dict[str, list[Path]]:
    if not folder.is_dir():
        raise DataError(f"no folder {folder}: name the one with the pictures of the run")
    found: dict[str, list[Path]] = {}
    for parent in [folder, *sorted(p for p in folder.rglob("*") if p.is_dir())]:
        for path in list_images(parent):
            found.setdefault(shown(path.name), []).append(path)
    return found


def _one(paths: list[Path], source: Path) -> Path | None:
    # The same name in several folders, as 001.png of every defect: the run's own folders decide.
    alike = [path for path in paths if shown(path.parent.name) == source.parent.name]
    if len(paths) > 1 and len(alike) != 1:
        raise DataError(f"several pictures are named {source.name}: {paths[0]} and {paths[1]}; name one folder of them")
    return next(iter(alike or paths), None)
