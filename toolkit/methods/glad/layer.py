"""The fit of one feature map's mixture: samples, Gaussians, weights of positions; kept in a file when it is done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from torch import Tensor

from csflow.runtime.errors import ConfigError
from csflow.toolkit.methods.glad.config import GladTraining
from csflow.toolkit.methods.glad.head import NEVER, LayerMixture
from csflow.toolkit.methods.glad.local import local_weights
from csflow.toolkit.methods.glad.mixture import Gaussians, fit_mixture
from csflow.toolkit.methods.unfinished import require_fingerprint
from csflow.toolkit.tensor_file import save_tensors

__all__ = ["LayerFit", "OnStep"]

STILL = 1e-6
"""A channel whose standard deviation is smaller never varied: rounding shall not become an anomaly."""
OnStep = Callable[[int, float], None]
"""Takes the number of steps done and the last loss."""


@dataclass(frozen=True)
class LayerFit:
    """One feature map (N, C, h, w) of good parts, and how its mixture is fitted."""

    array: NDArray[np.float32]
    mean: Tensor
    """(C,), over pictures and positions."""
    variance: Tensor
    """(C,), likewise."""
    components: int
    training: GladTraining
    device: torch.device
    counted: Tensor
    """(h, w): 1 where a position counts."""

    def kept_in(self, file: Path, fingerprint: str, on_step: OnStep) -> LayerMixture:
        """The mixture in `file`, or a new one, then written there, on the CPU.

        Args:
            fingerprint: of this training.
            on_step: called with the number of steps done, at last of passes + 1, and the loss.

        Raises ConfigError where the file is damaged or of another training, SinkError where it cannot be written.
        """
        found = _read(file, fingerprint)
        if found is None:
            found = self.fitted(on_step)
            save_tensors(file, found, {"fingerprint": fingerprint})
        on_step(self.training.passes + 1, float(found["loss"]))
        mixture = LayerMixture(len(found["peaks"]), *self.array.shape[1:])
        mixture.load_state_dict({name: tensor for name, tensor in found.items() if name != "loss"})
        return mixture

    def fitted(self, on_step: OnStep) -> dict[str, Tensor]:
        """The state of a `LayerMixture`, and 'loss': -log (w_k N_k) per dimension of the samples, in the last pass."""
        loss = 0.0

        def on_pass(done: int, last: float) -> None:
            nonlocal loss
            loss = last
            on_step(done, last)

        gaussians = fit_mixture(self.standardised(self.samples()), self.components, self.training, on_pass)
        weights = local_weights(self.array, lambda x: self.standardised(x.transpose(1, 2)), gaussians)
        return self._state(gaussians, weights, loss)

    def standardised(self, vectors: Tensor) -> Tensor:
        """(..., C) in units of each channel's spread, on the device."""
        return (vectors.to(self.device) - self.mean.float().to(self.device)) / self._scale().to(self.device)

    def samples(self) -> Tensor:
        """(n, C): as many vectors of every row, at positions drawn without replacement."""
        count, channels = self.array.shape[:2]
        counted = np.flatnonzero(self.counted.numpy())
        each = max(1, min(len(counted), self.training.samples // count))
        draw = np.random.default_rng(self.training.seed)
        places = [counted[draw.permutation(len(counted))[:each]] for _ in range(count)]
        parts = [row.reshape(channels, -1)[:, some].T for row, some in zip(self.array, places, strict=True)]
        return torch.from_numpy(np.ascontiguousarray(np.concatenate(parts)))

    def _scale(self) -> Tensor:
        deviation = self.variance.sqrt()
        return torch.where(deviation > STILL, deviation, torch.ones_like(deviation)).float()

    def _state(self, gaussians: Gaussians, weights: Tensor, loss: float) -> dict[str, Tensor]:
        state = {
            "mean": self.mean.float()[:, None, None],
            "scale": self._scale()[:, None, None],
            "matrix": gaussians.matrix.flatten(0, 1)[:, :, None, None],
            "offset": gaussians.offset.flatten(),
            "log_weights": weights.log().clamp(min=NEVER),
            "peaks": gaussians.peaks,
            "loss": torch.tensor(loss),
        }
        return {name: tensor.cpu().contiguous() for name, tensor in state.items()}


def _read(file: Path, fingerprint: str) -> dict[str, Tensor] | None:
    if not file.is_file():
        return None
    try:
        with safe_open(file, framework="pt") as opened:
            require_fingerprint(file, opened.metadata() or {}, fingerprint)
            return {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - no mapping
    except (SafetensorError, OSError):
        raise ConfigError(f"{file} is damaged, or cannot be read: start over with --fresh") from None
