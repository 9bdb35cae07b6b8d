"""The frozen feature extractor of every method: uint8 frames in, feature maps of stages and image scales out."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call

from csflow.runtime.errors import ConfigError
from csflow.toolkit.backbones.config import BackboneConfig

__all__ = ["Backbone", "Features", "Trunk", "image_pyramid"]

Features = tuple[Tensor, ...]
"""One (N, C_i, h_i, w_i) tensor per feature map."""


class Trunk(nn.Module):
    """A network cut after the last stage that is read. Its state_dict is all of weights/backbone.safetensors."""

    def forward(self, x: Tensor) -> Features:
        """Map (N, 3, S, S), normalised, to one (N, C, h, w) tensor per stage that is read."""
        raise NotImplementedError

    @property
    def network(self) -> nn.Module:
        """What has the names that weights come in."""
        return self

    def at_stage(self, x: Tensor, stage: int) -> Tensor:
        """The output of one stage that is read, (N, C, h, w); later ones are not run."""
        raise NotImplementedError


class Backbone(nn.Module):
    """Normalisation, image scales and trunk; always in evaluation mode, never trained."""

    def __init__(self, trunk: Trunk, config: BackboneConfig) -> None:
        super().__init__()
        self.trunk = trunk
        self.config = config
        self.register_buffer("mean", torch.tensor(config.mean).reshape(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(config.std).reshape(1, 3, 1, 1), persistent=False)
        self.requires_grad_(False)
        self.eval()

    def shapes(self, image_size: int) -> tuple[tuple[int, int, int], ...]:
        """(C, h, w) of each feature map of a frame with this side in pixels; no number is computed.

        Raises ConfigError where the network takes no frames of this side, or gives no maps.
        """
        stored = {**dict(self.named_parameters()), **dict(self.named_buffers())}
        frame = torch.empty(1, image_size, image_size, 3, dtype=torch.uint8, device="meta")
        try:
            with torch.no_grad():
                features = functional_call(self, {name: tensor.to("meta") for name, tensor in stored.items()}, (frame,))
        except (AssertionError, RuntimeError, ValueError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
            raise ConfigError(
                f"{self.config.name} cannot read pictures of {image_size} px ({reason}): choose another --image-size "
                "or --backbone"
            ) from None
        if any(f.dim() != 4 for f in features):
            raise ConfigError(f"{self.config.name} gives no feature maps (N, C, h, w): choose another --backbone")
        return tuple((int(f.shape[1]), int(f.shape[2]), int(f.shape[3])) for f in features)

    def forward(self, frames: Tensor) -> Features:
        """Map frames (N, S, S, 3) uint8 RGB to float32 features (N, C, h, w), scale by scale, in each the stages."""
        # Cast before permute: TensorRT takes uint8 into a Cast only.
        x = frames.float().permute(0, 3, 1, 2) / 255.0
        x = (x - self.get_buffer("mean")) / self.get_buffer("std")
        return tuple(f for x_i in image_pyramid(x, self.config.scales) for f in self.trunk(x_i))

    def train(self, mode: bool = True) -> Backbone:  # noqa: ARG002 - the signature of nn.Module
        """Stay in evaluation mode: batch statistics of good parts must not move the features."""
        return super().train(False)


def image_pyramid(x: Tensor, scales: int) -> Features:
    """Strided slices x[:, :, ::2^i, ::2^i]: what the reference's nearest interpolation gives, bit for bit."""
    return tuple(x[:, :, :: 1 << i, :: 1 << i] for i in range(scales))
