"""The backbone graph of every method: the frozen network rewritten for inference, folded, and typed in half precision.

Folds are exact, in float64. What is not folded, because it would not be: the mean of the frame into the stem, whose
zero padding stands for the mean there and not for 0. In half precision the frame's normalisation and the mean of
squeeze pooling stay in float32.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from timm.layers.squeeze_excite import SEModule
from timm.models._efficientnet_blocks import SqueezeExcite
from torch import Tensor, nn
from torch.func import functional_call

from csflow.export.graphs.half import Saturate
from csflow.toolkit.backbones.backbone import Backbone, Features, image_pyramid
from csflow.toolkit.backbones.fold import into_convolution, set_convolution
from csflow.toolkit.backbones.int8.quantized import is_quantized

__all__ = [
    "BACKBONE_FOLDS",
    "InferenceBackbone",
    "WideSqueeze",
    "fold_backbone",
    "fold_batch_norms",
    "fold_pixel_scale",
    "halve_backbone",
]


class InferenceBackbone(nn.Module):
    """The frozen backbone; `scale` is None once it is part of the stem's weights."""

    def __init__(self, backbone: Backbone, image_size: int = 256) -> None:
        super().__init__()
        self.image_size = image_size
        self.trunk = copy.deepcopy(backbone.trunk)
        for module in self.trunk.modules():
            # What works in place torch's exporter takes apart, which is most of its time.
            if getattr(module, "inplace", False):
                module.inplace = False  # type: ignore[assignment]
        self.scales = backbone.config.scales
        mean, std = backbone.get_buffer("mean"), backbone.get_buffer("std")
        self.register_buffer("mean", (mean.double() * 255.0).to(mean.dtype))
        self.register_buffer("scale", (1.0 / (std.double() * 255.0)).to(std.dtype))
        self.narrow: nn.Module = nn.Identity()
        """Applied to the pixels; `halve_backbone` puts the cast to half here."""
        self.narrow_features: nn.Module = nn.Identity()
        """The same for the features."""
        self.eval()

    def forward(self, frames: Tensor) -> Features:
        """Map frames (N, S, S, 3) uint8 RGB to features (N, C, h_i, w_i)."""
        mean, scale = self.get_buffer("mean"), self._buffers["scale"]
        # Cast before permute: TensorRT takes uint8 into a Cast only.
        x = frames.to(mean.dtype).permute(0, 3, 1, 2) - mean
        x = self.narrow(x if scale is None else x * scale)
        return tuple(self.narrow_features(f) for x_i in image_pyramid(x, self.scales) for f in self.trunk(x_i))


def fold_backbone(backbone: Backbone, image_size: int = 256, pixel_scale: bool = True) -> InferenceBackbone:
    """A copy of the backbone with every fold applied; `backbone` is left as it is.

    Args:
        image_size: side of a frame that the network takes, in pixels.
        pixel_scale: whether `fold_pixel_scale` is one of them. In float16 it would push small weights of the stem
            under the smallest normal number.
    """
    folded = InferenceBackbone(backbone, image_size)
    fold_batch_norms(folded)
    if pixel_scale:
        fold_pixel_scale(folded)
    return folded


def fold_batch_norms(backbone: InferenceBackbone) -> None:
    """Batch norms into the convolutions that feed them; what follows in the same layer (the activation) stays."""
    feeds = _feeds(backbone)
    for parent in list(backbone.modules()):
        for name, norm in list(parent.named_children()):
            if isinstance(norm, nn.BatchNorm2d) and (conv := feeds.get(norm)) is not None:
                into_convolution(conv, norm)
                setattr(parent, name, getattr(norm, "act", nn.Identity()))


def _feeds(backbone: InferenceBackbone) -> dict[nn.Module, nn.Conv2d]:
    """For each batch norm that gets the output of a convolution, and nothing else does, this convolution."""
    made: dict[int, nn.Conv2d] = {}
    takers: dict[nn.Conv2d, set[nn.Module]] = {}
    alive: list[Tensor] = []

    def after(module: nn.Module, given: tuple[Any, ...], out: Any) -> None:
        for x in given:
            if id(x) in made:
                takers.setdefault(made[id(x)], set()).add(module)
        if isinstance(module, nn.Conv2d):
            made[id(out)] = module
            # Identity tells tensors apart only while none of them is freed.
            alive.append(out)

    # A batch norm of timm holds its activation, and runs no module for the norm itself.
    single = [m for m in backbone.modules() if isinstance(m, nn.BatchNorm2d) or not list(m.children())]
    hooks = [module.register_forward_hook(after) for module in single]
    try:
        _run_on_meta(backbone)
    finally:
        for hook in hooks:
            hook.remove()
    return {next(iter(fed)): conv for conv, fed in takers.items() if len(fed) == 1}


def _run_on_meta(backbone: InferenceBackbone) -> None:
    stored = {**dict(backbone.named_parameters()), **dict(backbone.named_buffers())}
    side = backbone.image_size
    frame = torch.empty(1, side, side, 3, dtype=torch.uint8, device="meta")
    with torch.no_grad():
        functional_call(backbone, {name: t.to("meta") for name, t in stored.items()}, (frame,))


def fold_pixel_scale(backbone: InferenceBackbone) -> None:
    """Division by 255 and by the colours' standard deviation into the stem; the mean stays, as the stem pads with 0.

    Of networks that are no EfficientNet it stays where it is: three multiplications a pixel.
    """
    stem = getattr(backbone.trunk, "conv_stem", None)
    if not isinstance(stem, nn.Conv2d):
        return
    set_convolution(stem, stem.weight.double() * backbone.get_buffer("scale").double(), stem.bias)
    backbone.register_buffer("scale", None)


class WideSqueeze(nn.Module):
    """Squeeze-and-excitation whose mean over up to 10⁵ positions is taken in float32."""

    def __init__(self, squeeze: SqueezeExcite | SEModule) -> None:
        super().__init__()
        if isinstance(squeeze, SEModule):
            self.excite = nn.Sequential(squeeze.fc1, squeeze.bn, squeeze.act, squeeze.fc2, squeeze.gate)
        else:
            self.excite = nn.Sequential(squeeze.conv_reduce, squeeze.act1, squeeze.conv_expand, squeeze.gate)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, h, w) float16 to the same."""
        mean = x.float().mean((2, 3), keepdim=True)
        y: Tensor = x * self.excite(mean.to(x.dtype))
        return y


def halve_backbone(backbone: InferenceBackbone) -> InferenceBackbone:
    """Change the backbone in place: the trunk in float16, features float16, normalisation and squeeze means float32.

    One of eight bits keeps its float32 between the roundings, where its numbers are exact; only the features are cast.
    """
    backbone.narrow_features = Saturate()
    if is_quantized(backbone.trunk):
        return backbone
    backbone.trunk.half()
    for parent in list(backbone.trunk.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, SqueezeExcite) or (isinstance(child, SEModule) and not child.add_maxpool):
                setattr(parent, name, WideSqueeze(child))
    backbone.narrow = Saturate()
    return backbone


BACKBONE_FOLDS: dict[str, Callable[[InferenceBackbone], None]] = {
    "batch norm into convolutions": fold_batch_norms,
    "pixel scale into the stem": fold_pixel_scale,
}
