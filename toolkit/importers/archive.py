"""Reading what `torch.save` wrote without running anything in it.

A torch file is a zip with one pickle (data.pkl) and one entry of raw bytes per tensor storage. The pickle goes through
the restricted unpickler. No foreign module is imported, and no tensor is read before it is asked for.
"""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from csflow.toolkit.importers.errors import ImportRefused
from csflow.toolkit.importers.unpickler import Storage, TensorRef, read_pickle

__all__ = ["TorchFile"]

MAX_PICKLE_BYTES = 16 << 20
MAX_COPIES = 4
"""Bytes of tensors, in lengths of the file: any number of names may share one storage, and each would get a copy."""


class TorchFile:
    """An opened torch file: `root` is its pickled object with `Inert` and `TensorRef` in place of the real things."""

    def __init__(self, path: Path) -> None:
        """Read the pickle.

        Raises:
            ImportRefused: not a torch file, truncated, damaged, or holding a name that is not allowed.
            OSError: as the file system does.
        """
        self.path = path
        self._zip = self._opened()
        self._bytes_left = MAX_COPIES * path.stat().st_size
        self._last: tuple[Storage, Tensor] | None = None
        self._prefix, data = self._pickle()
        self.root: Any = read_pickle(path, data)

    def tensor(self, ref: TensorRef) -> Tensor:
        """Read one tensor onto the CPU, contiguous.

        Raises ImportRefused where its bytes are missing, of another size, or not what its shape needs, and where the
        file makes many tensors of the same bytes.
        """
        storage = ref.storage
        numbers = (ref.offset, *ref.shape, *ref.stride)
        if not all(type(n) is int and n >= 0 for n in numbers) or len(ref.shape) != len(ref.stride):
            raise self._damaged(f"tensor {storage.key} has an impossible shape")
        last = ref.offset + sum((n - 1) * step for n, step in zip(ref.shape, ref.stride, strict=True))
        numel = math.prod(ref.shape)
        if numel > storage.numel or (numel and last >= storage.numel):
            raise self._damaged(f"tensor {storage.key} of shape {ref.shape} is larger than its data")
        self._spend(numel * storage.dtype.itemsize)
        if self._last is None or self._last[0] != storage:
            self._spend(storage.numel * storage.dtype.itemsize)
            self._last = storage, self._bytes(storage)
        flat = self._last[1]
        return torch.as_strided(flat, ref.shape, ref.stride, ref.offset).clone(memory_format=torch.contiguous_format)

    def close(self) -> None:
        """Release the file."""
        self._zip.close()

    def __enter__(self) -> TorchFile:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _spend(self, size: int) -> None:
        self._bytes_left -= size
        if self._bytes_left < 0:
            raise ImportRefused(
                f"{self.path} makes many tensors of the same bytes: no CS-Flow model does; save the model again"
            )

    def _opened(self) -> zipfile.ZipFile:
        with self.path.open("rb") as file:
            start = file.read(8)
        if start[:2] == b"\x80\x02" and start[2:3] == b"\x8a":
            raise ImportRefused(
                f"{self.path} is in the file format of torch before 1.6: load and save it once with a newer torch"
            )
        try:
            return zipfile.ZipFile(self.path)
        except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
            raise ImportRefused(
                f"{self.path} is no torch file, or a truncated one ({_first_line(error)}): expected the pickle of the "
                "authors' code or a Lightning checkpoint of anomalib"
            ) from None

    def _pickle(self) -> tuple[str, bytes]:
        names = [name for name in self._zip.namelist() if name.endswith("/data.pkl") and name.count("/") == 1]
        if len(names) != 1:
            raise ImportRefused(f"{self.path} is a zip, but no torch file: expected one data.pkl, found {len(names)}")
        prefix = names[0].removesuffix("data.pkl")
        order = f"{prefix}byteorder"
        if order in self._zip.namelist() and self._entry(order, 16) != b"little":
            raise ImportRefused(f"{self.path} was written on a big-endian machine: save it again on a usual one")
        return prefix, self._entry(names[0], MAX_PICKLE_BYTES)

    def _entry(self, name: str, limit: int) -> bytes:
        try:
            info = self._zip.getinfo(name)
            # torch stores without compression; a compressed entry could be far larger than the file.
            if info.compress_type != zipfile.ZIP_STORED or info.file_size > limit:
                raise self._damaged(f"{name} is compressed or larger than {limit} bytes")
            return self._zip.read(info)
        except (KeyError, zipfile.BadZipFile, EOFError, OSError, ValueError, RuntimeError) as error:
            raise self._damaged(f"{name} cannot be read: {_first_line(error)}") from None

    def _bytes(self, storage: Storage) -> Tensor:
        size = storage.numel * storage.dtype.itemsize
        data = self._entry(f"{self._prefix}data/{storage.key}", size)
        if len(data) != size:
            raise self._damaged(f"data/{storage.key} has {len(data)} bytes, expected {size}")
        return torch.frombuffer(bytearray(data), dtype=storage.dtype) if size else torch.empty(0, dtype=storage.dtype)

    def _damaged(self, what: str) -> ImportRefused:
        return ImportRefused(f"{self.path} is damaged: {what}; copy it again or save the model again")


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:160]
