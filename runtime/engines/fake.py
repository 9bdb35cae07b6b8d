"""A backend without a model, for tests and dry runs: score and map follow from the pixels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from csflow.runtime.bundle import Bundle
from csflow.runtime.types import Frame, Prediction

__all__ = ["FakeEngine"]


class FakeEngine:
    """Score is the mean of the pixels over 255, the map the mean of each 32x32 cell over 255."""

    name = "fake"

    def __init__(self, bundle: Bundle) -> None:
        self.image_size = bundle.manifest.preprocessing.image_size

    def infer(self, frames: Sequence[Frame]) -> list[Prediction]:
        """Predict for (S, S, 3) uint8 frames."""
        return [self._predict(frame) for frame in frames]

    def _predict(self, frame: Frame) -> Prediction:
        cells = self.image_size // 32
        grey = frame.image.astype(np.float32).mean(axis=2) / 255.0
        anomaly_map = grey.reshape(cells, 32, cells, 32).mean(axis=(1, 3))
        return Prediction(float(grey.mean()), anomaly_map.astype(np.float32))

    def close(self) -> None:
        """Nothing to release."""

    def __enter__(self) -> FakeEngine:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
