"""A TensorRT of any version in tensorrt_api.json: its classes have exactly that version's names, and build nothing.

Full TensorRT builds on a GPU only; with this, the same code path runs against the surface of 10.3 and of 11.4 anywhere.
"""

from __future__ import annotations

import enum
import json
import struct
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import onnx
from google.protobuf.message import DecodeError

TABLE: dict[str, dict[str, Any]] = json.loads((Path(__file__).parent / "tensorrt_api.json").read_text())
VERSIONS = {"10.3": (10, 3, 0, 26), "10.13": (10, 13, 3, 9), "11.4": (11, 4, 0, 106)}
TYPES = {"half": ("Half", "Row major linear FP16 format"), "float": ("Float", "Row major linear FP32 format")}


class Strict:
    """Has the names of one version's class and no others."""

    _names: frozenset[str] = frozenset()

    def __setattr__(self, name: str, value: object) -> None:
        if not name.startswith("_") and name not in self._names:
            raise AttributeError(f"{type(self).__name__} of this version has no {name}")
        super().__setattr__(name, value)


class Tensor(Strict):
    def __init__(self, name: str, shape: tuple[int, ...]) -> None:
        self.name, self.shape = name, shape


class Network(Strict):
    def __init__(self, flags: int) -> None:
        self._flags, self._tensors, self._model = flags, [], None
        self.num_inputs = 0

    def get_input(self, index: int) -> Any:
        return self._tensors[index]


class Config(Strict):
    def __init__(self) -> None:
        self._flags: list[int] = []
        self._limits: dict[Any, int] = {}
        self._cache: Any = None
        self._profiles: list[Any] = []

    def set_flag(self, flag: Any) -> None:
        self._flags.append(int(flag))

    def set_memory_pool_limit(self, pool: Any, size: int) -> None:
        self._limits[pool] = size

    def add_optimization_profile(self, profile: Any) -> int:
        self._profiles.append(profile)
        return len(self._profiles) - 1

    def create_timing_cache(self, data: bytes) -> Any:
        return TimingCache(data) if data in (b"", b"timings") else None

    def set_timing_cache(self, cache: Any, _ignore_mismatch: bool) -> bool:
        self._cache = cache
        return True

    def get_timing_cache(self) -> Any:
        return self._cache


class TimingCache(Strict):
    def __init__(self, data: bytes) -> None:
        self._data = data

    def serialize(self) -> bytes:
        return b"timings"


class Profile(Strict):
    def __init__(self) -> None:
        self._shapes: dict[str, Any] = {}

    def set_shape(self, name: str, lowest: Any, tuned: Any, highest: Any) -> None:
        self._shapes[name] = (lowest, tuned, highest)


class ParserError(Strict):
    def __init__(self, code: str, desc: str, node: str = "", operator: str = "") -> None:
        self._code, self._desc, self._node, self._operator = code, desc, node, operator

    def code(self) -> str:
        return f"ErrorCode.{self._code}"

    def desc(self) -> str:
        return self._desc

    def node_name(self) -> str:
        return self._node

    def node_operator(self) -> str:
        return self._operator


def fake_module(version: str, dla_cores: int = 0, layer_type: str = "half") -> ModuleType:
    """The module. Its `built` holds every (network, config) that was built; `fail` is what the builder says instead."""
    table, numbers = TABLE[version], VERSIONS[version]
    module: Any = ModuleType("tensorrt")
    module.__spec__ = ModuleSpec("tensorrt", None, origin="/usr/lib/python3/dist-packages/tensorrt/__init__.py")
    module.__version__ = ".".join(map(str, numbers))
    module.built, module.fail = [], ""
    for owner, names in table.items():
        if isinstance(names, dict):
            setattr(module, owner, enum.IntEnum(owner, names))

    def strict(owner: str, base: type) -> type:
        offered = {name for name in vars(base) if not name.startswith("_")}
        lacking = dict.fromkeys(offered - set(table[owner]), _absent)
        others = dict.fromkeys(set(table[owner]) - offered, "not set")
        made = type(owner, (base,), {**others, "_names": frozenset(table[owner]), **lacking})
        setattr(module, owner, made)
        return made

    make_network, make_config = strict("INetworkDefinition", Network), strict("IBuilderConfig", Config)
    make_tensor, make_profile = strict("ITensor", Tensor), strict("IOptimizationProfile", Profile)

    class Logger(Strict):
        ERROR, INTERNAL_ERROR, WARNING = "error", "internal", "warning"

    class Monitor(Strict):
        pass

    class Builder(Strict):
        def __init__(self, logger: Any) -> None:
            self._logger, self.num_DLA_cores = logger, dla_cores

        def create_network(self, flags: int) -> Any:
            return make_network(flags)

        def create_builder_config(self) -> Any:
            return make_config()

        def create_optimization_profile(self) -> Any:
            return make_profile()

        def build_serialized_network(self, network: Any, config: Any) -> bytes | None:
            module.built.append((network, config))
            if module.fail:
                self._logger.log(Logger.ERROR, module.fail)
                return None
            monitor = config.progress_monitor
            monitor.phase_start("Building engine", None, 2)
            going = [monitor.step_complete("Building engine", step) for step in range(2)]
            monitor.phase_finish("Building engine")
            header = b"ftrt" + struct.pack("<IIIQ", 0, 2, 0, 64) + bytes(min(n, 255) for n in numbers)
            return header.ljust(64, b"\0") if all(going) else None

    class Parser(Strict):
        def __init__(self, network: Any, _logger: Any) -> None:
            self._network, self._errors = network, []
            self.num_errors = 0

        def parse(self, data: bytes) -> bool:
            try:
                self._network._model = onnx.load_model_from_string(data)
            except DecodeError:
                self._errors, self.num_errors = [ParserError("MODEL_DESERIALIZE_FAILED", "Failed to parse")], 1
                return False
            for port in self._network._model.graph.input:
                dims = port.type.tensor_type.shape.dim
                self._network._tensors.append(make_tensor(port.name, tuple(d.dim_value or -1 for d in dims)))
            self._network.num_inputs = len(self._network._tensors)
            return True

        def get_error(self, index: int) -> Any:
            return self._errors[index]

    class Inspector(Strict):
        def get_engine_information(self, _form: Any) -> str:
            network, _ = module.built[-1]
            return inspector_json(network._model, numbers[0], layer_type)

    class Engine(Strict):
        def create_engine_inspector(self) -> Any:
            return module.EngineInspector()

    class Runtime(Strict):
        def __init__(self, logger: Any) -> None:
            self._logger = logger

        def deserialize_cuda_engine(self, _plan: Any) -> Any:
            return module.ICudaEngine()

    pairs = {"ILogger": Logger, "IProgressMonitor": Monitor, "Builder": Builder, "OnnxParser": Parser}
    pairs |= {"EngineInspector": Inspector, "ICudaEngine": Engine, "Runtime": Runtime, "ITimingCache": TimingCache}
    for owner, base in pairs.items():
        strict(owner, base)
    return module


def _absent(*_: object) -> None:
    raise AttributeError("this version has no such method")


def inspector_json(model: Any, major: int, layer_type: str) -> str:
    """What the engine inspector of TensorRT 10 or 11 says of a plan that has one layer for each convolution."""
    word, layout = TYPES[layer_type]
    described = {"Format/Datatype": layout} if major < 11 else {"Format": "Row major linear", "Datatype": word}
    layers = [
        {
            "Name": f"{node.name}_fused",
            "LayerType": "CaskConvolution",
            "Inputs": [{"Name": node.input[0], "Location": "Device", "Dimensions": [1, 4, 8, 8], **described}],
            "Outputs": [{"Name": node.output[0], "Location": "Device", "Dimensions": [1, 4, 8, 8], **described}],
            "Weights": {"Type": word, "Count": 144},
            "Metadata": f"[ONNX Layer: {node.name}]",
        }
        for node in model.graph.node
        if node.op_type == "Conv"
    ]
    ports = (
        {"Bindings": ["frame", "score"]} if major < 11 else {"I/O Tensors": [{"Name": "frame", "DataType": "UInt8"}]}
    )
    return json.dumps({"Layers": layers, **ports})
