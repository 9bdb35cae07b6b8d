"""The stages chained on one stream in memory allocated once: what one writes, a later one reads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from csflow.runtime.engines.cuda.session import Session
from csflow.runtime.engines.finite import all_finite, no_score
from csflow.runtime.engines.tensorrt.cuda_graphs import Graphs
from csflow.runtime.engines.tensorrt.plans import Plan, Port
from csflow.runtime.errors import EngineMismatch
from csflow.runtime.types import Prediction

__all__ = ["Pipeline"]

GRAPH_SIZES = 8
"""So many batch sizes get a CUDA graph, the smallest ones: in a larger batch the launches no longer count."""
AGREEMENT = 0.01
"""How far a graph's scores may lie from those of a plain run, as a share; it launches the same kernels."""
REBUILD = "build all again with 'csflow export --fp16'"


class _Features:
    """What one stage gives to later ones. It stays on the GPU, and a copy crosses to be looked at (`all_finite`)."""

    def __init__(self, session: Session, port: Port, most: int) -> None:
        self.port = port
        self.device = session.malloc(most * port.frame_bytes)
        self._session = session
        self._seen = session.host_alloc(most * port.frame_bytes)

    def to_host(self, frames: int) -> None:
        """Enqueue the copy."""
        size = frames * self.port.frame_bytes
        self._session.driver.copy_to_host(self._seen, self.device, size, self._session.stream)

    def finite(self, frame: int) -> bool:
        """Whether one frame's are numbers."""
        size = self.port.frame_bytes
        return all_finite(self._seen.array[frame * size : (frame + 1) * size].view(self.port.dtype))


class Pipeline:
    """Frames in, predictions out. Every method raises DeviceError and needs the session's context to be current."""

    def __init__(self, session: Session, chain: Sequence[Plan], graphs: Graphs) -> None:
        """Allocate and bind the plans, which run in this order.

        Raises:
            EngineMismatch: the plans do not fit each other.
            DeviceError: GPU memory ran out.
        """
        _require_chain(chain)
        self._session, self._graphs, self._chain = session, graphs, tuple(chain)
        self.batch = max(p.batch[0] for p in self._chain), min(p.batch[1] for p in self._chain)
        """Fewest and most frames at a time."""
        if self.batch[0] > self.batch[1]:
            raise EngineMismatch(f"no batch size suits all plans: {REBUILD} and one --batch")
        most, frame = self.batch[1], chain[0].inputs[0]
        self.shape = frame.shape
        """(S, S, 3) of a frame."""
        self._frames = session.stage(most * frame.frame_bytes)
        self._features = [_Features(session, port, most) for plan in chain[:-1] for port in plan.outputs]
        self._results = {port.name: session.stage(most * port.frame_bytes) for port in chain[-1].outputs}
        results = {name: staged.device for name, staged in self._results.items()}
        for plan in chain:
            plan.bind({frame.name: self._frames.device, **{f.port.name: f.device for f in self._features}, **results})
        self._frames_set = 0

    def predict(self, images: Sequence[NDArray[np.uint8]]) -> list[Prediction]:
        """Predictions for up to `batch[1]` frames of (S, S, 3) uint8 RGB."""
        frames, size = max(len(images), self.batch[0]), int(np.prod(self.shape))
        for i, image in enumerate(images):
            self._frames.host.array[i * size : (i + 1) * size].reshape(self.shape)[...] = image
        if not self._graphs.launch(frames):
            self._enqueue(frames)
        self._session.finish()
        return self._predictions(len(images))

    def warm_up(self) -> None:
        """Run every batch size once plainly and once by its graph: nothing is left to be set up on the first frames.

        One context is captured at several sizes, as NVIDIA's Triton does; its documentation advises one context each,
        at the price of memory. So a graph is used only where, after all the others, it gives what the plain run gave.
        """
        fewest, most = self.batch
        plain = {}
        for frames in range(fewest, min(most, fewest + GRAPH_SIZES - 1) + 1):
            plain[frames] = self.predict(_pictures(frames, self.shape))
            self._graphs.capture(frames, partial(self._enqueue, frames))
        for frames, expected in plain.items():
            if not self._graphs.refused and not _agree(self.predict(_pictures(frames, self.shape)), expected):
                self._graphs.refuse(f"the one of {frames} frames gives other scores than a plain run")

    def _set_batch(self, frames: int) -> None:
        if frames == self._frames_set:
            return
        self._frames_set = 0
        for plan in self._chain:
            plan.set_batch(frames)
        self._frames_set = frames

    def _enqueue(self, frames: int) -> None:
        self._set_batch(frames)
        self._frames.to_device(frames * int(np.prod(self.shape)))
        for plan in self._chain:
            plan.enqueue(self._session.stream)
        for name, staged in self._results.items():
            staged.to_host(frames * self._chain[-1].ports[name].frame_bytes)
        for features in self._features:
            features.to_host(frames)

    def _predictions(self, frames: int) -> list[Prediction]:
        scores, maps = (self._result(name, frames) for name in ("score", "anomaly_map"))
        return [
            Prediction(float(score), one.copy()) if all(f.finite(i) for f in self._features) else no_score(one.shape)
            for i, (score, one) in enumerate(zip(scores, maps, strict=True))
        ]

    def _result(self, name: str, frames: int) -> NDArray[np.float32]:
        port = self._chain[-1].ports[name]
        values: NDArray[np.float32] = self._results[name].host.array[: frames * port.frame_bytes].view(np.float32)
        return values.reshape(frames, *port.shape)


def _pictures(count: int, shape: tuple[int, ...]) -> list[NDArray[np.uint8]]:
    """Noise of different brightness, no two alike, not even in batches of different sizes."""
    draw = np.random.default_rng(count)
    return [draw.integers(0, high, shape, np.uint8) for high in draw.integers(2, 256, count)]


def _agree(given: Sequence[Prediction], expected: Sequence[Prediction]) -> bool:
    return all(
        np.allclose(a.score, b.score, AGREEMENT, equal_nan=True)
        and np.allclose(a.anomaly_map, b.anomaly_map, AGREEMENT, equal_nan=True)
        for a, b in zip(given, expected, strict=True)
    )


def _require_chain(chain: Sequence[Plan]) -> None:
    """Raises EngineMismatch unless each stage reads what earlier ones write, and the last gives what csflow reads."""
    first, last = chain[0], chain[-1]
    if [port.dtype for port in first.inputs] != [np.uint8]:
        raise EngineMismatch(f"the {first.name} plan does not take one uint8 frame: {REBUILD}")
    given: dict[str, Port] = {}
    for before, plan in pairwise(chain):
        given |= {port.name: port for port in before.outputs}
        matching = {p.name: given[p.name] for p in plan.inputs if p.name in given}
        if _form(matching.values()) != _form(plan.inputs):
            raise EngineMismatch(
                f"the {before.name} plan gives {_text(given.values())}, the {plan.name} plan takes "
                f"{_text(plan.inputs)}: {REBUILD}"
            )
    results = {port.name: (port.dtype.name, len(port.shape)) for port in last.outputs}
    if results != {"score": ("float32", 0), "anomaly_map": ("float32", 2)}:
        raise EngineMismatch(
            f"the {last.name} plan gives {', '.join(results)} in another form than expected: {REBUILD}"
        )


def _form(ports: Iterable[Port]) -> dict[str, tuple[np.dtype[np.generic], tuple[int, ...]]]:
    return {port.name: (port.dtype, port.shape) for port in ports}


def _text(ports: Iterable[Port]) -> str:
    return ", ".join(f"{port.name} {port.dtype} {port.shape}" for port in ports)
