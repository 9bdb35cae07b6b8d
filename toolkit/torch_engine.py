"""The trained model itself as an engine: float32 in torch. What every other engine is compared with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.errors import InferenceError
from csflow.runtime.types import Frame, Prediction
from csflow.toolkit.model import Model

__all__ = ["TorchEngine"]


class TorchEngine:
    """Runs backbone and head from the bundle's weights, on CUDA where there is one."""

    name = "torch-fp32"

    def __init__(self, bundle: Bundle) -> None:
        self._model = Model.load(bundle).to(torch.device("cuda" if torch.cuda.is_available() else "cpu"))

    def infer(self, frames: Sequence[Frame]) -> list[Prediction]:
        """Predict for frames of (S, S, 3) uint8 RGB; raises InferenceError when torch fails."""
        try:
            return self._model.predict(torch.from_numpy(np.stack([frame.image for frame in frames])))
        except RuntimeError as error:
            raise InferenceError(f"torch failed: {str(error).splitlines()[0]}") from None

    def close(self) -> None:
        """Nothing to release that garbage collection does not."""

    def __enter__(self) -> TorchEngine:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
