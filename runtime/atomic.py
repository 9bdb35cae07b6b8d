"""Files that are whole or absent, written to a temporary sibling, synced, renamed; and files that one process holds."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

__all__ = ["NO_LOCKS", "atomic_file", "clear_killed", "final_path", "lock_file", "sync_directory", "write_atomic"]

NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP)
"""What file systems say that know no locks: there nobody can be kept out."""
_TEMPORARY = re.compile(r"\..+\.[a-z0-9_]{8}\.tmp")
"""As `atomic_file` names them."""
_HIDDEN = re.compile(r"\.(.+?)(?:\.[a-z0-9_]{8}\.tmp|\.staged)")


@contextlib.contextmanager
def atomic_file(path: Path, mode: int = 0o666) -> Iterator[BinaryIO]:
    """Open a temporary sibling of `path` to write and read; it takes the name `path` when the block ends well.

    If the block raises, `path` is as it was and the sibling is gone. Raises OSError as the file system does.

    Args:
        mode: who may read and write it, less what the umask takes away: 0o600 for a secret.
    """
    _make_directories(path.parent)
    handle, temporary = _sibling(path, mode)
    try:
        with os.fdopen(handle, "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    sync_directory(path.parent)


def write_atomic(path: Path, data: bytes, mode: int = 0o666) -> None:
    """Replace the content of `path` by `data`, or leave it as it was and raise OSError; `mode` as in `atomic_file`."""
    with atomic_file(path, mode) as file:
        file.write(data)


def final_path(path: str) -> str:
    """What a temporary or staged file is to be called when it is whole; any other path as it is."""
    folder, name = os.path.split(path)
    while found := _HIDDEN.fullmatch(name):
        name = found[1]
    return os.path.join(folder, name)


def lock_file(path: Path) -> BinaryIO:
    """A file, made where it is missing, that is locked while it is open; the system unlocks it however a process ends.

    Raises BlockingIOError where somebody else has it, OSError as the file system does, which may know no locks.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.open("ab")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise
    return lock


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


def _sibling(path: Path, mode: int) -> tuple[int, Path]:
    # tempfile makes files for this user alone, and a bundle made by one is run by another. What the umask is can be
    # asked only by setting it, for all threads: two that write at once could leave it closed.
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    while True:
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
        with contextlib.suppress(FileExistsError):
            return os.open(temporary, flags, mode), temporary
