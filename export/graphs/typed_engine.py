"""The folded modules in half precision, run by torch: what the graphs of graphs/fp16 compute, without an exporter.

It shows on a machine without TensorRT what half precision does to scores and verdicts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from csflow.export.graphs.methods import model_graphs
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.errors import InferenceError
from csflow.runtime.types import Frame, Prediction
from csflow.toolkit.model import Model

__all__ = ["TypedTorchEngine"]


class TypedTorchEngine:
    """Runs the typed graphs made from the bundle's weights, on CUDA where there is one."""

    name = "torch-fp16"

    def __init__(self, bundle: Bundle) -> None:
        """Fold and type the trained model; raises BundleError or BundleCorrupted when weights are missing or wrong."""
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._graphs = model_graphs(Model.load(bundle), "fp16")
        for graph in self._graphs:
            graph.module.to(self._device)

    @torch.inference_mode()
    def infer(self, frames: Sequence[Frame]) -> list[Prediction]:
        """Predict for frames of (S, S, 3) uint8 RGB; raises InferenceError when torch fails."""
        batch = torch.from_numpy(np.stack([frame.image for frame in frames])).to(self._device)
        try:
            scores, maps = self._judged(batch)
        except RuntimeError as error:
            raise InferenceError(f"torch failed: {str(error).splitlines()[0]}") from None
        pictures = maps.cpu().numpy()
        return [Prediction(float(s), np.ascontiguousarray(m)) for s, m in zip(scores.cpu(), pictures, strict=True)]

    def _judged(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        values = {"frame": batch}
        for graph in self._graphs:
            given = graph.module(*(values[name] for name in graph.inputs))
            values |= zip(graph.outputs, given, strict=True)
        return values["score"], values["anomaly_map"]

    def close(self) -> None:
        """Nothing to release that garbage collection does not."""

    def __enter__(self) -> TypedTorchEngine:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
