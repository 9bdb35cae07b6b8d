"""TensorRT on an NVIDIA GPU: two plans chained on the device, fed and read by one stream."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from csflow.runtime.bundle import Bundle
from csflow.runtime.cuda import open_driver
from csflow.runtime.cuda.api import CudaDriver, DeviceError
from csflow.runtime.cuda.session import Session
from csflow.runtime.engines.tensorrt_graphs import Graphs
from csflow.runtime.engines.tensorrt_pipeline import Pipeline, Way
from csflow.runtime.engines.tensorrt_plans import Loader, Plan
from csflow.runtime.errors import BackendUnavailable, EngineError, InferenceError, SourceError
from csflow.runtime.plan_record import GRAPHS, graph_names, plan_path
from csflow.runtime.preprocess import preprocess
from csflow.runtime.tensorrt_library import Library, load_library
from csflow.runtime.types import Frame, Prediction

__all__ = ["TensorRTEngine", "TensorRTRTXEngine"]

GREY_LEVELS = 1
"""How far the device's resize may lie from Pillow's."""
OWN_GRAPHS = "TensorRT for RTX makes them itself"


class TensorRTEngine:
    """Backbone and flow of a bundle by full TensorRT.

    Threads may take turns; calls wait for each other. A failure of the GPU is final: from then on every call raises
    InferenceError with the first reason, and a new engine must be opened.
    """

    flavour = "tensorrt"

    def __init__(self, bundle: Bundle, precision: str = "fp16", driver: CudaDriver | None = None) -> None:
        """Load the plans, allocate, and run once, so that nothing is left to be set up on the first frame.

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
            for name in graph_names(bundle, precision):
                if name in GRAPHS or plan_path(bundle.path, library.flavour, precision, name).exists():
                    plans[name] = loader.load(name)
                    owned.append(plans[name])
            self._graphs = Graphs(self._session, OWN_GRAPHS if "own-graphs" in library.capabilities else "")
            owned.append(self._graphs)
            resizers = [plan for name, plan in plans.items() if name not in GRAPHS]
            ignore = bundle.manifest.preprocessing.ignore
            self._pipeline = Pipeline(self._session, plans["backbone"], plans["flow"], resizers, self._graphs, ignore)
            self._rehearse(bundle)

    def _rehearse(self, bundle: Bundle) -> None:
        """Judge each camera's resize by Pillow's, and run every way twice: plainly, then as a graph."""
        for shape, way in list(self._pipeline.cameras.items()):
            if problem := self._resize_problem(bundle, way):
                del self._pipeline.cameras[shape]
                self.host_resize[f"{shape[1]}x{shape[0]}"] = problem
        for way in (*self._pipeline.cameras.values(), self._pipeline.direct):
            for _ in range(2):
                self._pipeline.predict(way, [np.zeros(way.shape, np.uint8)])

    def _resize_problem(self, bundle: Bundle, way: Way) -> str:
        picture = np.random.default_rng(0).integers(0, 256, way.shape, np.uint8)
        try:
            expected = preprocess(picture, bundle.manifest.preprocessing)
        except SourceError as error:
            return str(error)
        levels = int(np.abs(self._pipeline.resized(way, picture).astype(np.int16) - expected).max())
        if levels <= GREY_LEVELS:
            return ""
        return f"differs from Pillow's by {levels} grey levels, at most {GREY_LEVELS} expected"

    def infer(self, frames: Sequence[Frame]) -> list[Prediction]:
        """Predict for frames of (S, S, 3) uint8 RGB, as many at a time as the plans take.

        Raises InferenceError after a failure of the GPU, for ever after it, and after `close`.
        """
        return self._infer(frames, None)

    def takes(self, image: NDArray[np.uint8]) -> bool:
        """Whether `infer_camera` crops and resizes such a picture on the GPU.

        Pictures of the size of the model's own frames are none of a camera: nothing would tell the two apart.
        """
        known = self._pipeline.cameras.keys() - {self._pipeline.direct.shape}
        return image.dtype == np.uint8 and not self.failure and image.shape in known

    def infer_camera(self, frames: Sequence[Frame]) -> list[Prediction]:
        """Predict for pictures as the camera gives them, all of one format that the engine `takes`; as `infer`."""
        return self._infer(frames, frames[0].image.shape if frames else None)

    def _infer(self, frames: Sequence[Frame], camera: tuple[int, ...] | None) -> list[Prediction]:
        with self._lock:
            self._require_usable()
            way = self._pipeline.direct if camera is None else self._pipeline.cameras[camera]
            for frame in frames:
                if frame.image.shape != way.shape or frame.image.dtype != np.uint8:
                    got = f"{frame.image.shape} {frame.image.dtype}"
                    raise InferenceError(f"expected frames {way.shape} uint8, got {got}: report it")
            most, images = self._pipeline.batch[1], [frame.image for frame in frames]
            predictions: list[Prediction] = []
            with self._translated("failed", InferenceError), self._session.current():
                for start in range(0, len(images), most):
                    predictions += self._pipeline.predict(way, images[start : start + most])
            return predictions

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
        parts += [f"{shape[1]}x{shape[0]} resized on the GPU" for shape in self._pipeline.cameras]
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


def _close_last_first(owned: Sequence[Loader | Plan | Graphs]) -> None:
    for each in reversed(owned):
        each.close()
