"""OpenVINO on the CPU: float32 graphs, in float32 or with the bfloat16 hint, and the INT8 flow; the best of them.

latency      one frame at a time, all threads on it: what a line wants
throughput   several frames of one `infer` at the same time, few threads each: more frames a second, each one later
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import openvino

from csflow.runtime import schema
from csflow.runtime.atomic import write_atomic
from csflow.runtime.bundle.calibration import Calibration, load_calibration
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.golden import GOLDEN, check_golden, load_golden
from csflow.runtime.engines.openvino.core import new_core
from csflow.runtime.engines.trust import record_problem
from csflow.runtime.errors import (
    BackendUnavailable,
    BundleCorrupted,
    BundleError,
    CalibrationError,
    ConfigError,
    InferenceError,
)
from csflow.runtime.machine.cache import cache_directory
from csflow.runtime.types import Frame, Prediction

__all__ = ["OpenVINOEngine"]

BACKBONE = "graphs/fp32/backbone.onnx"
FLOWS = {"fp32": "graphs/fp32/flow.onnx", "bf16": "graphs/fp32/flow.onnx", "int8": "graphs/int8/flow.onnx"}
HINTS = {"latency": "LATENCY", "throughput": "THROUGHPUT"}
TIMED_FRAMES = 5
ADVANTAGE = 0.95
"""Another precision must need less than this share of float32's time: it is not worth its rounding for nothing."""


@dataclass(frozen=True)
class _Choice:
    """The precision chosen on this machine, and why; kept in the cache directory."""

    precision: str
    seconds: dict[str, float]
    """Of each precision that was tried."""

    def __post_init__(self) -> None:
        if self.precision not in FLOWS:
            raise ValueError(f"precision must be one of {', '.join(FLOWS)}")


class OpenVINOEngine:
    """Backbone and flow compiled for the CPU; features stay where the backbone wrote them."""

    def __init__(
        self, bundle: Bundle, precision: str = "auto", mode: str = "latency", threads: int | None = None
    ) -> None:
        """Compile the graphs.

        Args:
            precision: 'fp32', 'bf16', 'int8' (the flow's convolutions alone; all else in float32), or
                'auto': the fastest of those that the decision gate has passed and that change no golden frame's
                verdict. The choice is made once per graphs, thresholds, processor and OpenVINO version; where it
                cannot be remembered, or there are no thresholds, it is 'fp32'.
            mode: 'latency', or 'throughput': as many frames of one call of `infer` at the same time as OpenVINO
                thinks best. Scores do not depend on it.
            threads: how many threads compute, at most one for each processor that this process may use; None
                leaves it to OpenVINO.

        Raises:
            ConfigError: no such mode, or more threads than processors.
            BundleError, BundleCorrupted: there are no graphs, or they are damaged.
            BackendUnavailable: 'bf16' on a processor that would silently compute in float32.
        """
        self._mode, self._threads = mode, threads
        self._config = _config(mode, threads)
        self._core = new_core()
        self._cache = cache_directory()
        self._has_bf16 = "BF16" in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if precision == "bf16" and not self._has_bf16:
            raise BackendUnavailable("this processor has no bfloat16: take the backend openvino-fp32")
        self._bundle = bundle
        self._backbone = self._read(BACKBONE)
        if precision == "auto":
            precision = self._remembered_or_measured()
        self._pipeline: _Pipeline | None = self._compile(precision)
        self.name = f"openvino-{precision}"
        self.batch = len(self._pipeline.lanes)
        """Frames computed together: 1 where OpenVINO puts all threads on one."""

    def infer(self, frames: Sequence[Frame]) -> list[Prediction]:
        """Predict for frames of (S, S, 3) uint8 RGB; raises InferenceError when OpenVINO fails or after `close`."""
        if self._pipeline is None:
            raise InferenceError("the engine is closed")
        return self._pipeline.infer(frames)

    def close(self) -> None:
        """Release the compiled models. May be called twice."""
        self._pipeline = None

    def __enter__(self) -> OpenVINOEngine:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _compile(self, precision: str) -> _Pipeline:
        config = {**self._config, "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32"}
        if self._cache is not None:
            config["CACHE_DIR"] = str(self._cache / "openvino")
        models = (self._backbone, self._read(FLOWS[precision]))
        # Asked of the graph: once compiled, an input also bears the names of what was folded into it.
        names = [port.get_any_name() for port in models[1].inputs]
        try:
            backbone, flow = (self._core.compile_model(model, "CPU", config) for model in models)
        except RuntimeError as error:
            raise InferenceError(f"OpenVINO cannot compile the graphs: {_first_line(error)}") from None
        return _Pipeline(backbone, flow, names)

    def _read(self, name: str) -> Any:
        if not self._bundle.has(name):
            option = " --int8" if name == FLOWS["int8"] else ""
            raise BundleError(
                f"bundle {self._bundle.path} has no {name}: run 'csflow export{option} --bundle {self._bundle.path}'"
            )
        data = self._bundle.read(name)
        try:
            model = self._core.read_model(model=data)
            model.reshape({port: [1, *list(port.partial_shape)[1:]] for port in model.inputs})
        except RuntimeError as error:
            raise BundleCorrupted(
                f"OpenVINO cannot read {self._bundle.path / name}: {_first_line(error)}; run 'csflow export' again"
            ) from None
        return model

    def _remembered_or_measured(self) -> str:
        calibration = _calibration_or_none(self._bundle)
        if self._cache is None or calibration is None:
            return "fp32"
        tried = self._candidates(calibration)
        if not tried:
            return "fp32"
        record = self._cache / "openvino" / f"precision-{self._identity(tried, calibration)}.json"
        try:
            return schema.from_mapping(_Choice, schema.parse_json(record.read_bytes())).precision
        except (OSError, schema.SchemaError):
            choice = self._measure(tried, calibration)
        try:
            write_atomic(record, schema.dump_json(schema.to_mapping(choice)))
        except OSError:
            # What cannot be remembered would be measured anew at every start, and might come out otherwise.
            return "fp32"
        return choice.precision

    def _candidates(self, calibration: Calibration) -> list[str]:
        possible = ["bf16"] * self._has_bf16 + ["int8"] * self._bundle.has(FLOWS["int8"])
        return [p for p in possible if record_problem(self._bundle, f"openvino-{p}", calibration) == ""]

    def _measure(self, tried: list[str], calibration: Calibration) -> _Choice:
        golden = load_golden(self._bundle)
        seconds, passed = {}, ["fp32"]
        for precision in ("fp32", *tried):
            self._pipeline = self._compile(precision)
            seconds[precision] = _median_seconds(self._pipeline, golden[0][0])
            if precision != "fp32" and check_golden(self, golden, calibration).passed(f"openvino-{precision}"):
                passed.append(precision)
        fastest = min(passed, key=lambda name: seconds[name])
        return _Choice(fastest if seconds[fastest] < ADVANTAGE * seconds["fp32"] else "fp32", seconds)

    def _identity(self, tried: list[str], calibration: Calibration) -> str:
        names = sorted({BACKBONE, GOLDEN, *(FLOWS[p] for p in ("fp32", *tried))})
        parts = (
            openvino.__version__,
            (self._mode, self._threads),
            self._core.get_property("CPU", "FULL_DEVICE_NAME"),
            tried,
            [self._bundle.manifest.files[name].sha256 for name in names],
            (calibration.warn_threshold, calibration.reject_threshold),
        )
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:24]


class _Pipeline:
    """Two compiled models and as many lanes as can compute at the same time."""

    def __init__(self, backbone: Any, flow: Any, features: Sequence[str]) -> None:
        wanted = [int(model.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")) for model in (backbone, flow)]
        self.lanes = [_Lane(backbone, flow, features) for _ in range(min(wanted))]

    def infer(self, frames: Sequence[Frame]) -> list[Prediction]:
        width = len(self.lanes)
        return [p for i in range(0, len(frames), width) for p in self._together(frames[i : i + width])]

    def _together(self, frames: Sequence[Frame]) -> list[Prediction]:
        lanes = self.lanes[: len(frames)]
        try:
            for lane, frame in zip(lanes, frames, strict=True):
                lane.start(frame)
            for lane in lanes:
                lane.proceed()
            return [lane.finish() for lane in lanes]
        except RuntimeError as error:
            # A request that still computes would refuse the next frame.
            for lane in lanes:
                lane.settle()
            raise InferenceError(f"OpenVINO failed on a frame: {_first_line(error)}") from None


class _Lane:
    """One frame's way through both models; the flow's inputs are the backbone's output buffers."""

    def __init__(self, backbone: Any, flow: Any, features: Sequence[str]) -> None:
        self._backbone = backbone.create_infer_request()
        self._flow = flow.create_infer_request()
        for name in features:
            self._flow.set_tensor(name, self._backbone.get_tensor(name))

    def start(self, frame: Frame) -> None:
        """Begin the backbone; OpenVINO reads the frame where it lies, if it lies in one piece."""
        self._backbone.start_async({"frame": np.ascontiguousarray(frame.image)[None]}, share_inputs=True)

    def proceed(self) -> None:
        """Wait for the backbone and begin the flow."""
        self._backbone.wait()
        self._flow.start_async()

    def finish(self) -> Prediction:
        """Wait for the flow; what it wrote is copied, for the next frame overwrites it."""
        self._flow.wait()
        score = float(self._flow.get_tensor("score").data[0])
        return Prediction(score, self._flow.get_tensor("anomaly_map").data[0].astype(np.float32, copy=True))

    def settle(self) -> None:
        """Wait for whatever still computes, and forget what it says."""
        for request in (self._backbone, self._flow):
            with contextlib.suppress(RuntimeError):
                request.wait()


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


def _median_seconds(pipeline: _Pipeline, frame: Frame) -> float:
    frames = [frame] * len(pipeline.lanes)
    pipeline.infer(frames)
    seconds = []
    for _ in range(TIMED_FRAMES):
        start = time.perf_counter()
        pipeline.infer(frames)
        seconds.append(time.perf_counter() - start)
    return sorted(seconds)[TIMED_FRAMES // 2]


def _calibration_or_none(bundle: Bundle) -> Calibration | None:
    # 'csflow calibrate' opens an engine in order to replace a calibration that cannot be read.
    try:
        return load_calibration(bundle)
    except (CalibrationError, BundleError):
        return None


def _first_line(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1].strip()[:200] if lines else type(error).__name__
