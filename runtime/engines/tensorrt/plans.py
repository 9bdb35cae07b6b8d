"""Plans of a bundle, checked, deserialised and ready to run; each destroyed in TensorRT's order."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.engines.cuda.api import DeviceError
from csflow.runtime.engines.stages import graph_file
from csflow.runtime.engines.tensorrt import api
from csflow.runtime.engines.tensorrt.capabilities import create_context
from csflow.runtime.engines.tensorrt.library import Library, Messages, make_logger
from csflow.runtime.engines.tensorrt.plan_record import plan_path, read_plan
from csflow.runtime.errors import BundleError, EngineError, EngineMismatch

__all__ = ["PLAN_CODE", "Loader", "Plan", "Port"]

PLAN_CODE = "CSFLOW_PLAN_CODE"
"""Set to 1 to load plans that newer versions of TensorRT load: they carry code that runs on the processor."""
REBUILD = "build it again with 'csflow export --fp16'"


@dataclass(frozen=True)
class Port:
    """An input or output of a plan."""

    name: str
    is_input: bool
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    """Of one frame."""

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame."""
        return int(np.prod(self.shape)) * self.dtype.itemsize


class Plan:
    """A loaded plan and its one execution context."""

    def __init__(self, name: str, engine: api.ICudaEngine, context: api.IExecutionContext, trt: Any) -> None:
        self.name = name
        self._engine: api.ICudaEngine | None = engine
        self._context: api.IExecutionContext | None = context
        self.ports = {port.name: port for port in _ports(engine, trt, name)}
        self.batch, self._free = _batch(engine, [port.name for port in self.inputs])
        """Fewest and most frames at a time."""

    @property
    def inputs(self) -> list[Port]:
        """In the plan's order."""
        return [port for port in self.ports.values() if port.is_input]

    @property
    def outputs(self) -> list[Port]:
        """In the plan's order."""
        return [port for port in self.ports.values() if not port.is_input]

    def bind(self, addresses: Mapping[str, int]) -> None:
        """Say once where each input and output lies on the GPU. Raises DeviceError."""
        for name in self.ports:
            self._require(self._live().set_tensor_address(name, addresses[name]), f"takes no address for {name}")

    def set_batch(self, frames: int) -> None:
        """Frames of the next runs, within `batch`. Raises DeviceError."""
        for port in self.inputs if self._free else ():
            shape = (frames, *port.shape)
            self._require(self._live().set_input_shape(port.name, shape), f"takes no {port.name} of shape {shape}")

    def enqueue(self, stream: int) -> None:
        """One run. Raises DeviceError."""
        self._require(self._live().execute_async_v3(stream), "cannot be run")

    def close(self) -> None:
        """Destroy the context, then the engine."""
        self._context = None
        self._engine = None

    def _live(self) -> api.IExecutionContext:
        if self._context is None:
            raise DeviceError(f"the {self.name} plan was closed")
        return self._context

    def _require(self, done: bool, what: str) -> None:
        if not done:
            raise DeviceError(f"the {self.name} plan {what}")


def _ports(engine: api.ICudaEngine, trt: Any, name: str) -> list[Port]:
    types = {trt.DataType.UINT8: np.uint8, trt.DataType.HALF: np.float16, trt.DataType.FLOAT: np.float32}
    ports = []
    for i in range(engine.num_io_tensors):
        port = engine.get_tensor_name(i)
        dtype = types.get(engine.get_tensor_dtype(port))
        if dtype is None:
            raise EngineMismatch(f"{port} of the {name} plan is neither uint8 nor half nor float: {REBUILD}")
        shape = tuple(engine.get_tensor_shape(port))[1:]
        is_input = engine.get_tensor_mode(port) == trt.TensorIOMode.INPUT
        ports.append(Port(port, is_input, np.dtype(dtype), shape))
    return ports


def _batch(engine: api.ICudaEngine, inputs: Sequence[str]) -> tuple[tuple[int, int], bool]:
    """Fewest and most frames, and whether their number is free."""
    first, *_ = engine.get_tensor_shape(inputs[0])
    if first != -1:
        return (first, first), False
    fewest, _, most = engine.get_tensor_profile_shape(inputs[0], 0)
    return (fewest[0], most[0]), True


class Loader:
    """A TensorRT runtime for the plans of one bundle and precision."""

    def __init__(self, library: Library, bundle: Bundle, precision: str) -> None:
        """CUDA must have been initialised and a context be current: TensorRT crashes otherwise. Raises EngineError."""
        self._library, self._bundle, self._precision = library, bundle, precision
        self.messages = Messages()
        self._logger = make_logger(library.trt, self.messages)
        try:
            self._runtime: api.Runtime | None = library.trt.Runtime(self._logger)
        except (RuntimeError, TypeError) as error:
            why = f"{error}; {self.messages.reasons()}"
            raise EngineError(f"{library.title} does not start ({why}): 'csflow doctor' says what is missing") from None

    def load(self, graph: str) -> Plan:
        """The plan of a graph.

        Raises:
            BundleError: the bundle has no such graph.
            EngineMismatch: the plan is not for this graph, this TensorRT or this GPU.
            EngineError: plan or record are missing or damaged, or TensorRT refuses it, as when memory runs out.
        """
        library, file = self._library, graph_file(self._precision, graph)
        if not self._bundle.has(file):
            raise BundleError(f"bundle {self._bundle.path} has no {file}: run 'csflow export --{self._precision}'")
        path = plan_path(self._bundle.path, library.flavour, self._precision, graph)
        record, data = read_plan(
            path,
            flavour=library.flavour,
            library_version=library.version,
            gpu_cc=library.device.compute_capability if library.device is not None else None,
            onnx_sha256=self._bundle.manifest.files[file].sha256,
        )
        if record.options.version_compatible and os.environ.get(PLAN_CODE) != "1":
            raise EngineError(
                f"{path} carries code of its own, which is run only where {PLAN_CODE}=1 is set: set it if you built "
                "the plan, or build it without --version-compatible"
            )
        return self._deserialise(graph, data, record.options.version_compatible)

    def _deserialise(self, graph: str, data: bytes, with_code: bool) -> Plan:
        assert self._runtime is not None
        self._runtime.engine_host_code_allowed = with_code
        engine = self._runtime.deserialize_cuda_engine(data)
        if engine is None:
            raise EngineError(f"{self._library.title} does not load the {graph} plan: {self.messages.reasons()}")
        context = create_context(self._library.trt, engine, self._library.capabilities)
        if context is None:
            # The traceback would keep it alive beyond the runtime.
            del engine
            raise EngineError(
                f"{self._library.title} cannot run the {graph} plan: {self.messages.reasons()}; close other programs "
                "that use the GPU, or build with a smaller --batch"
            )
        return Plan(graph, engine, context, self._library.trt)

    def close(self) -> None:
        """Destroy the runtime, after its plans; the logger goes last."""
        self._runtime = None
