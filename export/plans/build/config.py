"""Shapes, limits and flags of one build: common ones set directly, the others after the capability table was asked."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import Any

from csflow.runtime.atomic import write_atomic
from csflow.runtime.engines.tensorrt import api
from csflow.runtime.engines.tensorrt.capabilities import find_attribute, set_compute_capabilities
from csflow.runtime.engines.tensorrt.library import Library
from csflow.runtime.engines.tensorrt.plan_record import BuildOptions
from csflow.runtime.errors import ConfigError
from csflow.runtime.machine.cache import cache_directory

__all__ = ["check_options", "configure", "keep_timing_cache", "set_shapes"]

DLA_GRAPH = "backbone"
"""The one graph that a DLA may run: the flow's atan, exp and gathers would fall back to the GPU piece by piece."""


def check_options(library: Library, options: BuildOptions) -> None:
    """Raises ConfigError where an option is asked for that this TensorRT has not."""
    if options.compute_capabilities:
        library.capabilities.require("compute-capabilities")
    if options.hardware_compatible:
        library.capabilities.require(options.hardware_compatible)
    if options.version_compatible:
        library.capabilities.require("version-compatible")
    if options.dla_core is not None:
        library.capabilities.require("dla")
        if not options.fixed_batch:
            raise ConfigError("a DLA takes one batch size only: give one number to --batch, or leave --dla out")


def set_shapes(
    builder: api.Builder, network: api.INetworkDefinition, options: BuildOptions
) -> list[api.IOptimizationProfile]:
    """Fix the batch of every input, or make the profile of a range of batches; returns the profiles to add."""
    inputs = [network.get_input(i) for i in range(network.num_inputs)]
    shapes = {tensor.name: tuple(tensor.shape)[1:] for tensor in inputs}
    if options.fixed_batch:
        for tensor in inputs:
            tensor.shape = (options.batch[0], *shapes[tensor.name])
        return []
    profile = builder.create_optimization_profile()
    for name, rest in shapes.items():
        lowest, tuned, highest = ((n, *rest) for n in options.batch)
        profile.set_shape(name, lowest, tuned, highest)
    return [profile]


def configure(library: Library, builder: api.Builder, name: str, options: BuildOptions) -> api.IBuilderConfig:
    """The configuration of one build. Raises ConfigError as `check_options` does, or where there is no such DLA."""
    check_options(library, options)
    trt, config = library.trt, builder.create_builder_config()
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    if options.workspace is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace)
    if options.optimization_level is not None:
        config.builder_optimization_level = options.optimization_level
    if options.hardware_compatible is not None:
        level = options.hardware_compatible.upper().replace("-", "_")
        config.hardware_compatibility_level = find_attribute(trt, f"HardwareCompatibilityLevel.{level}")
    if options.version_compatible:
        config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    if options.dla_core is not None and name == DLA_GRAPH:
        _use_dla(trt, builder, config, options.dla_core)
    if options.compute_capabilities:
        set_compute_capabilities(trt, config, options.compute_capabilities)
    _load_timing_cache(library, config)
    return config


def _use_dla(trt: Any, builder: api.Builder, config: api.IBuilderConfig, core: int) -> None:
    if core >= builder.num_DLA_cores:
        raise ConfigError(f"there is no DLA {core}, this machine has {builder.num_DLA_cores}: leave --dla out")
    config.default_device_type = trt.DeviceType.DLA
    config.DLA_core = core
    config.set_flag(trt.BuilderFlag.GPU_FALLBACK)


def _timing_cache_path(library: Library) -> Path | None:
    """Named by all that its timings hold for: flavour, version, compute capability, GPU."""
    folder = cache_directory()
    if folder is None or library.device is None or "timing-cache" not in library.capabilities:
        return None
    gpu = re.sub(r"[^A-Za-z0-9]+", "-", library.device.name).strip("-")
    name = f"{library.flavour}-{library.version}-sm{library.device.compute_capability}-{gpu}.timing"
    return folder / "tensorrt" / name


def _load_timing_cache(library: Library, config: api.IBuilderConfig) -> None:
    path = _timing_cache_path(library)
    if path is None:
        return
    data = path.read_bytes() if path.is_file() else b""
    cache = config.create_timing_cache(data)
    if cache is None or not config.set_timing_cache(cache, False):
        # Damaged, or of another GPU after all: timings are found again.
        fresh = config.create_timing_cache(b"")
        if fresh is not None:
            config.set_timing_cache(fresh, False)


def keep_timing_cache(library: Library, config: api.IBuilderConfig) -> None:
    """Store the timings for the next build on this GPU; where they cannot be stored, it finds them again."""
    path, cache = _timing_cache_path(library), config.get_timing_cache() if library.device is not None else None
    if path is not None and cache is not None:
        with contextlib.suppress(OSError):
            write_atomic(path, bytes(memoryview(cache.serialize())))
