"""The trained model itself as an engine: float32 in torch. What every other engine is compared with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.errors import InferenceError
from csflow.runtime.types import Frame, Prediction
from csflow.toolkit.backbones.efficientnet import Backbone
from csflow.toolkit.methods.flow.flow import CrossScaleFlow, anomaly_map, score
from csflow.toolkit.model import load_model

__all__ = ["TorchEngine", "predict"]


class TorchEngine:
    """Runs backbone and flow from the bundle's weights, on CUDA where there is one."""

    name = "torch-fp32"

    def __init__(self, bundle: Bundle) -> None:
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        backbone, flow, _ = load_model(bundle)
        self._map = bundle.manifest.definitions.anomaly_map
        self._backbone = backbone.to(self._device)
        self._flow = flow.to(self._device)

    def infer(self, frames: Sequence[Frame]) -> list[Prediction]:
        """Predict for frames of (S, S, 3) uint8 RGB; raises InferenceError when torch fails."""
        batch = torch.from_numpy(np.stack([frame.image for frame in frames])).to(self._device)
        try:
            return predict(self._backbone, self._flow, batch, self._map)
        except RuntimeError as error:
            raise InferenceError(f"torch failed: {str(error).splitlines()[0]}") from None

    def close(self) -> None:
        """Nothing to release that garbage collection does not."""

    def __enter__(self) -> TorchEngine:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


@torch.inference_mode()
def predict(
    backbone: Backbone, flow: CrossScaleFlow, batch: torch.Tensor, definition: str = "scale0-mean-z2"
) -> list[Prediction]:
    """Predictions for frames (N, S, S, 3) uint8 RGB on the modules' device; `definition` is that of the map."""
    z, _ = flow(backbone(batch))
    scores, maps = score(z).double().cpu(), anomaly_map(z, definition).cpu().numpy()
    return [Prediction(float(s), np.ascontiguousarray(m)) for s, m in zip(scores, maps, strict=True)]
