"""Files that are whole or absent: written to a temporary sibling, synced, renamed."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

__all__ = ["atomic_file", "clear_killed", "sync_directory", "write_atomic"]

_TEMPORARY = re.compile(r"\..+\.[a-z0-9_]{8}\.tmp")
"""As `atomic_file` names them."""


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary sibling of `path` to write and read; it takes the name `path` when the block ends well.

    If the block raises, `path` is as it was and the sibling is gone. Raises OSError as the file system does.
    """
    _make_directories(path.parent)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    sync_directory(path.parent)


def write_atomic(path: Path, data: bytes) -> None:
    """Replace the content of `path` by `data`, or leave it as it was and raise OSError."""
    with atomic_file(path) as file:
        file.write(data)


def clear_killed(folder: Path) -> None:
    """Remove what writers that were killed left in `folder`, where nobody else writes; what cannot be removed stays."""
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            if _TEMPORARY.fullmatch(path.name) and path.is_file() and not path.is_symlink():
                path.unlink()


def sync_directory(path: Path) -> None:
    """Make renames inside `path` survive a power cut, where the file system can."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        # Some network file systems cannot sync a directory; the rename itself has been done.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)


def _make_directories(path: Path) -> None:
    missing = [p for p in (path, *path.parents) if not p.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for made in missing:
        sync_directory(made.parent)


def _umask() -> int:
    # mkstemp creates 0600; a bundle made by one user is run by another.
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
