"""The cross-scale coupling block: two affine half-couplings whose sub-networks exchange between neighbouring scales.

Features travel as a tuple with one tensor per scale, finest first: (N, C, h, w), (N, C, h/2, w/2), ...
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from csflow.toolkit.backbones.backbone import Features
from csflow.toolkit.methods.ignored import masked

__all__ = ["CouplingBlock", "CrossScaleNet", "reference_permutations", "soft_clamp"]

CLIP = 1e6


def soft_clamp(s: Tensor, alpha: float) -> Tensor:
    """L(s) = alpha · 0.636 · atan(s / alpha): the log-factor of a coupling, within ± 0.999 alpha.

    The constant is the reference code's 0.636, not the 2/π of the paper's soft clamping.
    """
    return alpha * 0.636 * torch.atan(s / alpha)


def reference_permutations(block: int, channels: int, scales: int) -> list[np.ndarray]:
    """The channel permutations of one block, as the reference code draws them.

    `numpy.random.seed(block)`, then one `permutation(channels)` per scale; NumPy freezes the stream of RandomState.
    """
    generator = np.random.RandomState(block)
    return [generator.permutation(channels) for _ in range(scales)]


class CrossScaleNet(nn.Module):
    """The sub-network of a half-coupling (reference `CrossConvolutions`).

    h_i = LeakyReLU(enter_i(x_i));  o_i = leave_i(h_i) + down_{i-1}(h_{i-1}) + up_i(up2(h_{i+1}));  r_i = gamma_i · o_i.
    `down` has stride 2; `up2` is bilinear, align_corners=False. gamma starts at 0: a fresh block is the identity
    up to its permutation.
    """

    def __init__(self, inputs: int, outputs: int, hidden: int, kernel: int, scales: int, slope: float) -> None:
        super().__init__()

        def convolutions(count: int, fan_in: int, fan_out: int, stride: int = 1) -> nn.ModuleList:
            return nn.ModuleList(nn.Conv2d(fan_in, fan_out, kernel, stride, kernel // 2) for _ in range(count))

        self.enter = convolutions(scales, inputs, hidden)
        self.leave = convolutions(scales, hidden, outputs)
        self.down = convolutions(scales - 1, hidden, outputs, stride=2)
        self.up = convolutions(scales - 1, hidden, outputs)
        self.gamma = nn.Parameter(torch.zeros(scales))
        self.slope = slope

    def forward(self, x: Features) -> Features:
        """Map (N, inputs, h_i, w_i) to (N, outputs, h_i, w_i) for every scale i."""
        h = [functional.leaky_relu(enter(x_i), self.slope) for enter, x_i in zip(self.enter, x, strict=True)]
        r = []
        for i, leave in enumerate(self.leave):
            o = leave(h[i])
            if i > 0:
                o = o + self.down[i - 1](h[i - 1])
            if i + 1 < len(h):
                finer = functional.interpolate(h[i + 1], scale_factor=2.0, mode="bilinear", align_corners=False)
                o = o + self.up[i](finer)
            # Under autocast o is bfloat16; from here on the flow's own precision counts.
            r.append(self.gamma[i] * o.to(self.gamma.dtype))
        return tuple(r)


class CouplingBlock(nn.Module):
    """Permute channels, then two affine half-couplings, the first half from the second and vice versa.

    With halves a, c of the permuted input (in the order of the reference code):
    (s, t) = net2(c), a' = exp(L(s)) a + t;  (s, t) = net1(a'), c' = exp(L(s)) c + t;  u = clip(a' ‖ c', ±1e6).
    """

    def __init__(
        self, channels: int, hidden: int, kernel: int, scales: int, clamp: float, slope: float, index: int
    ) -> None:
        super().__init__()
        half = channels // 2
        self.net1 = CrossScaleNet(half, 2 * half, hidden, kernel, scales, slope)
        self.net2 = CrossScaleNet(half, 2 * half, hidden, kernel, scales, slope)
        self.clamp = clamp
        self.scales = scales
        for i, permutation in enumerate(reference_permutations(index, channels, scales)):
            self.register_buffer(f"permutation{i}", torch.from_numpy(permutation.astype(np.int64)))

    def permutation(self, scale: int) -> Tensor:
        """(C,) int64: output channel j of the permutation takes input channel permutation[j]."""
        buffer: Tensor = self.get_buffer(f"permutation{scale}")
        return buffer

    def forward(self, u: Features, kept: Sequence[Tensor] = ()) -> tuple[Features, Tensor]:
        """Returns the transformed features and log|det J| of shape (N,).

        log|det J| counts the couplings; the permutation and, where it acts, the clip add nothing to it.

        Args:
            kept: masks (h_i, w_i) of the positions that count; empty where all do. The others hold 0, before and after:
                to a convolution they are what lies outside of the picture.
        """
        a, c = self._split(tuple(torch.index_select(u_i, 1, self.permutation(i)) for i, u_i in enumerate(u)))
        a, log_det_a = self._couple(a, masked(self.net2(c), kept))
        c, log_det_c = self._couple(c, masked(self.net1(a), kept))
        joined = tuple(torch.cat(pair, dim=1).clamp(-CLIP, CLIP) for pair in zip(a, c, strict=True))
        return joined, log_det_a + log_det_c

    def inverse(self, u: Features, kept: Sequence[Tensor] = ()) -> Features:
        """The features that `forward` maps to `u`, where no clip acted."""
        a, c = self._split(u)
        c = self._uncouple(c, masked(self.net1(a), kept))
        a = self._uncouple(a, masked(self.net2(c), kept))
        joined = [torch.cat(pair, dim=1) for pair in zip(a, c, strict=True)]
        back = [torch.argsort(self.permutation(i)) for i in range(self.scales)]
        return tuple(torch.index_select(x, 1, index) for x, index in zip(joined, back, strict=True))

    @staticmethod
    def _split(x: Features) -> tuple[Features, Features]:
        halves = [x_i.chunk(2, dim=1) for x_i in x]
        return tuple(first for first, _ in halves), tuple(second for _, second in halves)

    def _couple(self, x: Features, r: Features) -> tuple[Features, Tensor]:
        s, t = self._split(r)
        log_factor = [soft_clamp(s_i, self.clamp) for s_i in s]
        y = tuple(torch.exp(f) * x_i + t_i for f, x_i, t_i in zip(log_factor, x, t, strict=True))
        return y, torch.stack([f.flatten(1).sum(dim=1) for f in log_factor]).sum(dim=0)

    def _uncouple(self, y: Features, r: Features) -> Features:
        s, t = self._split(r)
        shrink = [torch.exp(-soft_clamp(s_i, self.clamp)) for s_i in s]
        return tuple((y_i - t_i) * f_i for y_i, t_i, f_i in zip(y, t, shrink, strict=True))
