"""Engines: a loaded backend for a bundle. The protocols; `csflow.runtime.engines.opening` opens one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from csflow.runtime.types import Frame, Prediction

__all__ = ["BatchEngine", "CameraEngine", "DescribedEngine", "Engine", "Layer", "ProfiledEngine"]


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


@runtime_checkable
class DescribedEngine(Protocol):
    """An engine that can say what runs where."""

    def describe(self) -> str:
        """One line for people."""


@dataclass(frozen=True)
class Layer:
    """One operation of a graph as a library runs it."""

    graph: str
    """The stage that it belongs to: backbone, flow."""
    name: str
    """As the library calls it: the node of the graph that it grew out of."""
    kind: str
    """For example 'Convolution', or 'Reorder' where values are brought into another layout."""
    how: str
    """The library's name of its code, with the type that it computes in: 'brgconv_avx512_f32'."""
    seconds: float
    """Median over the frames."""


@runtime_checkable
class ProfiledEngine(Protocol):
    """An engine that can say what each of its operations takes."""

    def profile(self, frame: Frame, rounds: int) -> list[Layer]:
        """Time `frame`, (S, S, 3) uint8 RGB, `rounds` times, in running order; what takes no time is left out.

        Raises InferenceError as `Engine.infer` does.
        """
