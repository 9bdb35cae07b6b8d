"""OpenVINO on the CPU: float32 graphs, in float32 or with the bfloat16 hint, and INT8 graphs.

latency      one frame at a time, all threads on it: what a line wants
throughput   several frames of one `infer` at the same time, few threads each: more frames a second, each one later
"""

from __future__ import annotations

import contextlib
import os
import statistics
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.engine import Layer
from csflow.runtime.engines.finite import all_finite, no_score
from csflow.runtime.engines.name import EngineName
from csflow.runtime.engines.openvino.blobs import seal_blobs, sound_folder
from csflow.runtime.engines.openvino.core import (
    eight_bits,
    has_bf16,
    new_core,
    return_free_memory,
    return_mapped_pages,
)
from csflow.runtime.engines.stages import Stage, stages
from csflow.runtime.errors import BackendUnavailable, BundleCorrupted, BundleError, ConfigError, InferenceError
from csflow.runtime.machine.cache import cache_directory
from csflow.runtime.types import Frame, Prediction

__all__ = ["OpenVINOEngine"]

HINTS = {"latency": "LATENCY", "throughput": "THROUGHPUT"}
LARGE = 64 << 20
"""Bytes of a graph from which a first start compiles twice, so that its weights are in memory once."""


class OpenVINOEngine:
    """The stages of a bundle compiled for the CPU; features stay where the stage before wrote them."""

    def __init__(
        self,
        bundle: Bundle,
        precision: str = "fp32",
        mode: str = "latency",
        threads: int | None = None,
        timed: bool = False,
    ) -> None:
        """Compile the graphs.

        Args:
            precision: 'fp32', 'bf16', 'int8' (the last graph's convolutions alone; all else in float32), or one of
                them for each graph, as in 'fp32+bf16'.
            mode: 'latency', or 'throughput': as many frames of one call of `infer` at the same time as OpenVINO
                thinks best. Scores do not depend on it.
            threads: how many threads compute, at most one for each processor that this process may use; None
                leaves it to OpenVINO.
            timed: count the time of each layer, which costs some: for `profile`.

        Raises:
            ConfigError: no such mode, or more threads than processors.
            BundleError, BundleCorrupted: there are no graphs, or they are damaged.
            BackendUnavailable: 'bf16' on a processor that would silently compute in float32.
        """
        name = EngineName("openvino", precision)
        config = _config(mode, threads)
        self._timed = partial(OpenVINOEngine, bundle, precision, mode, threads, timed=True)
        if timed:
            config["PERF_COUNT"] = "YES"
        self._core = new_core()
        if "bf16" in precision.split("+") and not has_bf16(self._core):
            raise BackendUnavailable("this processor has no bfloat16: take the backend openvino-fp32")
        self._bundle, self._stages = bundle, stages(bundle.manifest, name)
        directory = cache_directory()
        self._cache = directory / "openvino" if directory else None
        compiled, ports = self._prepared(self._stages, config)
        return_free_memory()
        if self._cache is not None:
            return_mapped_pages(self._cache)
        self._lanes = [_Lane(compiled, ports) for _ in range(_width(compiled))]
        self.name = str(name)
        self.batch = len(self._lanes)
        """Frames computed together: 1 where OpenVINO puts all threads on one."""

    def infer(self, frames: Sequence[Frame]) -> list[Prediction]:
        """Predict for frames of (S, S, 3) uint8 RGB; raises InferenceError when OpenVINO fails or after `close`."""
        if not self._lanes:
            raise InferenceError("the engine is closed")
        return [p for i in range(0, len(frames), self.batch) for p in self._together(frames[i : i + self.batch])]

    def profile(self, frame: Frame, rounds: int) -> list[Layer]:
        """As `ProfiledEngine.profile`, by an engine like this one that counts time."""
        with self._timed() as twin:
            twin.infer([frame])
            seen = []
            for _ in range(rounds):
                twin.infer([frame])
                seen.append(twin._lanes[0].layers())
        names = [stage.graph for stage in self._stages]
        return [
            Layer(names[i], *what, statistics.median(layers[i, what] for layers in seen))
            for i, what in seen[0]
            if seen[0][i, what] > 0.0
        ]

    def close(self) -> None:
        """Release the compiled models. May be called twice."""
        self._lanes = []

    def __enter__(self) -> OpenVINOEngine:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _prepared(self, needed: Sequence[Stage], config: dict[str, str | int]) -> tuple[list[Any], list[list[str]]]:
        """The compiled models and the names of their inputs; what each was made from is let go before the next."""
        models, ports = [], []
        for stage in needed:
            model = self._read(stage)
            # Asked of the graph: once compiled, an input also bears the names of what was folded into it.
            ports.append([port.get_any_name() for port in model.inputs])
            models.append(self._compile(model, stage, config))
        return models, ports

    def _read(self, stage: Stage) -> Any:
        path = self._bundle.path
        if not self._bundle.has(stage.file):
            option = " --int8" if stage.precision == "int8" else ""
            raise BundleError(f"bundle {path} has no {stage.file}: run 'csflow export{option} --bundle {path}'")
        with self._bundle.checked(stage.file) as file:
            try:
                model = self._core.read_model(file)
                model.reshape({port: [1, *list(port.partial_shape)[1:]] for port in model.inputs})
            except Exception as error:  # noqa: BLE001 - whatever its parsers raise on a damaged graph
                raise BundleCorrupted(
                    f"OpenVINO cannot read {path / stage.file}: {_first_line(error)}; run 'csflow export' again"
                ) from None
        return model

    def _compile(self, model: Any, stage: Stage, config: dict[str, str | int]) -> Any:
        hint, entry = "bf16" if stage.precision == "bf16" else "f32", self._bundle.manifest.files[stage.file]
        config = {**config, **eight_bits(), "INFERENCE_PRECISION_HINT": hint}
        folder = sound_folder(self._cache, entry.sha256, hint) if self._cache is not None else None
        if folder is not None:
            config["CACHE_DIR"] = str(folder)
        try:
            compiled = self._core.compile_model(model, "CPU", config)
            if folder is not None and not compiled.get_property("LOADED_FROM_CACHE"):
                seal_blobs(folder)
                if entry.size >= LARGE:
                    # What was compiled just now keeps the graph's weights beside its own. What comes from the cache has
                    # them in a mapped file, which need not stay in memory.
                    del compiled
                    compiled = self._core.compile_model(model, "CPU", config)
        except Exception as error:  # noqa: BLE001 - whatever its parsers raise on a damaged graph
            raise InferenceError(f"OpenVINO cannot compile the graphs: {_first_line(error)}") from None
        return compiled

    def _together(self, frames: Sequence[Frame]) -> list[Prediction]:
        lanes = self._lanes[: len(frames)]
        try:
            for lane, frame in zip(lanes, frames, strict=True):
                lane.start(frame)
            for stage in range(1, lanes[0].stages):
                for lane in lanes:
                    lane.proceed(stage)
            return [lane.finish() for lane in lanes]
        except RuntimeError as error:
            # A request that still computes would refuse the next frame.
            for lane in lanes:
                lane.settle()
            raise InferenceError(f"OpenVINO failed on a frame: {_first_line(error)}") from None


class _Lane:
    """One frame's way through all models; a stage's inputs are the buffers that earlier stages write."""

    def __init__(self, models: Sequence[Any], inputs: Sequence[Sequence[str]]) -> None:
        self._requests = [model.create_infer_request() for model in models]
        self._features = [_outputs(model, request) for model, request in zip(models, self._requests, strict=True)]
        self._sound = True
        for i, names in enumerate(inputs[1:], 1):
            for name in names:
                self._requests[i].set_tensor(name, self._given(name, i))

    def _given(self, name: str, stage: int) -> Any:
        """What the nearest earlier stage calls `name`."""
        for request in reversed(self._requests[:stage]):
            with contextlib.suppress(RuntimeError):
                return request.get_tensor(name)
        raise BundleCorrupted(f"no graph gives the input {name!r} of a later one: run 'csflow export' again")

    @property
    def stages(self) -> int:
        """How many there are."""
        return len(self._requests)

    def start(self, frame: Frame) -> None:
        """Begin the first stage; OpenVINO reads the frame where it lies, if it lies in one piece."""
        self._sound = True
        self._requests[0].start_async({"frame": np.ascontiguousarray(frame.image)[None]}, share_inputs=True)

    def proceed(self, stage: int) -> None:
        """Wait for the stage before, look at what it gives, and begin this one."""
        self._requests[stage - 1].wait()
        self._sound = self._sound and all(map(all_finite, self._features[stage - 1]))
        self._requests[stage].start_async()

    def finish(self) -> Prediction:
        """Wait for the last stage; what it wrote is copied, for the next frame overwrites it."""
        last = self._requests[-1]
        last.wait()
        score, anomaly_map = float(last.get_tensor("score").data[0]), last.get_tensor("anomaly_map").data[0]
        if not self._sound:
            return no_score(anomaly_map.shape)
        return Prediction(score, anomaly_map.astype(np.float32, copy=True))

    def layers(self) -> dict[tuple[int, tuple[str, str, str]], float]:
        """Seconds of each layer of the last frame: by its stage, and by its name, kind and code."""
        return {
            (i, (layer.node_name, layer.node_type, layer.exec_type)): layer.real_time.total_seconds()
            for i, request in enumerate(self._requests)
            for layer in request.profiling_info
        }

    def settle(self) -> None:
        """Wait for whatever still computes, and forget what it says."""
        for request in self._requests:
            with contextlib.suppress(RuntimeError):
                request.wait()


def _outputs(model: Any, request: Any) -> list[Any]:
    """The arrays that a stage writes."""
    return [request.get_tensor(port).data for port in model.outputs]


def _width(compiled: Sequence[Any]) -> int:
    return min(int(model.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")) for model in compiled)


def _config(mode: str, threads: int | None) -> dict[str, str | int]:
    if mode not in HINTS:
        raise ConfigError(f"no mode {mode!r} of the engine openvino; choose one of: {', '.join(HINTS)}")
    config: dict[str, str | int] = {"PERFORMANCE_HINT": HINTS[mode]}
    if threads is None:
        return config
    processors = len(os.sched_getaffinity(0))
    if not 1 <= threads <= processors:
        raise ConfigError(f"{threads} threads for the engine openvino: expected a number from 1 to {processors}")
    return {**config, "INFERENCE_NUM_THREADS": threads}


def _first_line(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1].strip()[:200] if lines else type(error).__name__
