"""Areas that are painted over in the model's input: which positions of its maps do not count, in fit, score and map.

A position is ignored where at least half of the area that it stands for is painted over: its cell of an even grid over
the region of interest, or the patch it describes. Everything else counts, and may see painted pixels at its side, in
training as at the line.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from csflow.runtime.bundle.manifest import Preprocessing
from csflow.runtime.errors import ConfigError

__all__ = ["Ignored", "KeptPlaces", "enlarged", "inverse", "kept_masks", "make_room", "masked", "places_line"]

HALF = 0.5 - 1e-5
"""A mean of ones and zeros in float32 may miss one half by its rounding."""


@dataclass(frozen=True)
class Ignored:
    """What of the region of interest is painted over."""

    painted: NDArray[np.bool_]
    """(H, W), in pixels of the picture."""
    side: int
    """Of the model's input, in pixels."""

    @classmethod
    def of(cls, how: Preprocessing, sizes: Iterable[tuple[int, int]], flips: str = "none") -> Ignored | None:
        """None where nothing is ignored, and of tiles, in each of which an area lies elsewhere: it is painted alone.

        Args:
            sizes: (width, height) of the pictures. With a region of interest they do not matter.
            flips: mirror images that are seen, too: one of `csflow.toolkit.features.FLIPS`.

        Raises ConfigError where the areas would lie elsewhere in each picture or its mirror image, or outside of all.
        """
        if not how.ignore or how.tiles is not None:
            return None
        left, top, width, height = how.roi or (0, 0, *_one_size(sizes))
        painted = np.zeros((height, width), np.bool_)
        for x, y, w, h in how.ignore:
            painted[max(0, y - top) : max(0, y + h - top), max(0, x - left) : max(0, x + w - left)] = True
        if not painted.any():
            raise ConfigError("the ignored areas lie outside of the region of interest: leave them out, or move them")
        for axis, mirrored in (("horizontal", painted[:, ::-1]), ("vertical", painted[::-1])):
            if flips in (axis, "both") and not np.array_equal(painted, mirrored):
                raise ConfigError("in mirror images the ignored areas lie elsewhere: leave --flips out")
        return cls(painted, how.image_size)

    def kept(self, shapes: Sequence[tuple[int, int, int]], patches: Sequence[tuple[int, int]]) -> tuple[Tensor, ...]:
        """The mask of each feature map (C, h, w), as `places`; empty where no position is ignored at all.

        Args:
            patches: (size, stride) of the patches that each map describes; empty where its positions are cells.

        Raises ConfigError where one would have no position left.
        """
        masks = tuple(
            self._windows(*patches[i]) if patches else self.places(h, w) for i, (_, h, w) in enumerate(shapes)
        )
        for mask in masks:
            if not mask.any():
                size = "x".join(map(str, mask.shape))
                raise ConfigError(
                    f"the ignored areas leave nothing of the {size} feature map: ignore less of the picture"
                )
        return () if all(mask.all() for mask in masks) else masks

    def places(self, height: int, width: int) -> Tensor:
        """(height, width) float32: 1 where a cell counts, 0 where at least half of it is painted."""
        return torch.from_numpy((self._reduced(height, width) < HALF).astype(np.float32))

    def _windows(self, size: int, stride: int) -> Tensor:
        share = torch.from_numpy(self._reduced(self.side, self.side))
        covered = functional.avg_pool2d(share[None, None], size, stride)[0, 0]
        return (covered < HALF).float()

    def _reduced(self, height: int, width: int) -> NDArray[np.float32]:
        share = Image.fromarray(self.painted.astype(np.float32)).resize((width, height), Image.Resampling.BOX)
        return np.array(share)


def _one_size(sizes: Iterable[tuple[int, int]]) -> tuple[int, int]:
    found = sorted({*sizes})
    if len(found) > 1:
        told = ", ".join(f"{width}x{height}" for width, height in found[:3])
        raise ConfigError(
            f"pictures have different sizes ({told}), in each an ignored area lies elsewhere: name a region of "
            "interest that all of them have, or take pictures of one size"
        )
    return found[0]


class KeptPlaces(nn.Module):
    """The positions that count of some maps: a mask (h, w) of ones and zeros each; none where all count.

    Part of the state of the module that has it: `make_room` comes before a state is loaded.
    """

    def set(self, masks: Iterable[Tensor]) -> None:
        """Take these masks, in the order of the maps."""
        for i, mask in enumerate(masks):
            self.register_buffer(str(i), mask.clone())

    @property
    def masks(self) -> tuple[Tensor, ...]:
        """In the order of the maps."""
        return tuple(mask for mask in self._buffers.values() if mask is not None)

    def over(self, anomaly_map: Tensor) -> Tensor:
        """A map (N, h, w) of the size of one of the masks, with 0 where nothing counts."""
        masks = self.masks
        if not masks:
            return anomaly_map
        fitting = next(mask for mask in masks if mask.shape == anomaly_map.shape[1:])
        return anomaly_map * fitting


def masked(maps: tuple[Tensor, ...], kept: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Maps (N, C, h_i, w_i), 0 where their masks (h_i, w_i) are; as they are where there is no mask."""
    return tuple(x * mask for x, mask in zip(maps, kept, strict=True)) if kept else maps


def enlarged(x: Tensor, size: tuple[int, int], kept: Tensor | None = None) -> Tensor:
    """Maps (N, 1, h, w) bilinearly to (N, 1, *size); as they are where they have it.

    Args:
        kept: (h, w), 1 where a position counts: only these are averaged; 0 where none of them is near.
    """
    if tuple(x.shape[2:]) == size:
        return x
    if kept is None:
        return functional.interpolate(x, size, mode="bilinear", align_corners=False)
    near = functional.interpolate(kept[None, None], size, mode="bilinear", align_corners=False)
    return functional.interpolate(x * kept, size, mode="bilinear", align_corners=False) * inverse(near)


def inverse(weights: Tensor) -> Tensor:
    """1 / x, and 0 where x is 0."""
    return (weights > 0.0).to(weights.dtype) / weights.clamp(min=torch.finfo(torch.float32).eps)


def make_room(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Let a module that is to load `state` have the masks that are in it."""
    for name, part in module.named_modules():
        if isinstance(part, KeptPlaces):
            own = [key for key in state if key.rpartition(".")[0] == name]
            part.set(state[key] for key in sorted(own, key=lambda key: int(key.rpartition(".")[2])))


def kept_masks(module: nn.Module) -> list[Tensor]:
    """All masks inside a module."""
    return [mask for part in module.modules() if isinstance(part, KeptPlaces) for mask in part.masks]


def places_line(kept: Sequence[Tensor]) -> str:
    """What of the feature maps does not count, in words."""
    if not kept:
        return (
            "ignored areas are painted over; none covers half of a position of the feature maps, so all of them count"
        )
    counts = ", ".join(f"{int((mask == 0).sum())} of {'x'.join(map(str, mask.shape))}" for mask in kept)
    return f"ignored positions of the feature maps, which count neither in the score nor in the map: {counts}"
