"""Copies of bundles that hold their large files once: a suite of hundreds of bundles fits on a small disk."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

__all__ = ["large_files", "with_large_files_shared"]

LARGE = 1 << 20


def with_large_files_shared(source: Path, target: Path) -> Path:
    """A copy of a folder whose files of a megabyte and more are the same files under another name.

    csflow replaces files and never writes into one. A test that does takes `shutil.copytree`.
    """

    def copy(one: str, other: str) -> str:
        if os.stat(one).st_size < LARGE:
            return str(shutil.copy2(one, other))
        os.link(one, other)
        return other

    return Path(shutil.copytree(source, target, copy_function=copy))


def large_files(folder: Path) -> dict[Path, tuple[int, int]]:
    """Size and time of change of each."""
    found = {path: path.stat() for path in folder.rglob("*") if path.is_file()}
    return {path: (at.st_size, at.st_mtime_ns) for path, at in found.items() if at.st_size >= LARGE}
