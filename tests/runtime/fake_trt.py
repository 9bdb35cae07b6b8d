"""TensorRT's runtime over the fake GPU: plans that compute what `FakeEngine` does, with the names of a real version.

Objects may only be used while a context is current, write down when they are made and destroyed, and read and write the
fake GPU's memory when their stream runs.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import platform
import struct
from pathlib import Path
from typing import Any

import numpy as np

from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.manifest import Preprocessing
from csflow.runtime.engines.cuda.fake import FakeDriver
from csflow.runtime.engines.tensorrt.plan_record import BuildOptions, PlanAudit, PlanRecord, plan_path, record_path
from csflow.runtime.picture.preprocess import preprocess

from ..export import fake_tensorrt  # noqa: TID252 - tests are no package that could be named

SIDE, CELLS = 64, 2
GPU = {"name": "Orin (nvgpu)", "major": 8, "minor": 7, "memory": 60 << 30, "integrated": 1, "multiprocessors": 16}
TYPES = {"UINT8": np.uint8, "HALF": np.float16, "FLOAT": np.float32}


def ports_of(graph: str, shape: tuple[int, int] | None = None) -> list[list[Any]]:
    """[name, mode, type, shape of one frame] of a plan's tensors."""
    features: list[list[Any]] = [["features_0", "HALF", [1, CELLS, CELLS]], ["features_1", "HALF", [1, 1, 1]]]
    frame = [SIDE, SIDE, 3]
    if graph == "backbone":
        return [["frame", "INPUT", "UINT8", frame], *([n, "OUTPUT", t, s] for n, t, s in features)]
    if graph == "flow":
        ends = [["score", "OUTPUT", "FLOAT", []], ["anomaly_map", "OUTPUT", "FLOAT", [CELLS, CELLS]]]
        return [*([n, "INPUT", t, s] for n, t, s in features), *ends]
    height, width = shape or (0, 0)
    return [["frame", "INPUT", "UINT8", [height, width, 3]], ["resized", "OUTPUT", "UINT8", frame]]


def write_plan(bundle: Bundle, graph: str, batch: tuple[int, int, int] = (1, 1, 4), **changes: Any) -> Path:
    """A plan for `graph` and its record; `changes` go into the plan: ports, roi, spoil (added to a resize)."""
    shape = tuple(map(int, graph.removeprefix("resize_").split("x"))) if graph.startswith("resize_") else None
    content = {"graph": graph.split("_")[0], "batch": batch, "ports": ports_of(graph, shape), **changes}  # type: ignore[arg-type]
    header = b"ftrt" + struct.pack("<IIIQ", 0, 2, 0, 64) + bytes((10, 3, 0, 26))
    data = header.ljust(64, b"\0") + json.dumps(content).encode()
    path = plan_path(bundle.path, "tensorrt", "fp16", graph)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    record = PlanRecord(
        graph=graph,
        precision="fp16",
        onnx_sha256=bundle.manifest.files[f"graphs/fp16/{graph}.onnx"].sha256,
        plan_sha256=hashlib.sha256(data).hexdigest(),
        plan_size=len(data),
        flavour="tensorrt",
        version="10.3.0.26",
        gpu=str(GPU["name"]),
        compute_capabilities=("8.7",),
        machine=platform.machine(),
        options=BuildOptions(batch, version_compatible=bool(changes.get("version_compatible"))),
        audit=PlanAudit(1.0, 1.0, "engine inspector"),
        build_s=1.0,
        created_utc="2026-01-01T00:00:00Z",
    )
    record_path(path).write_bytes(record.to_bytes())
    return path


def with_graphs(bundle: Bundle, *cameras: str, batch: tuple[int, int, int] = (1, 1, 4), **changes: Any) -> Bundle:
    """The bundle with plans of backbone, flow and camera formats such as 'resize_48x96'."""
    names = ("backbone", "flow", *cameras)
    bundle = bundle.update({f"graphs/fp16/{name}.onnx": name.encode() for name in names})
    for name in names:
        write_plan(bundle, name, batch, **(changes if name in cameras else {}))
    return bundle


@dataclasses.dataclass
class Stage:
    """The fake GPU, the fake library on it, and what happened in it."""

    driver: FakeDriver
    module: Any
    events: list[str] = dataclasses.field(default_factory=list)
    refuse: set[str] = dataclasses.field(default_factory=set)
    """What returns nothing or false: 'deserialize flow', 'context flow', 'execute flow', 'address flow', ..."""
    addresses: dict[str, list[int]] = dataclasses.field(default_factory=dict)
    """Every address that was set, by 'plan port'."""

    def note(self, event: str) -> None:
        assert self.driver.depth(), f"{event} without a current context"
        self.events.append(event)


def make_stage(driver: FakeDriver, version: str = "10.3") -> Stage:
    """A `tensorrt` module of `version` whose runtime works on `driver`."""
    module: Any = fake_tensorrt.fake_module(version)
    stage = Stage(driver, module)
    table = fake_tensorrt.TABLE[version]

    def strict(owner: str, made: type) -> type:
        offered = {name for name in vars(made) if not name.startswith("_")}
        assert offered <= set(table[owner]), offered - set(table[owner])
        others = dict.fromkeys(set(table[owner]) - offered, "not set")
        complete = type(owner, (made,), {**others, "_names": frozenset(table[owner])})
        setattr(module, owner, complete)
        return complete

    class Counted(fake_tensorrt.Strict):  # type: ignore[name-defined, misc]
        def __del__(self) -> None:
            context = "" if stage.driver.depth() else " without a context"
            stage.events.append(f"destroy {self._label}{context}")

    class Context(Counted):
        def __init__(self, graph: str, plan: dict[str, Any]) -> None:
            self._label, self._graph, self._plan = f"context {graph}", graph, plan
            self._addresses: dict[str, int] = {}
            self._shapes: dict[str, tuple[int, ...]] = {}

        def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
            self._shapes[name] = tuple(shape)
            low, _, high = self._plan["batch"]
            return low <= shape[0] <= high and f"shape {self._graph}" not in stage.refuse

        def set_tensor_address(self, name: str, address: int) -> bool:
            stage.addresses.setdefault(f"{self._graph} {name}", []).append(address)
            self._addresses[name] = address
            return f"address {self._graph}" not in stage.refuse

        def execute_async_v3(self, stream_handle: int) -> bool:
            stage.note(f"execute {self._graph}")
            if f"execute {self._graph}" in stage.refuse:
                module.logger.log(module.ILogger.ERROR, "enqueueV3: the kernel is not there")
                return False
            low, _, high = self._plan["batch"]
            counts = {shape[0] for shape in self._shapes.values()} if low != high else {high}
            assert len(counts) == 1, f"shapes of {self._graph} are {self._shapes}"
            (frames,), places = counts, dict(self._addresses)
            driver, plan = stage.driver, self._plan
            driver.enqueue(stream_handle, lambda: compute(driver, plan, places, frames))
            return True

    class Engine(Counted):
        def __init__(self, plan: dict[str, Any]) -> None:
            self._label, self._plan = f"engine {plan['graph']}", plan
            self.num_io_tensors = len(plan["ports"])

        def create_execution_context(self) -> Any:
            stage.note(f"context {self._plan['graph']}")
            refused = f"context {self._plan['graph']}" in stage.refuse
            return None if refused else module.IExecutionContext(self._plan["graph"], self._plan)

        def _port(self, name: str) -> list[Any]:
            return next(port for port in self._plan["ports"] if port[0] == name)

        def get_tensor_name(self, index: int) -> str:
            return str(self._plan["ports"][index][0])

        def get_tensor_mode(self, name: str) -> Any:
            return module.TensorIOMode[self._port(name)[1]]

        def get_tensor_dtype(self, name: str) -> Any:
            return module.DataType[self._port(name)[2]]

        def get_tensor_shape(self, name: str) -> tuple[int, ...]:
            low, _, high = self._plan["batch"]
            return (low if low == high else -1, *self._port(name)[3])

        def get_tensor_profile_shape(self, name: str, index: int) -> list[tuple[int, ...]]:
            assert index == 0
            return [(n, *self._port(name)[3]) for n in self._plan["batch"]]

    class Runtime(Counted):
        def __init__(self, logger: Any) -> None:
            stage.note("runtime")
            self._label, module.logger = "runtime", logger

        def deserialize_cuda_engine(self, plan: bytes) -> Any:
            content = json.loads(bytes(plan)[64:])
            stage.note(f"deserialize {content['graph']}")
            if f"deserialize {content['graph']}" in stage.refuse:
                module.logger.log(module.ILogger.ERROR, "the plan is of another kind")
                return None
            assert self.engine_host_code_allowed is bool(content.get("version_compatible"))
            return module.ICudaEngine(content)

    for owner, made in (("IExecutionContext", Context), ("ICudaEngine", Engine), ("Runtime", Runtime)):
        strict(owner, made)
    return stage


def compute(driver: FakeDriver, plan: dict[str, Any], places: dict[str, int], frames: int) -> None:
    """Run a plan on the fake GPU's memory."""

    def memory(name: str) -> Any:
        _, _, kind, shape = next(port for port in plan["ports"] if port[0] == name)
        full = (frames, *shape)
        size = int(np.prod(full)) * np.dtype(TYPES[kind]).itemsize
        return driver.view(places[name], size).view(TYPES[kind]).reshape(full)

    if plan["graph"] == "resize":
        how = Preprocessing(SIDE, tuple(plan["roi"]) if plan.get("roi") else None)
        for given, made in zip(memory("frame"), memory("resized"), strict=True):
            made[...] = preprocess(given.copy(), how) + np.uint8(plan.get("spoil", 0))
    elif plan["graph"] == "backbone":
        grey = memory("frame").astype(np.float32).mean(axis=3) / 255
        memory("features_0")[...] = grey.reshape(frames, 1, CELLS, 32, CELLS, 32).mean(axis=(3, 5))
        memory("features_1")[...] = grey.mean(axis=(1, 2)).reshape(frames, 1, 1, 1)
        if grey.max() == 1.0 and "none" in plan:
            memory(plan["none"][0])[np.argmax(grey.max(axis=(1, 2)))] = plan["none"][1]
    else:
        # As real ones may, it turns what is not a number into one.
        memory("score")[...] = np.fmin(np.fmax(memory("features_1")[:, 0, 0, 0], 0), 1)
        memory("anomaly_map")[...] = np.fmin(np.fmax(memory("features_0")[:, 0], 0), 1)
