"""Crop and resize on the GPU: one plan per camera format, judged by Pillow before it is used."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from csflow.runtime.bundle.manifest import IGNORED_RGB, Preprocessing
from csflow.runtime.engines.cuda.session import Session
from csflow.runtime.engines.tensorrt.plans import Plan
from csflow.runtime.errors import EngineMismatch, SourceError
from csflow.runtime.picture.preprocess import preprocess

__all__ = ["GREY_LEVELS", "Resizer"]

GREY_LEVELS = 1
"""How far the GPU's resize may lie from Pillow's."""


class Resizer:
    """What `preprocess` does, for pictures of one format; raises DeviceError, needs the session's context."""

    def __init__(self, session: Session, plan: Plan, how: Preprocessing) -> None:
        """Allocate and bind; raises EngineMismatch where the plan does not give the model's frames."""
        given, made = plan.inputs[0], plan.outputs[0]
        self._shape, self._side = given.shape, (how.image_size, how.image_size, 3)
        if (given.dtype.name, made.dtype.name, made.shape) != ("uint8", "uint8", self._side):
            raise EngineMismatch(
                f"the {plan.name} plan gives {made.dtype} {made.shape}, the model takes uint8 {self._side}: "
                "build it again with 'csflow export --fp16'"
            )
        self._session, self._plan, self._how = session, plan, how
        frames = plan.batch[0]
        self._pictures = session.stage(frames * given.frame_bytes)
        self._made = session.stage(frames * made.frame_bytes)
        plan.bind({given.name: self._pictures.device, made.name: self._made.device})
        plan.set_batch(frames)

    def __call__(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(S, S, 3) uint8 RGB of a picture (H, W, 3) uint8 RGB."""
        sizes = int(np.prod(self._shape)), int(np.prod(self._side))
        held = self._pictures.host.array[: sizes[0]].reshape(self._shape)
        held[...] = picture
        for left, top, width, height in self._how.ignore:
            held[top : top + height, left : left + width] = IGNORED_RGB
        self._pictures.to_device(sizes[0])
        self._plan.enqueue(self._session.stream)
        self._made.to_host(sizes[1])
        self._session.finish()
        made: NDArray[np.uint8] = self._made.host.array[: sizes[1]].reshape(self._side).copy()
        return made

    def problem(self) -> str:
        """Why it must not be used; empty where it is within `GREY_LEVELS` of Pillow on a picture of noise."""
        picture = np.random.default_rng(0).integers(0, 256, self._shape, np.uint8)
        try:
            expected = preprocess(picture, replace(self._how, window=None, align=None))
        except SourceError as error:
            return str(error)
        levels = int(np.abs(self(picture).astype(np.int16) - expected).max())
        if levels <= GREY_LEVELS:
            return ""
        return f"differs from Pillow's by {levels} grey levels, at most {GREY_LEVELS} expected"
