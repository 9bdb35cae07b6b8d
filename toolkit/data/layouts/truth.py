"""Masks in a folder of their own, found by the names of their pictures."""

from __future__ import annotations

from pathlib import Path

from csflow.runtime.machine.names import shown
from csflow.runtime.picture.images import IMAGE_SUFFIXES
from csflow.toolkit.data.layouts.tree import child, pictures, words

__all__ = ["Truth"]

ENDINGS = ("_mask", "", "_gt", "_label")
"""In this order: MVTec AD, MPDD and AD 2 add `_mask`, VisA and BTAD nothing."""


class Truth:
    """The masks below one folder, and which of them were asked for."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._all = set() if folder is None else set(pictures(folder))
        self._files: dict[str, Path] = {}
        for file in sorted(self._all, reverse=True):
            self._files[_key(file)] = file
        self._used: set[Path] = set()
        self._where: dict[Path, Path] = {}
        self._without = 0

    @property
    def plain(self) -> bool:
        """Whether masks that were asked for carry the very names of their pictures."""
        return bool(self._used) and not any(f.stem.lower().endswith(ENDINGS[0]) for f in self._used)

    @property
    def by_folder(self) -> bool:
        """Whether a mask that was asked for is a folder, as in MVTec LOCO and AutoVI."""
        return any(path.suffix.lower() not in IMAGE_SUFFIXES for path in self._used)

    def mask(self, test_folder: Path, picture: Path) -> Path | None:
        """The mask of test/<defect>/<name>.*: <defect>/<name>[_mask].*, or a folder <defect>/<name>/."""
        if self._folder is None:
            return None
        if test_folder not in self._where:
            self._where[test_folder] = child(self._folder, test_folder.name) or self._folder
        where = self._where[test_folder]
        stem = where / picture.relative_to(test_folder).with_suffix("")
        found = next((self._files[k] for e in ENDINGS if (k := f"{stem}{e}".lower()) in self._files), None)
        if found is None and stem.is_dir():
            found = stem
        if found is None:
            self._without += 1
        else:
            self._used.add(found)
        return found

    def left_out(self) -> list[str]:
        """Masks that fit no picture, and defective pictures without a mask where others have one."""
        if self._folder is None:
            return []
        lines = []
        unfit = sorted(f for f in self._all if f not in self._used and not self._used.intersection(f.parents))
        if unfit:
            example = shown(unfit[0].relative_to(self._folder).as_posix())
            name = shown(self._folder.name)
            fit = "fits" if len(unfit) == 1 else "fit"
            lines.append(f"{words(len(unfit), 'mask')} under {name}/ {fit} no picture, for example {example}")
        if self._without and self._all:
            has = "has" if self._without == 1 else "have"
            lines.append(f"{words(self._without, 'defective picture')} {has} no mask")
        return lines


def _key(file: Path) -> str:
    return str(file.with_suffix("")).lower()
