"""A batch norm folded into the convolution before it: exact, in float64."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["into_convolution", "set_convolution"]


def into_convolution(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    """The batch norm after a convolution into its weights and bias; the norm itself is left as it is."""
    # Padding lies before the convolution, so a factor and an offset after it never see the border.
    mean, variance = norm.get_buffer("running_mean").double(), norm.get_buffer("running_var").double()
    factor = norm.weight.double() / torch.sqrt(variance + norm.eps)
    bias = torch.zeros_like(mean) if conv.bias is None else conv.bias.double()
    set_convolution(
        conv, conv.weight.double() * factor[:, None, None, None], norm.bias.double() + (bias - mean) * factor
    )


def set_convolution(conv: nn.Conv2d, weight: Tensor, bias: Tensor | None) -> None:
    """Replace weight and bias, in the type that the weight has; None takes the bias away."""
    dtype = conv.weight.dtype
    conv.weight = nn.Parameter(weight.to(dtype), requires_grad=False)
    conv.bias = None if bias is None else nn.Parameter(bias.to(dtype), requires_grad=False)
