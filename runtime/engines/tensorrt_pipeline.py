"""Backbone and flow chained on one stream in memory allocated once: what the backbone writes, the flow reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from csflow.runtime.cuda.session import Session, Staged
from csflow.runtime.engines.tensorrt_graphs import Graphs
from csflow.runtime.engines.tensorrt_plans import Plan
from csflow.runtime.errors import EngineMismatch
from csflow.runtime.manifest import IGNORED_RGB
from csflow.runtime.types import Prediction

__all__ = ["Pipeline", "Way"]

REBUILD = "build both again with 'csflow export --fp16'"


@dataclass(frozen=True, eq=False)
class Way:
    """One way into the backbone: frames of its own size, or pictures of a camera that a plan crops and resizes."""

    shape: tuple[int, ...]
    """(H, W, 3) of a picture."""
    pictures: Staged
    resize: Plan | None = None
    ignore: tuple[tuple[int, int, int, int], ...] = ()
    """Rectangles (x, y, width, height) in pixels that are painted over before anything else."""


class Pipeline:
    """Pictures in, predictions out. Every method raises DeviceError and needs the session's context to be current."""

    def __init__(
        self,
        session: Session,
        backbone: Plan,
        flow: Plan,
        resizers: Sequence[Plan],
        graphs: Graphs,
        ignore: tuple[tuple[int, int, int, int], ...] = (),
    ) -> None:
        """Allocate and bind.

        Args:
            ignore: as in `Preprocessing`; painted over on the way to the resizers.

        Raises:
            EngineMismatch: the plans do not fit each other.
            DeviceError: GPU memory ran out.
        """
        _require_chain(backbone, flow, resizers)
        self._session, self._graphs, self._ignore = session, graphs, ignore
        self._chain = (backbone, flow)
        self._plans = (*resizers, *self._chain)
        self.batch = max(p.batch[0] for p in self._plans), min(p.batch[1] for p in self._plans)
        """Fewest and most frames at a time."""
        if self.batch[0] > self.batch[1]:
            raise EngineMismatch(f"no batch size suits all plans: {REBUILD} and one --batch")
        most, frame = self.batch[1], backbone.inputs[0]
        frames = session.stage(most * frame.frame_bytes)
        features = {port.name: session.malloc(most * port.frame_bytes) for port in backbone.outputs}
        self._flow = flow
        self._results = {port.name: session.stage(most * port.frame_bytes) for port in flow.outputs}
        backbone.bind({frame.name: frames.device, **features})
        flow.bind({**features, **{name: staged.device for name, staged in self._results.items()}})
        self.direct = Way(frame.shape, frames)
        self.cameras = {plan.inputs[0].shape: self._camera(plan) for plan in resizers}
        """By the shape (H, W, 3) of their pictures."""
        self._frames_set = 0

    def _camera(self, plan: Plan) -> Way:
        pictures = self._session.stage(self.batch[1] * plan.inputs[0].frame_bytes)
        plan.bind({plan.inputs[0].name: pictures.device, plan.outputs[0].name: self.direct.pictures.device})
        return Way(plan.inputs[0].shape, pictures, plan, self._ignore)

    def predict(self, way: Way, pictures: Sequence[NDArray[np.uint8]]) -> list[Prediction]:
        """Predictions for up to `batch[1]` pictures of (H, W, 3) uint8 RGB."""
        frames = max(len(pictures), self.batch[0])
        self._set_batch(frames)
        self._fill(way, pictures)
        self._graphs.run(way, lambda: self._enqueue(way, frames))
        self._session.finish()
        return self._predictions(len(pictures))

    def resized(self, way: Way, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """What a camera's plan makes of one picture: (S, S, 3) uint8."""
        assert way.resize is not None
        frames = self.batch[0]
        self._set_batch(frames)
        self._fill(way, [picture])
        way.pictures.to_device(frames * way.resize.inputs[0].frame_bytes)
        way.resize.enqueue(self._session.stream)
        size = way.resize.outputs[0].frame_bytes
        self.direct.pictures.to_host(size)
        self._session.finish()
        made: NDArray[np.uint8] = self.direct.pictures.host.array[:size].reshape(self.direct.shape).copy()
        return made

    def _set_batch(self, frames: int) -> None:
        if frames == self._frames_set:
            return
        self._frames_set = 0
        # A graph keeps the shapes that it was captured with.
        self._graphs.drop()
        for plan in self._plans:
            plan.set_batch(frames)
        self._frames_set = frames

    def _fill(self, way: Way, pictures: Sequence[NDArray[np.uint8]]) -> None:
        size = int(np.prod(way.shape))
        for i, picture in enumerate(pictures):
            held = way.pictures.host.array[i * size : (i + 1) * size].reshape(way.shape)
            held[...] = picture
            for left, top, width, height in way.ignore:
                held[top : top + height, left : left + width] = IGNORED_RGB

    def _enqueue(self, way: Way, frames: int) -> None:
        stream = self._session.stream
        way.pictures.to_device(frames * int(np.prod(way.shape)))
        for plan in (way.resize, *self._chain):
            if plan is not None:
                plan.enqueue(stream)
        for name, staged in self._results.items():
            staged.to_host(frames * self._flow.ports[name].frame_bytes)

    def _predictions(self, frames: int) -> list[Prediction]:
        scores, maps = (self._result(name, frames) for name in ("score", "anomaly_map"))
        return [Prediction(float(score), one.copy()) for score, one in zip(scores, maps, strict=True)]

    def _result(self, name: str, frames: int) -> NDArray[np.float32]:
        port = self._flow.ports[name]
        values: NDArray[np.float32] = self._results[name].host.array[: frames * port.frame_bytes].view(np.float32)
        return values.reshape(frames, *port.shape)


def _require_chain(backbone: Plan, flow: Plan, resizers: Sequence[Plan]) -> None:
    """Raises EngineMismatch unless the flow reads exactly what the backbone writes, and gives what csflow reads."""
    given = {port.name: (port.dtype, port.shape) for port in backbone.outputs}
    taken = {port.name: (port.dtype, port.shape) for port in flow.inputs}
    if given != taken:
        raise EngineMismatch(f"the backbone plan gives {_text(given)}, the flow plan takes {_text(taken)}: {REBUILD}")
    results = {port.name: (port.dtype.name, len(port.shape)) for port in flow.outputs}
    if results != {"score": ("float32", 0), "anomaly_map": ("float32", 2)}:
        raise EngineMismatch(f"the flow plan gives {', '.join(results)} in another form than expected: {REBUILD}")
    frames = [[(port.dtype, port.shape) for port in plan.outputs] for plan in resizers]
    wanted = [(port.dtype, port.shape) for port in backbone.inputs]
    if any(each != wanted for each in frames) or len(wanted) != 1 or wanted[0][0] != np.uint8:
        raise EngineMismatch(f"the plans do not hand over one uint8 frame: {REBUILD}")


def _text(ports: Mapping[str, tuple[np.dtype[np.generic], tuple[int, ...]]]) -> str:
    return ", ".join(f"{name} {dtype} {shape}" for name, (dtype, shape) in ports.items())
