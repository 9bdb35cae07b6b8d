"""The restricted unpickler: reads the pickle of a torch file without running anything in it.

`find_class` never returns a name's own object: containers and tensors get replacements written here, the classes of
the two known origins become inert records of their state, and any other name ends the reading. What a pickle does to
the replacements (attributes, arguments, nesting) can neither outlive it nor surprise the code that reads them.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import torch

from csflow.toolkit.importers.errors import ImportRefused

__all__ = ["DAMAGE", "Inert", "Storage", "TensorRef", "read_pickle"]

MAX_TUPLES = 50_000
"""Python's hash of a tuple nested deeper than some 10^5 levels crashes; a checkpoint of B5 has 6,000 tuples in all."""
MAX_DIMENSIONS = 8
RECIPE = (
    "import torch; c = torch.load('model.ckpt', 'cpu', weights_only=False); h = c['hyper_parameters']; "
    "p = h.get('pre_processor'); torch.save({'state_dict': c['state_dict'], "
    "'pytorch-lightning_version': c['pytorch-lightning_version'], "
    "'transform': c.get('transform') or getattr(p, 'transform', None), "
    "'hyper_parameters': {k: v for k, v in h.items() if not hasattr(v, 'log')}}, 'small.ckpt')"
)
"""Run where the model was trained: a copy without callbacks, to which Lightning gives `log`, a method that holds the
whole model."""
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
"""What a pickle of the authors' `freia_funcs` modules holds beside tensors and containers."""
PLAIN_CLASSES = {
    "_codecs": {"encode"},
    "_operator": {"getitem"},
    "builtins": {
        *("Ellipsis", "bool", "bytes", "complex", "dict", "float", "frozenset", "int", "list", "long", "object"),
        *("set", "slice", "str", "tuple", "type", "unicode"),
    },
    "collections": {"defaultdict"},
    "numpy": {"dtype", "ndarray"},
    "numpy.core.multiarray": {"_reconstruct", "scalar"},
    "numpy._core.multiarray": {"_reconstruct", "scalar"},
    "pathlib": {"Path", "PosixPath", "PurePosixPath", "PureWindowsPath", "WindowsPath"},
    "pathlib._local": {"Path", "PosixPath", "PurePosixPath", "PureWindowsPath", "WindowsPath"},
    "torch": {*STORAGES, "Size", "device", "float16", "bfloat16", "float32", "float64", "int64"},
    "typing": {"Any", "Dict", "List", "Optional", "Sequence", "Tuple", "Union"},
}
"""Names in the settings and callbacks beside the weights; they become inert records as well, functions included."""
BYSTANDERS = (
    "anomalib",
    "lightning",
    "pytorch_lightning",
    "lightning_fabric",
    "omegaconf",
    "jsonargparse",
    "torchmetrics",
    "torchvision.transforms",
    "torchvision.tv_tensors",
    "torch.nn",
    "torch.optim",
)
"""Packages whose objects lie beside the weights in a Lightning checkpoint; their names become inert records too."""
DAMAGE: tuple[type[Exception], ...] = (
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
"""What reading a damaged or hostile pickle raises, and what its contents, of any shape, raise later."""


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


class Storage(NamedTuple):
    """The bytes behind tensors: an entry of the archive, not read yet."""

    key: str
    dtype: torch.dtype
    numel: int


class TensorRef(NamedTuple):
    """A tensor that has not been read yet: its numbers are integers, not negative, and as many as it has dimensions."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


def read_pickle(path: Path, data: bytes) -> Any:
    """The object in `data`, the pickle of the torch file `path`.

    Raises ImportRefused where it is damaged or asks for a name that is not allowed.
    """
    try:
        _scan(data)
        return _Reader(path, data).load()
    except DAMAGE as error:
        raise ImportRefused(
            f"{path} is damaged: its pickle cannot be read ({_first_line(error)}); copy it or save the model again"
        ) from None


class _Ordered(dict[Any, Any]):
    """Stands for OrderedDict: attributes that a pickle gives it, `items` say, are dropped."""

    def __init__(self) -> None:
        super().__init__()

    def __setstate__(self, state: Any) -> None:
        """Keep nothing."""


class _Reader(pickle.Unpickler):
    """The restricted unpickler."""

    def __init__(self, path: Path, data: bytes) -> None:
        super().__init__(io.BytesIO(data))
        self._path = path
        # Fresh functions and classes: a pickle that assigns attributes to them changes nothing that outlives it.
        self._own: dict[tuple[str, str], Any] = {
            ("collections", "OrderedDict"): type("Ordered", (_Ordered,), {}),
            ("builtins", "getattr"): lambda owner, name: self._member(owner, name),
            ("torch._utils", "_rebuild_tensor_v2"): lambda *args: _tensor(*args),
            ("torch._utils", "_rebuild_parameter"): lambda data, *_: data,
        }

    def find_class(self, module: str, name: str) -> Any:
        module = {"__builtin__": "builtins"}.get(module, module)
        if (module, name) in self._own:
            return self._own[module, name]
        listed = name in REFERENCE_CLASSES.get(module, ()) or name in PLAIN_CLASSES.get(module, ())
        if listed or _is_bystander(module):
            return self._known(module, name)
        raise self._refused(ascii(f"{module}.{name}")[:120])

    def persistent_load(self, pid: Any) -> Storage:
        kind, storage, key, _, numel = pid
        name = storage.qualname.removeprefix("torch.")
        if kind != "storage" or not isinstance(key, str) or type(numel) is not int or numel < 0:
            raise pickle.UnpicklingError("expected a tensor storage")
        return Storage(key, STORAGES[name], numel)

    def _known(self, module: str, name: str) -> type[Inert]:
        made = type("Inert", (Inert,), {"qualname": f"{module}.{name}"})
        self._own[module, name] = made
        return made

    def _member(self, owner: Any, name: Any) -> Any:
        """How pickles name a class inside a class, a bound method, and Python 3.11 an enumeration's."""
        kind = owner if isinstance(owner, type) else type(owner)
        qualname = kind.qualname if issubclass(kind, Inert) else ""
        if qualname == "freia_funcs.OutputNode" and name == "dummy":
            return self._known("freia_funcs", "OutputNode.dummy")
        if _is_bystander(qualname) and isinstance(name, str) and name.isidentifier() and not name.startswith("_"):
            return kind(name)
        raise self._refused(ascii(f"getattr(..., {name if isinstance(name, str) else '?'})")[:120])

    def _refused(self, what: str) -> ImportRefused:
        return ImportRefused(
            f"{self._path} was not read: its pickle asks for {what}, which no CS-Flow model needs and which could run "
            "code; nothing was run. If you trust the file, save its weights alone where it was trained; of a "
            f'Lightning checkpoint, a copy without callbacks: python -c "{RECIPE}"; then import small.ckpt'
        )


def _is_bystander(module: str) -> bool:
    return any(f"{module}.".startswith(f"{known}.") for known in BYSTANDERS)


def _tensor(storage: Any, offset: Any, shape: Any, stride: Any, *_: Any) -> TensorRef:
    if not isinstance(storage, Storage) or max(len(shape), len(stride)) > MAX_DIMENSIONS or len(shape) != len(stride):
        raise pickle.UnpicklingError("a tensor without storage, or of too many dimensions")
    if not all(type(n) is int and n >= 0 for n in (offset, *shape, *stride)):
        raise pickle.UnpicklingError("a tensor of an impossible shape")
    return TensorRef(storage, offset, tuple(shape), tuple(stride))


def _scan(data: bytes) -> None:
    """Refuse what makes the C unpickler reserve memory out of proportion to the file, or Python's hash recurse."""
    tuples = 0
    for opcode, argument, _ in pickletools.genops(data):
        tuples += "TUPLE" in opcode.name
        if tuples > MAX_TUPLES or ("PUT" in opcode.name and argument is not None and int(argument) > len(data)):
            raise pickle.UnpicklingError("a memo index beyond the end, or far more tuples than a model has")


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:160]
