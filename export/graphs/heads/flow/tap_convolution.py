"""Convolution of an enlarged map, computed at the small size: exact, and a quarter of the multiplications."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["TapConvolution", "tap_matrices"]


def tap_matrices(side: int, kernel: int) -> Tensor:
    """(kernel, 2·side, side) float64: along one axis, enlarge twice and shift by each tap of the kernel.

    Row o of matrix t gives position o + t - kernel//2 of the bilinearly enlarged line (align_corners=False), and
    zeros where that lies outside, as the convolution's padding does.
    """
    line = torch.eye(side, dtype=torch.float64)[:, None]
    enlarged = functional.interpolate(line, scale_factor=2.0, mode="linear", align_corners=False)[:, 0].T
    padded = functional.pad(enlarged, (0, 0, kernel // 2, kernel // 2))
    return torch.stack([padded[t : t + 2 * side] for t in range(kernel)])


class TapConvolution(nn.Module):
    """Equal to `UpConvolution`, for maps of one known size.

    A convolution is a sum over its k² taps of a 1x1 convolution and a shift. The 1x1 convolutions commute with the
    enlargement, which works on each channel alone: they run at the small size, as one
    convolution with k² as many outputs. Enlargement and shift together are a small matrix along each axis, whose
    entries 0, ¼, ¾, 1 every floating-point type holds exactly.
    """

    def __init__(self, convolution: nn.Conv2d, side: int) -> None:
        super().__init__()
        weight = convolution.weight
        self.outputs, inputs = weight.shape[:2]
        self.kernel, self.side = int(convolution.kernel_size[0]), side
        # Output channels in the order (output, tap along x, tap along y): then rows and y taps are neighbours.
        taps = weight.permute(0, 3, 2, 1).reshape(-1, inputs, 1, 1).contiguous()
        self.weight = nn.Parameter(taps, requires_grad=False)
        self.bias = convolution.bias
        matrices = tap_matrices(side, self.kernel).to(weight)
        self.register_buffer("rows", matrices.permute(1, 0, 2).reshape(2 * side, -1).contiguous())
        self.register_buffer("columns", matrices.permute(0, 2, 1).reshape(-1, 2 * side).contiguous())

    def forward(self, h: Tensor) -> Tensor:
        """Map (N, hidden, side, side) to (N, outputs, 2·side, 2·side)."""
        k, n = self.kernel, self.side
        taps = functional.conv2d(h, self.weight).reshape(-1, self.outputs, k, k * n, n)
        tall = torch.matmul(self.get_buffer("rows"), taps)
        wide = tall.transpose(2, 3).reshape(-1, self.outputs, 2 * n, k * n)
        y = torch.matmul(wide, self.get_buffer("columns"))
        return y if self.bias is None else y + self.bias[:, None, None]
