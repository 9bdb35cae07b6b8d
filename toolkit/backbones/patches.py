"""A network that reads patches: each a small picture of its own, padded with zeros at its own border.

Patches of K x K pixels, a stride apart, are cut from the normalised picture, and go through the network to a stage
of their own; what comes out is averaged over the positions inside the patch, or read by an encoder of this size. A
feature map has one position a patch.
Run over the whole picture at once, the network would give other numbers, as its padding would lie elsewhere.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call

from csflow.runtime.errors import ConfigError
from csflow.toolkit.backbones.backbone import Features, Trunk

__all__ = ["PatchEncoder", "PatchTrunk", "cut"]

PUBLISHED: dict[tuple[int, int], tuple[tuple[int, int], ...]] = {
    (512, 4): ((2, 256), (2, 128), (2, 64)),
    (256, 8): ((3, 256), (3, 128), (2, 128), (2, 64)),
    (128, 8): ((3, 128), (3, 64), (3, 32)),
}
"""(kernel, channels) of the convolutions before the last, by channels and side of relu5_3, relu3_3 and relu2_2."""

TOGETHER = 512
"""Patches that are in the network at a time, outside of graphs: their first feature maps are what is large."""


class PatchTrunk(Trunk):
    """Mean features of patches. The network's parameters have its own names after 'inner.'."""

    def __init__(
        self, inner: Trunk, patches: tuple[tuple[int, int], ...], stages: tuple[int, ...], dimensions: int = 0
    ) -> None:
        super().__init__()
        self.dimensions = dimensions
        self.inner = inner
        self.patches = patches
        self.stages = stages
        sizes = [size for size, _ in patches] if dimensions else []
        self.encoders = nn.ModuleList(
            PatchEncoder(*_stage_shape(inner, size, i), dimensions) for i, size in enumerate(sizes)
        )

    @property
    def network(self) -> Trunk:
        """What the patches go through."""
        return self.inner

    def forward(self, x: Tensor) -> Features:
        """Map (N, 3, S, S), normalised, to (N, C_i, g_i, g_i) for each size of patches; raises ConfigError where
        they do not cover the picture.
        """
        return tuple(self._read(x, *patch, i) for i, patch in enumerate(self.patches))

    def embedded(self, x: Tensor, scale: int) -> Tensor:
        """Patches (P, 3, K, K), normalised, of one size to (P, C)."""
        y = self.inner.at_stage(x, self.stages[scale])
        return self.encoders[scale](y).flatten(1) if self.dimensions else y.mean(dim=(2, 3))

    def _read(self, x: Tensor, size: int, stride: int, scale: int) -> Tensor:
        side = int(x.shape[-1])
        if side < size or (side - size) % stride:
            raise ConfigError(
                f"patches of {size} px, {stride} px apart, do not cover {side} px: choose another --image-size"
            )
        grid = (side - size) // stride + 1
        pictures = cut(x, size, stride)
        # In a graph the number of patches is free, and one runtime's matter.
        parts = [pictures] if torch.compiler.is_exporting() else torch.split(pictures, TOGETHER)
        means = torch.cat([self.embedded(part, scale) for part in parts])
        return means.reshape(-1, grid, grid, int(means.shape[1])).permute(0, 3, 1, 2)


class PatchEncoder(nn.Sequential):
    """A stage's output (P, C, s, s) to embeddings (P, D, 1, 1) in -1..1: convolutions without padding.

    Those of the paper's code for VGG16; for other stages two by two and halving the channels, to one position.
    """

    def __init__(self, channels: int, side: int, dimensions: int) -> None:
        layers: list[nn.Module] = []
        for kernel, width in PUBLISHED.get((channels, side), _halving(channels, side, dimensions)):
            layers += [nn.Conv2d(channels, width, kernel), nn.LeakyReLU(0.1)]
            channels, side = width, side - kernel + 1
        super().__init__(*layers, nn.Conv2d(channels, dimensions, side), nn.Tanh())


def _halving(channels: int, side: int, dimensions: int) -> tuple[tuple[int, int], ...]:
    kernels = [2] * max(1, side - 2) if side > 1 else [1]
    return tuple((kernel, max(dimensions, channels >> i)) for i, kernel in enumerate(kernels, start=1))


def _stage_shape(inner: Trunk, size: int, scale: int) -> tuple[int, int]:
    """Channels and side of what a patch of this size is at its stage; no number is computed."""
    stored = {**dict(inner.named_parameters()), **dict(inner.named_buffers())}
    with torch.no_grad():
        patch = torch.empty(1, 3, size, size, device="meta")
        found = functional_call(inner.eval(), {name: t.to("meta") for name, t in stored.items()}, (patch,))
    return int(found[scale].shape[1]), int(found[scale].shape[2])


def cut(x: Tensor, size: int, stride: int) -> Tensor:
    """Patches (N g g, 3, size, size) of (N, 3, S, S), row by row of each picture."""
    grid = (int(x.shape[-1]) - size) // stride + 1
    starts = torch.arange(grid, device=x.device) * stride
    places = (starts[:, None] + torch.arange(size, device=x.device)).flatten()
    rows = x.index_select(2, places).index_select(3, places)
    apart = rows.reshape(-1, 3, grid, size, grid, size).permute(0, 2, 4, 1, 3, 5)
    return apart.reshape(-1, 3, size, size)
