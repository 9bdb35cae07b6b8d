"""TensorRT on an NVIDIA GPU: the plans of a bundle chained on the device, fed and read by one stream."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.engines.cuda import open_driver
from csflow.runtime.engines.cuda.api import CudaDriver, DeviceError
from csflow.runtime.engines.cuda.session import Session
from csflow.runtime.engines.tensorrt.cuda_graphs import Graphs
from csflow.runtime.engines.tensorrt.library import Library, load_library
from csflow.runtime.engines.tensorrt.pipeline import Pipeline
from csflow.runtime.engines.tensorrt.plan_record import graph_names, plan_path
from csflow.runtime.engines.tensorrt.plans import Loader, Plan
from csflow.runtime.engines.tensorrt.resize import Resizer
from csflow.runtime.errors import BackendUnavailable, EngineError, InferenceError
from csflow.runtime.types import Frame, Prediction

__all__ = ["TensorRTEngine", "TensorRTRTXEngine"]

OWN_GRAPHS = "TensorRT for RTX makes them itself"


class TensorRTEngine:
    """The stages of a bundle by full TensorRT.

    Threads may take turns; calls wait for each other. A failure of the GPU is final: from then on every call raises
    InferenceError with the first reason, and a new engine must be opened.
    """

    flavour = "tensorrt"

    def __init__(self, bundle: Bundle, precision: str = "fp16", driver: CudaDriver | None = None) -> None:
        """Load the plans, allocate, and run every batch size, so that nothing is left to be set up on the first frame.

        Args:
            precision: of the plans, 'fp16' or 'fp32'.
            driver: a started one; None opens cuda-bindings or pycuda.

        Raises:
            BackendUnavailable: no TensorRT, no CUDA library, or no GPU.
            BundleError: the bundle has no graphs of that precision.
            EngineMismatch: the plans are not for this machine or these graphs.
            EngineError: a plan is missing or damaged, or GPU memory ran out.
        """
        self.name = f"{self.flavour}-{precision}"
        self.failure = ""
        """Why it gives no predictions any more; empty while it does."""
        self.host_resize: dict[str, str] = {}
        """Camera formats that have a graph and are resized by the processor all the same, and why."""
        self._cameras: dict[tuple[int, ...], Resizer] = {}
        self._lock = threading.Lock()
        # This initialises CUDA, without which TensorRT crashes.
        library = load_library(self.flavour)
        if library.device is None:
            raise BackendUnavailable(
                f"{library.title} runs on an NVIDIA GPU and there is none here: use --backend openvino"
            )
        self._driver = driver or open_driver()
        self._where = f"{library.device.name} ({library.device.compute_capability}), {library.title}"
        self._closing = contextlib.ExitStack()
        try:
            with self._translated("cannot be opened", EngineError):
                self._open(library, bundle, precision)
        except BaseException:
            self._closing.close()
            raise

    def _open(self, library: Library, bundle: Bundle, precision: str) -> None:
        self._session = Session(self._driver)
        owned: list[Loader | Plan | Graphs] = []
        self._closing.callback(self._session.close, lambda: _close_last_first(owned))
        with self._session.current():
            loader = Loader(library, bundle, precision)
            self._messages = loader.messages
            owned.append(loader)
            plans: dict[str, Plan] = {}
            stages = bundle.manifest.graphs
            for name in graph_names(bundle, precision):
                if name in stages or plan_path(bundle.path, library.flavour, precision, name).exists():
                    plans[name] = loader.load(name)
                    owned.append(plans[name])
            self._graphs = Graphs(self._session, OWN_GRAPHS if "own-graphs" in library.capabilities else "")
            owned.append(self._graphs)
            self._pipeline = Pipeline(self._session, [plans[name] for name in stages], self._graphs)
            for plan in (plan for name, plan in plans.items() if name not in stages):
                self._add_camera(plan, Resizer(self._session, plan, bundle.manifest.preprocessing))
            self._pipeline.warm_up()
            self.batch = self._pipeline.batch[1]
            """Frames computed together, at most."""

    def _add_camera(self, plan: Plan, resizer: Resizer) -> None:
        height, width, _ = plan.inputs[0].shape
        if problem := resizer.problem():
            self.host_resize[f"{width}x{height}"] = problem
        else:
            self._cameras[height, width, 3] = resizer

    def infer(self, frames: Sequence[Frame]) -> list[Prediction]:
        """Predict for frames of (S, S, 3) uint8 RGB, as many at a time as the plans take.

        Raises InferenceError after a failure of the GPU, for ever after it, and after `close`.
        """
        with self._lock:
            self._require_usable()
            for frame in frames:
                _require(frame.image, self._pipeline.shape)
            most, images = self._pipeline.batch[1], [frame.image for frame in frames]
            predictions: list[Prediction] = []
            with self._translated("failed", InferenceError), self._session.current():
                for start in range(0, len(images), most):
                    predictions += self._pipeline.predict(images[start : start + most])
            return predictions

    def takes(self, image: NDArray[np.uint8]) -> bool:
        """Whether `resize` takes pictures of this format."""
        return image.dtype == np.uint8 and not self.failure and image.shape in self._cameras

    def resize(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """`preprocess` on the GPU, within one grey level: (S, S, 3) uint8 RGB; raises InferenceError as `infer`."""
        with self._lock:
            self._require_usable()
            with self._translated("failed", InferenceError), self._session.current():
                return self._cameras[image.shape](image)

    def _require_usable(self) -> None:
        if self.failure:
            raise InferenceError(self.failure)

    @contextlib.contextmanager
    def _translated(self, what: str, kind: type[EngineError]) -> Iterator[None]:
        try:
            yield
        except DeviceError as error:
            said = getattr(self, "_messages", None)
            reasons = f"; TensorRT: {said.reasons()}" if said is not None and said.errors else ""
            self.failure = f"engine {self.name} {what} ({error}{reasons}): {error.step}"
            raise kind(self.failure) from None

    def describe(self) -> str:
        """What runs where, in one line."""
        copies = "shared memory" if self._session.mapped else "pinned copies"
        graphs = f"no CUDA graphs: {self._graphs.refused}" if self._graphs.refused else "CUDA graphs"
        parts = [f"{self.name} on {self._where}", self._driver.name, copies, graphs]
        parts += [f"{shape[1]}x{shape[0]} resized on the GPU" for shape in self._cameras]
        parts += [f"{size} resized by the processor: {why}" for size, why in self.host_resize.items()]
        return ", ".join(parts)

    def close(self) -> None:
        """Destroy contexts, engines and runtime in this order and free the memory. May be called twice."""
        with self._lock:
            self.failure = self.failure or "the engine is closed"
            self._closing.close()

    def __enter__(self) -> TensorRTEngine:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class TensorRTRTXEngine(TensorRTEngine):
    """The same by TensorRT for RTX."""

    flavour = "tensorrt-rtx"


def _require(image: NDArray[np.uint8], shape: tuple[int, ...]) -> None:
    if image.shape != shape or image.dtype != np.uint8:
        raise InferenceError(f"expected frames {shape} uint8, got {image.shape} {image.dtype}: report it")


def _close_last_first(owned: Sequence[Loader | Plan | Graphs]) -> None:
    for each in reversed(owned):
        each.close()
