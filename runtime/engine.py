"""Engines: a loaded backend for a bundle. A backend's library is imported only when it is opened."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from csflow.runtime.bundle.calibration import Calibration
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.golden import require_golden
from csflow.runtime.engines.tensorrt.library import planned_flavour
from csflow.runtime.errors import BackendUnavailable, ConfigError
from csflow.runtime.options import Option, read_options
from csflow.runtime.types import Frame, Prediction

__all__ = [
    "BACKENDS",
    "VARIANTS",
    "BatchEngine",
    "CameraEngine",
    "Engine",
    "default_backend",
    "load_engine",
    "open_engine",
]

BACKENDS = {
    "openvino": ("csflow.runtime.engines.openvino.engine", "OpenVINOEngine", "openvino"),
    "torch": ("csflow.toolkit.torch_engine", "TorchEngine", "train"),
    "torch-fp16": ("csflow.export.graphs.typed_engine", "TypedTorchEngine", "train"),
    "tensorrt": ("csflow.runtime.engines.tensorrt.engine", "TensorRTEngine", "tensorrt"),
    "tensorrt-rtx": ("csflow.runtime.engines.tensorrt.engine", "TensorRTRTXEngine", "tensorrt-rtx"),
    "fake": ("csflow.runtime.engines.fake", "FakeEngine", ""),
}
"""Backend name: (module, class, extra that installs its library)."""

VARIANTS = ("openvino-fp32", "openvino-bf16", "openvino-int8", "tensorrt-fp32", "tensorrt-rtx-fp32")
"""Backends with a fixed precision; the class takes it as a second argument."""

OPTIONS: dict[str, dict[str, Option]] = {"openvino": {"mode": (str, "throughput"), "threads": (int, "2")}}
"""What may stand after the question mark of a backend's name; the class takes it by name and checks its range."""


@runtime_checkable
class Engine(Protocol):
    """Turns preprocessed frames into predictions. Not thread-safe: one thread calls `infer` at a time."""

    name: str
    """Backend and precision, for example 'openvino-bf16'."""

    def infer(self, frames: Sequence[Frame]) -> list[Prediction]:
        """Predict for frames whose images are (S, S, 3) uint8 RGB, in the same order.

        Raises InferenceError when the backend fails. A score that is not finite is returned as it is.
        """

    def close(self) -> None:
        """Release the backend; the engine cannot be used afterwards. May be called twice."""

    def __enter__(self) -> Engine: ...

    def __exit__(self, *exc: object) -> None: ...


@runtime_checkable
class BatchEngine(Protocol):
    """An engine that computes several frames of one `infer` together; of any other one frame after the other."""

    batch: int
    """How many, at most; 1 is none together."""


@runtime_checkable
class CameraEngine(Protocol):
    """An engine that does `preprocess` on its device for some camera formats, within one grey level of Pillow."""

    def takes(self, image: NDArray[np.uint8]) -> bool:
        """Whether `resize` takes pictures of this shape (H, W, 3)."""

    def resize(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(S, S, 3) uint8 RGB of a picture (H, W, 3) uint8 RGB; raises InferenceError as `Engine.infer` does."""


def default_backend(bundle: Bundle) -> str:
    """What 'auto' means for `bundle`: TensorRT where it has plans for a GPU that is here.

    Whether the other libraries are installed is not asked.
    """
    if flavour := planned_flavour(bundle.path):
        return flavour
    return "openvino" if bundle.has("graphs/fp32/flow.onnx") else "torch"


def open_engine(bundle: Bundle, backend: str = "auto", calibration: Calibration | None = None) -> Engine:
    """Open `backend` for `bundle` and let it score the golden frames: no engine decides unchecked.

    'auto' takes TensorRT where the bundle has plans for the GPU here, else OpenVINO where it has graphs, else the
    trained weights in torch. 'openvino' chooses its precision itself, 'openvino-fp32', 'openvino-bf16' and
    'openvino-int8' fix it. 'tensorrt' and 'tensorrt-rtx' run half-precision plans, with '-fp32' those of float32.
    'torch-fp16' runs the half-precision graphs' modules. Whether the decision gate has passed the engine is not asked
    here: `Detector.open` does.

    Args:
        backend: a name, and options of the backend where it has any: 'openvino?mode=throughput&threads=2'.
        calibration: thresholds; where given, verdicts on the golden frames must not differ either.

    Raises:
        ConfigError: no such backend, or no such option of it.
        BackendUnavailable: its library is not installed; the message names the extra.
        BundleError, BundleCorrupted: the bundle lacks what the backend reads, or it is damaged.
        EngineMismatch: the engine does not agree with the trained model on the golden frames.
    """
    engine = load_engine(bundle, backend)
    try:
        require_golden(engine, bundle, calibration)
    except BaseException:
        engine.close()
        raise
    return engine


def load_engine(bundle: Bundle, backend: str = "auto") -> Engine:
    """Open `backend` without scoring the golden frames, for the decision gate, which does so itself.

    Raises as `open_engine` does, but for EngineMismatch over golden frames.
    """
    name, _, query = backend.partition("?")
    if name == "auto":
        name = default_backend(bundle)
    if name not in BACKENDS and name not in VARIANTS:
        raise ConfigError(f"no backend {name!r}; choose one of: {', '.join(['auto', *BACKENDS, *VARIANTS])}")
    library, _, precision = (name, "", "") if name in BACKENDS else name.rpartition("-")
    options = _options(library, backend, query)
    module, class_name, extra = BACKENDS[library]
    try:
        engine_class = getattr(importlib.import_module(module), class_name)
        arguments = (bundle, precision) if precision else (bundle,)
        return cast(Engine, engine_class(*arguments, **options))
    except ImportError as error:
        raise BackendUnavailable(
            f"backend {name!r} cannot be loaded ({error}); install it with: pip install 'csflow[{extra}]'"
        ) from None


def _options(library: str, backend: str, query: str) -> dict[str, Any]:
    if query and library not in OPTIONS:
        raise ConfigError(
            f"backend {library!r} has no options: leave out what follows the question mark in {backend!r}"
        )
    return read_options(backend, query, OPTIONS.get(library, {}))
