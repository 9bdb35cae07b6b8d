"""Files and folders that are whole or absent: written beside, synced, renamed; and files that one process holds."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

__all__ = [
    "FULL",
    "NO_LOCKS",
    "alone_in",
    "atomic_file",
    "clear_killed",
    "final_path",
    "is_vacant",
    "lock_file",
    "sync_directory",
    "whole_folder",
    "write_atomic",
]

NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP)
"""What file systems say that know no locks: there nobody can be kept out."""
FULL = (errno.ENOSPC, errno.EDQUOT)
"""What file systems say that have no room left."""
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
    except BaseException as error:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        if isinstance(error, OSError) and error.errno in FULL and error.filename is None:
            error.filename = str(path)
        raise
    sync_directory(path.parent)


def write_atomic(path: Path, data: bytes, mode: int = 0o666) -> None:
    """Replace the content of `path` by `data`, or leave it as it was and raise OSError; `mode` as in `atomic_file`."""
    with atomic_file(path, mode) as file:
        file.write(data)


@contextlib.contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """A new folder to fill: what lies in it when the block ends well is then in `target`, made where it is missing.

    If the block raises, `target` is as it was, absent where it was. A new one appears by one rename and is never there
    in part; in one that is there, each file or folder takes its name by a rename, and others stay. What a process that
    was killed left is hidden, beside a new `target` or in one that is there, and removed by the next.

    Raises BlockingIOError where another process fills it now, FileExistsError where it is no folder, OSError as the
    file system does, about files by their place in `target`; also where `target` has a folder of that name that is not
    empty.
    """
    there = target.is_dir()
    if not there and os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    parent = target if there else target.parent
    made = _make_directories(parent)
    try:
        with _hidden_folder(parent, target) as work:
            try:
                yield work
                if there:
                    _move(work, target)
                else:
                    os.rename(work, target)
            except OSError as error:
                raise _about_target(error, work, target) from None
    except BaseException:
        _remove_empty(made)
        raise
    sync_directory(parent)


def is_vacant(target: Path) -> bool:
    """Whether `whole_folder` finds nothing at `target`, or an empty folder; what a killed one left there is removed."""
    if not target.is_dir():
        return not os.path.lexists(target)
    _clear_folders(target, target)
    return not any(target.iterdir())


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


@contextlib.contextmanager
def alone_in(folder: Path, refusal: Exception) -> Iterator[None]:
    """Hold a folder, made where it is missing, that commands work in. Raises `refusal` where another process has it.

    Raises OSError as the file system does; one that knows no locks keeps nobody out.
    """
    lock: contextlib.AbstractContextManager[object] = contextlib.nullcontext()
    try:
        lock = lock_file(folder / "lock")
    except BlockingIOError:
        raise refusal from None
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
    with lock:
        yield


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


def _make_directories(path: Path) -> list[Path]:
    """Those that were missing, the deepest first; where one cannot be made, none is left."""
    missing = [p for p in (path, *path.parents) if not p.exists()]
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError:
        _remove_empty(missing)
        raise
    for made in missing:
        sync_directory(made.parent)
    return missing


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.rmdir()


@contextlib.contextmanager
def _hidden_folder(parent: Path, target: Path) -> Iterator[Path]:
    _clear_folders(parent, target)
    work = parent / f".{target.absolute().name}.{secrets.token_hex(4)}.tmp"
    work.mkdir()
    handle = os.open(work, os.O_RDONLY)
    try:
        # By its lock the next one tells it from what was killed, where the file system can.
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield work
    finally:
        os.close(handle)
        shutil.rmtree(work, ignore_errors=True)


def _clear_folders(parent: Path, target: Path) -> None:
    name = re.compile(rf"\.{re.escape(target.absolute().name)}\.[a-z0-9_]{{8}}\.tmp")
    for path in parent.iterdir():
        if not name.fullmatch(path.name) or path.is_symlink() or not path.is_dir():
            continue
        handle = os.open(path, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path, ignore_errors=True)
        except BlockingIOError:
            words = "another process writes it, so wait for that or name another folder"
            raise BlockingIOError(errno.EWOULDBLOCK, words, str(target)) from None
        except OSError:
            continue  # Who works there cannot be told.
        finally:
            os.close(handle)


def _move(work: Path, target: Path) -> None:
    for path in sorted(work.iterdir()):
        os.replace(path, target / path.name)


def _about_target(error: OSError, work: Path, target: Path) -> OSError:
    name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes | os.PathLike) else ""
    if name and Path(name).is_relative_to(work):
        error.filename = str(target / Path(name).relative_to(work))
    return error


def _sibling(path: Path, mode: int) -> tuple[int, Path]:
    # tempfile makes files for this user alone, and a bundle made by one is run by another. What the umask is can be
    # asked only by setting it, for all threads: two that write at once could leave it closed.
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    while True:
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
        with contextlib.suppress(FileExistsError):
            return os.open(temporary, flags, mode), temporary
