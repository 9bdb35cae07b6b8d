"""A backend without a model, for tests and dry runs: score and map follow from the pixels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.types import Frame, Prediction

__all__ = ["FakeEngine"]


class FakeEngine:
    """Score is the mean of the pixels over 255, the map the mean of each 32x32 cell over 255.

    Both are exact sums, rounded once to float32: libcsflow's fake gives the same to the last bit.
    """

    name = "fake"

    def __init__(self, bundle: Bundle) -> None:
        self.image_size = bundle.manifest.preprocessing.image_size

    def infer(self, frames: Sequence[Frame]) -> list[Prediction]:
        """Predict for (S, S, 3) uint8 frames."""
        return [self._predict(frame) for frame in frames]

    def _predict(self, frame: Frame) -> Prediction:
        cells = self.image_size // 32
        sums = frame.image.reshape(cells, 32, cells, 32 * 3).sum(axis=(1, 3), dtype=np.int64)
        score = np.float32(sums.sum() / (frame.image.size * 255))
        return Prediction(float(score), (sums / (32 * 32 * 3 * 255)).astype(np.float32))

    def close(self) -> None:
        """Nothing to release."""

    def __enter__(self) -> FakeEngine:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
