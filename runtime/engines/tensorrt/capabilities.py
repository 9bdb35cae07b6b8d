"""What only some versions or flavours of TensorRT have, and the one place that asks for it by name.

Everything else that csflow uses is common to all of them (`csflow.runtime.engines.tensorrt.api`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from csflow.runtime.errors import ConfigError

__all__ = [
    "CAPABILITIES",
    "Capabilities",
    "Capability",
    "capabilities_of",
    "create_context",
    "find_attribute",
    "set_compute_capabilities",
]

RTX = "tensorrt-rtx"


@dataclass(frozen=True)
class Capability:
    """One row of the table."""

    names: tuple[str, ...]
    """Attributes below the module that it needs."""
    absent: str
    """What to tell who asks for it where it is missing."""
    never_on: str = ""
    """A flavour that has the names and does nothing with them."""


CAPABILITIES = {
    "strongly-typed-flag": Capability(
        ("NetworkDefinitionCreationFlag.STRONGLY_TYPED",), "this TensorRT types every network by its graph"
    ),
    "compute-capabilities": Capability(
        (
            "ComputeCapability",
            "IBuilderConfig.num_compute_capabilities",
            "IBuilderConfig.set_compute_capability",
        ),
        "only TensorRT for RTX builds for GPUs that are not here: leave --compute-capability out",
    ),
    "ampere-plus": Capability(
        ("HardwareCompatibilityLevel.AMPERE_PLUS",),
        "plans of TensorRT for RTX choose their GPUs by --compute-capability: leave --hardware-compatible out",
        RTX,
    ),
    "same-compute-capability": Capability(
        ("HardwareCompatibilityLevel.SAME_COMPUTE_CAPABILITY",),
        "it needs full TensorRT 10.9 or newer: use --hardware-compatible ampere-plus",
        RTX,
    ),
    "version-compatible": Capability(
        ("BuilderFlag.VERSION_COMPATIBLE",),
        "plans of TensorRT for RTX load with the version that built them: leave --version-compatible out",
        RTX,
    ),
    "timing-cache": Capability(
        ("IBuilderConfig.create_timing_cache", "IBuilderConfig.set_timing_cache"),
        "TensorRT for RTX times no kernels when it builds",
        RTX,
    ),
    "dla": Capability(
        ("DeviceType.DLA", "BuilderFlag.GPU_FALLBACK", "IBuilderConfig.DLA_core"),
        "only full TensorRT on a Jetson Orin reaches a DLA: leave --dla out",
        RTX,
    ),
    "own-graphs": Capability(
        (
            "CudaGraphStrategy.WHOLE_GRAPH_CAPTURE",
            "IRuntimeConfig.cuda_graph_strategy",
            "ICudaEngine.create_runtime_config",
        ),
        "only TensorRT for RTX makes CUDA graphs by itself",
    ),
}
"""By the name that `Capabilities` answers to."""


def find_attribute(trt: Any, path: str) -> Any:
    """The attribute at a dotted path below the module, or None."""
    found = trt
    for name in path.split("."):
        found = getattr(found, name, None)
        if found is None:
            return None
    return found


@dataclass(frozen=True)
class Capabilities:
    """What one loaded TensorRT can do beyond the common core."""

    names: frozenset[str]

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def require(self, name: str) -> None:
        """Raises ConfigError saying what to do instead."""
        if name not in self.names:
            raise ConfigError(CAPABILITIES[name].absent)


def capabilities_of(trt: Any, flavour: str) -> Capabilities:
    """Ask a module, by attributes and not by version: distributions backport."""
    found = (
        name
        for name, row in CAPABILITIES.items()
        if flavour != row.never_on and all(find_attribute(trt, path) is not None for path in row.names)
    )
    return Capabilities(frozenset(found))


def set_compute_capabilities(trt: Any, config: Any, wanted: tuple[str, ...]) -> None:
    """Let a configuration of TensorRT for RTX build for these GPUs, for example '8.6'.

    Raises ConfigError for one that it has no kernels for.
    """
    config.num_compute_capabilities = len(wanted)
    for index, capability in enumerate(wanted):
        member = find_attribute(trt, f"ComputeCapability.SM{capability.replace('.', '')}")
        if member is None:
            raise ConfigError(
                f"this TensorRT for RTX builds nothing for compute capability {capability}; it builds for "
                f"{', '.join(_known_capabilities(trt))}"
            )
        config.set_compute_capability(member, index)


def create_context(trt: Any, engine: Any, capabilities: Capabilities) -> Any:
    """An execution context that makes CUDA graphs by itself where this TensorRT does; None where memory ran out."""
    if "own-graphs" not in capabilities:
        return engine.create_execution_context()
    config = engine.create_runtime_config()
    config.cuda_graph_strategy = trt.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
    return engine.create_execution_context(config)


def _known_capabilities(trt: Any) -> list[str]:
    numbers = sorted(int(name[2:]) for name in dir(trt.ComputeCapability) if re.fullmatch(r"SM\d+", name))
    return [f"{number // 10}.{number % 10}" for number in numbers]
