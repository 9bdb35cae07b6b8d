"""Reading what `torch.save` wrote without running anything in it.

A torch file is a zip with one pickle (data.pkl) and one entry of raw bytes per tensor storage. The pickle is read
by an unpickler whose `find_class` never returns a name's own object: containers and tensors get replacements
written here, the classes of the two known origins become inert records of their state, and any other name ends
the reading. No foreign module is imported, and no tensor is read before it is asked for.
"""

from __future__ import annotations

import collections
import io
import math
import pickle
import pickletools
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from csflow.toolkit.importers.errors import ImportRefused

__all__ = ["Inert", "TensorRef", "TorchFile"]

MAX_PICKLE_BYTES = 16 << 20
STORAGES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
REFERENCE_CLASSES = {
    "freia_funcs": {
        "CrossConvolutions",
        "InputNode",
        "Node",
        "OutputNode",
        "OutputNode.dummy",
        "ParallelPermute",
        "ReversibleGraphNet",
        "dummy_data",
        "parallel_glow_coupling_layer",
    },
    "torch.nn.modules.activation": {"LeakyReLU"},
    "torch.nn.modules.container": {"ModuleList"},
    "torch.nn.modules.conv": {"Conv2d"},
    "torch.nn.modules.upsampling": {"Upsample"},
}
"""methods.md C7: what a pickle of the authors' module holds beside tensors and containers."""
PLAIN_CLASSES = {
    "builtins": {"bool", "dict", "float", "int", "list", "str", "tuple"},
    "collections": {"defaultdict"},
    "pathlib": {"Path", "PosixPath", "WindowsPath"},
    "torch": {*STORAGES, "Size", "device", "float16", "bfloat16", "float32", "float64", "int64"},
    "typing": {"Any"},
}
"""Harmless classes in the settings beside the weights; they become inert records as well."""
BYSTANDERS = (
    "anomalib",
    "lightning",
    "pytorch_lightning",
    "lightning_fabric",
    "omegaconf",
    "torchmetrics",
    "torchvision.transforms",
    "torchvision.tv_tensors",
    "torch.nn",
    "torch.optim",
)
"""Packages whose objects lie beside the weights in a Lightning checkpoint; their names become inert records too."""
DAMAGE = (
    pickle.UnpicklingError,
    EOFError,
    AttributeError,
    TypeError,
    ValueError,
    IndexError,
    KeyError,
    OverflowError,
    MemoryError,
    RecursionError,
)


class Inert:
    """Stands for an object of a foreign class: remembers its class, arguments and state, and can do nothing."""

    qualname: ClassVar[str] = ""
    args: tuple[Any, ...]
    state: dict[str, Any]

    def __new__(cls, *args: Any, **_kwargs: Any) -> Inert:
        made = super().__new__(cls)
        made.args, made.state = args, {}
        return made

    def __setstate__(self, state: Any) -> None:
        self.state = state if isinstance(state, dict) else {}

    def __setitem__(self, key: Any, value: Any) -> None:
        """Entries of dict-like classes are not kept."""

    def append(self, item: Any) -> None:
        """Entries of list-like classes are not kept."""

    def extend(self, items: Any) -> None:
        """Entries of list-like classes are not kept."""


@dataclass(frozen=True)
class _Storage:
    key: str
    dtype: torch.dtype
    numel: int


@dataclass(frozen=True)
class TensorRef:
    """A tensor that has not been read yet."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


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
        self._prefix, data = self._pickle()
        _scan(path, data)
        try:
            self.root: Any = _Reader(path, data).load()
        except DAMAGE as error:
            raise self._damaged(f"its pickle cannot be read: {_first_line(error)}") from None

    def tensor(self, ref: TensorRef) -> Tensor:
        """Read one tensor onto the CPU, contiguous.

        Raises ImportRefused where its bytes are missing, of another size, or not what its shape needs.
        """
        storage = ref.storage
        numbers = (ref.offset, *ref.shape, *ref.stride)
        if not all(type(n) is int and n >= 0 for n in numbers) or len(ref.shape) != len(ref.stride):
            raise self._damaged(f"tensor {storage.key} has an impossible shape")
        last = ref.offset + sum((n - 1) * step for n, step in zip(ref.shape, ref.stride, strict=True))
        numel = math.prod(ref.shape)
        if numel > storage.numel or (numel and last >= storage.numel):
            raise self._damaged(f"tensor {storage.key} of shape {ref.shape} is larger than its data")
        flat = self._bytes(storage)
        return torch.as_strided(flat, ref.shape, ref.stride, ref.offset).clone(memory_format=torch.contiguous_format)

    def close(self) -> None:
        """Release the file."""
        self._zip.close()

    def __enter__(self) -> TorchFile:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

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

    def _bytes(self, storage: _Storage) -> Tensor:
        size = storage.numel * storage.dtype.itemsize
        data = self._entry(f"{self._prefix}data/{storage.key}", size)
        if len(data) != size:
            raise self._damaged(f"data/{storage.key} has {len(data)} bytes, expected {size}")
        return torch.frombuffer(bytearray(data), dtype=storage.dtype) if size else torch.empty(0, dtype=storage.dtype)

    def _damaged(self, what: str) -> ImportRefused:
        return ImportRefused(f"{self.path} is damaged: {what}; copy it again or save the model again")


class _Reader(pickle.Unpickler):
    """The restricted unpickler."""

    def __init__(self, path: Path, data: bytes) -> None:
        super().__init__(io.BytesIO(data))
        self._path = path
        # Bound methods and fresh classes: a pickle that assigns attributes to them changes nothing that outlives it.
        self._own: dict[tuple[str, str], Any] = {
            ("collections", "OrderedDict"): collections.OrderedDict,
            ("builtins", "set"): set,
            ("builtins", "getattr"): self._nested_class,
            ("torch._utils", "_rebuild_tensor_v2"): self._tensor,
            ("torch._utils", "_rebuild_parameter"): self._parameter,
        }

    def find_class(self, module: str, name: str) -> Any:
        module = {"__builtin__": "builtins"}.get(module, module)
        if (module, name) in self._own:
            return self._own[module, name]
        listed = name in REFERENCE_CLASSES.get(module, ()) or name in PLAIN_CLASSES.get(module, ())
        if listed or any(f"{module}.".startswith(f"{known}.") for known in BYSTANDERS):
            return self._known(module, name)
        raise self._refused(ascii(f"{module}.{name}")[:120])

    def persistent_load(self, pid: Any) -> _Storage:
        kind, storage, key, _, numel = pid
        name = storage.qualname.removeprefix("torch.")
        if kind != "storage" or not isinstance(key, str) or type(numel) is not int or numel < 0:
            raise pickle.UnpicklingError("expected a tensor storage")
        return _Storage(key, STORAGES[name], numel)

    def _known(self, module: str, name: str) -> type[Inert]:
        made = type("Inert", (Inert,), {"qualname": f"{module}.{name}"})
        self._own[module, name] = made
        return made

    def _nested_class(self, owner: Any, name: Any) -> type[Inert]:
        """How old pickle protocols name a class inside a class; the reference has one (methods.md C7)."""
        if getattr(owner, "qualname", "") != "freia_funcs.OutputNode" or name != "dummy":
            raise self._refused(ascii(f"getattr(..., {name!r})")[:120])
        return self._known("freia_funcs", "OutputNode.dummy")

    def _refused(self, what: str) -> ImportRefused:
        return ImportRefused(
            f"{self._path} was not read: its pickle asks for {what}, which no CS-Flow model needs and which could run "
            "code; nothing was run. Use a file from a source you trust, or save the state dict alone"
        )

    @staticmethod
    def _tensor(storage: _Storage, offset: Any, shape: Any, stride: Any, *_: Any) -> TensorRef:
        if not isinstance(storage, _Storage):
            raise pickle.UnpicklingError("a tensor without storage")
        return TensorRef(storage, offset, tuple(shape), tuple(stride))

    @staticmethod
    def _parameter(data: Any, *_: Any) -> Any:
        return data


def _scan(path: Path, data: bytes) -> None:
    """Refuse opcodes that make the C unpickler reserve memory out of proportion to the file."""
    try:
        for opcode, argument, _ in pickletools.genops(data):
            if "PUT" in opcode.name and argument is not None and int(argument) > len(data):
                raise ValueError("a memo index beyond the end")
    except ValueError as error:
        raise ImportRefused(
            f"{path} is damaged: its pickle is no valid one ({_first_line(error)}); save the model again"
        ) from None


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:160]
