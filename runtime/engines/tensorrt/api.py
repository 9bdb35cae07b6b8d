"""What csflow calls on TensorRT's objects, as types: the part that 10.3, 10.13, 11.4 and TensorRT for RTX 1.7 share.

mypy lets the builder use nothing else, and tests/export/test_conformance.py compares every name here with the lists of
the real bindings. What only some versions have is in `csflow.runtime.engines.tensorrt.capabilities`. Each class has
TensorRT's own name.
The module itself is always called `trt`, so that the same test finds the enumerations that are used.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

__all__ = [
    "Builder",
    "EngineInspector",
    "IBuilderConfig",
    "ICudaEngine",
    "IExecutionContext",
    "INetworkDefinition",
    "IOptimizationProfile",
    "ITensor",
    "ITimingCache",
    "OnnxParser",
    "ParserError",
    "Runtime",
]


class ITensor(Protocol):
    """A tensor of a network."""

    name: str
    shape: Sequence[int]


class INetworkDefinition(Protocol):
    """A network that is being defined."""

    num_inputs: int

    def get_input(self, index: int, /) -> ITensor:
        """An input by number."""


class IOptimizationProfile(Protocol):
    """The range of shapes that a plan takes."""

    def set_shape(self, name: str, lowest: Sequence[int], tuned: Sequence[int], highest: Sequence[int], /) -> Any:
        """Range of one input."""


class ITimingCache(Protocol):
    """Timings of kernels on one GPU, kept between builds."""

    def serialize(self) -> Any:
        """The cache as a buffer."""


class IBuilderConfig(Protocol):
    """How to build."""

    progress_monitor: Any
    profiling_verbosity: Any
    builder_optimization_level: int
    hardware_compatibility_level: Any
    default_device_type: Any
    DLA_core: int

    def set_flag(self, flag: Any, /) -> None:
        """Switch something on."""

    def set_memory_pool_limit(self, pool: Any, size: int, /) -> None:
        """Bytes of one kind of memory."""

    def add_optimization_profile(self, profile: IOptimizationProfile, /) -> int:
        """Returns its number, -1 where it was refused."""

    def create_timing_cache(self, data: bytes, /) -> ITimingCache | None:
        """A cache from its serialised form; empty for b''."""

    def set_timing_cache(self, cache: ITimingCache, ignore_mismatch: bool, /) -> bool:
        """Whether the cache was taken."""

    def get_timing_cache(self) -> ITimingCache | None:
        """The cache as the build left it."""


class Builder(Protocol):
    """Makes networks and plans."""

    num_DLA_cores: int  # noqa: N815 - TensorRT's name

    def create_network(self, flags: int, /) -> INetworkDefinition:
        """An empty network."""

    def create_builder_config(self) -> IBuilderConfig:
        """The default configuration."""

    def create_optimization_profile(self) -> IOptimizationProfile:
        """An empty profile."""

    def build_serialized_network(self, network: INetworkDefinition, config: IBuilderConfig, /) -> Any:
        """The plan as a buffer, or None."""


class ParserError(Protocol):
    """Why a node was not taken."""

    def desc(self) -> str:
        """The reason."""

    def code(self) -> Any:
        """Its kind, an ErrorCode."""

    def node_name(self) -> str:
        """Name of the ONNX node; empty where none is to blame."""

    def node_operator(self) -> str:
        """Its operator."""


class OnnxParser(Protocol):
    """Fills a network from an ONNX file."""

    num_errors: int

    def parse(self, model: bytes, /) -> bool:
        """Whether the whole model was taken."""

    def get_error(self, index: int, /) -> ParserError:
        """An error by number."""


class EngineInspector(Protocol):
    """Describes the layers of an engine."""

    def get_engine_information(self, form: Any, /) -> str:
        """All layers."""


class IExecutionContext(Protocol):
    """Runs an engine; one thread at a time."""

    def set_input_shape(self, name: str, shape: Sequence[int], /) -> bool:
        """Whether the profile has that shape."""

    def set_tensor_address(self, name: str, address: int, /) -> bool:
        """Where the GPU reads or writes a tensor."""

    def execute_async_v3(self, stream_handle: int) -> bool:
        """Enqueue one run; whether that succeeded."""


class ICudaEngine(Protocol):
    """A loaded plan."""

    num_io_tensors: int

    def create_engine_inspector(self) -> EngineInspector:
        """Its inspector."""

    def create_execution_context(self) -> IExecutionContext | None:
        """A context with its scratch memory, or None."""

    def get_tensor_name(self, index: int, /) -> str:
        """Name of an input or output by number."""

    def get_tensor_mode(self, name: str, /) -> Any:
        """A TensorIOMode."""

    def get_tensor_dtype(self, name: str, /) -> Any:
        """A DataType."""

    def get_tensor_shape(self, name: str, /) -> Sequence[int]:
        """Its shape, -1 where it is free."""

    def get_tensor_profile_shape(self, name: str, index: int, /) -> Sequence[Sequence[int]]:
        """Fewest, tuned and most of an input in a profile."""


class Runtime(Protocol):
    """Loads plans."""

    engine_host_code_allowed: bool

    def deserialize_cuda_engine(self, plan: Any, /) -> ICudaEngine | None:
        """The engine, or None."""
