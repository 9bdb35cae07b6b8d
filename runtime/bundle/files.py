"""Plain files below a folder: reached without a link, of a size that was agreed on, and what killed writers left."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from csflow.runtime.errors import BundleCorrupted, BundleError

__all__ = [
    "clear_leftovers",
    "is_leftover",
    "most_bytes",
    "open_plain",
    "read_at_most",
    "read_json_file",
    "require_size",
    "sha256_of",
]

MAX_SETTINGS = 8 << 20
"""Manifest and thresholds."""
MAX_RECORDS = 64 << 20
"""Lists, golden frames and their scores, the gate's records and page."""
MAX_GRAPH = (1 << 31) - 1
"""protobuf's own limit."""
MAX_WEIGHTS = 8 << 30
MAX_GOLDEN = 3 * 8192 * 8192 + (1 << 20)
"""An uncompressed picture of the largest model input."""
SOLID_BYTES = 1 << 20
"""Smaller files are not asked for holes."""
CHUNK = 1 << 20


def most_bytes(name: str) -> int:
    """The largest that a bundle's file of this name may be; what claims more is refused before a byte is read."""
    if name.endswith(".safetensors"):
        return MAX_WEIGHTS
    if name.endswith(".onnx"):
        return MAX_GRAPH
    return MAX_GOLDEN if name.endswith(".png") else MAX_RECORDS


def require_size(path: Path, handle: int, size: int, most: int) -> None:
    """Compare an open file with the size that the manifest states, and both with the limit.

    Raises BundleCorrupted, also for a sparse file: what csflow writes has no holes, and reading them costs as much as
    reading what they pretend to be.
    """
    found = os.fstat(handle)
    if size > most:
        raise BundleCorrupted(f"{path} claims {size} bytes, at most {most} are taken: copy the bundle again")
    if found.st_size != size:
        raise BundleCorrupted(f"{path} has {found.st_size} bytes, {size} were written: copy the bundle again")
    if size > SOLID_BYTES and found.st_blocks * 512 < size // 2 and _has_hole(handle, size):
        raise BundleCorrupted(
            f"{path} is sparse: of {size} bytes {found.st_blocks * 512} are there; copy the bundle again"
        )


def _has_hole(handle: int, size: int) -> bool:
    # A compressing file system takes few blocks too, but has no holes.
    try:
        return os.lseek(handle, 0, os.SEEK_HOLE) < size
    except OSError:
        return False
    finally:
        os.lseek(handle, 0, os.SEEK_SET)


def sha256_of(handle: int) -> str:
    """The SHA-256 of an open file, in memory of a fixed size."""
    digest = hashlib.sha256()
    with open(handle, "rb", closefd=False) as file:
        while block := file.read(CHUNK):
            digest.update(block)
    return digest.hexdigest()


def read_at_most(handle: int, size: int) -> bytes:
    """The first `size` bytes of an open file."""
    with open(handle, "rb", closefd=False) as file:
        return file.read(size)


def read_json_file(root: Path, name: str, remedy: str) -> bytes:
    """A settings file as it is. Raises BundleCorrupted for a link or more than 8 MiB, BundleError as `open_plain`."""
    with open_plain(root, name, remedy) as handle:
        if os.fstat(handle).st_size > MAX_SETTINGS:
            raise BundleCorrupted(f"{root / name} is larger than {MAX_SETTINGS} bytes: {remedy}")
        return read_at_most(handle, MAX_SETTINGS)


@contextlib.contextmanager
def open_plain(root: Path, name: str, remedy: str) -> Iterator[int]:
    """A file descriptor of root/name: a plain file, reached without a symbolic link below `root`.

    Raises BundleCorrupted where it is missing or no plain file, BundleError where it may not be read.
    """
    path = root / name
    parents = [root / p for p in Path(name).parents if p != Path()]
    try:
        if any(stat.S_ISLNK(p.lstat().st_mode) for p in parents):
            raise BundleCorrupted(f"{path} lies behind a symbolic link: {remedy}")
        # O_NONBLOCK: opening a FIFO in place of a file must not wait for a writer.
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        _refuse(path, error, remedy)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise BundleCorrupted(f"{path} is not a plain file: {remedy}")
        yield handle
    finally:
        os.close(handle)


def is_leftover(path: Path) -> bool:
    """Whether a name is that of a file that was being written: hidden, so that no bundle may name it."""
    return path.name.startswith(".") and path.name.endswith((".tmp", ".staged"))


def clear_leftovers(root: Path) -> None:
    """Remove what writers that were killed left in a bundle. One process writes at a time.

    Links are not followed, and what cannot be removed stays: it does no harm but take room.
    """
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = Path(folder) / name
            if is_leftover(path):
                with contextlib.suppress(OSError):
                    path.unlink()


def _refuse(path: Path, error: OSError, remedy: str) -> NoReturn:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        raise BundleCorrupted(f"{path} is missing: {remedy}") from None
    if error.errno in (errno.ELOOP, errno.ENXIO):
        raise BundleCorrupted(f"{path} is not a plain file: {remedy}") from None
    raise BundleError(f"cannot read {path}: {error.strerror}") from None
