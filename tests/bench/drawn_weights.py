"""Weights for a backbone that no package has, drawn at random, with batch norms that have seen pictures.

    python tests/bench/drawn_weights.py mtd/MT_Free/Imgs b5.safetensors --backbone tf_efficientnet_b5 --image-size 456

Without the pictures every channel would grow or vanish from layer to layer. Features of such a network say little
about a part: its engines' times and roundings can be measured, what it detects cannot.
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

from csflow.runtime.picture.images import list_images

__all__ = ["draw"]

BATCH = 4


def draw(backbone: str, images: list[Path], image_size: int, seed: int = 0) -> dict[str, Tensor]:
    """A state dict in timm's names; means and variances of the batch norms are those over all of the pictures."""
    torch.manual_seed(seed)
    network: nn.Module = timm.create_model(backbone).train()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
    for start in range(0, len(images), BATCH):
        network.forward_features(_pictures(images[start : start + BATCH], image_size))  # type: ignore[operator]
    return network.state_dict()


def _pictures(files: list[Path], side: int) -> Tensor:
    seen = [np.asarray(Image.open(file).convert("RGB").resize((side, side))) for file in files]
    return (torch.from_numpy(np.stack(seen)).float().permute(0, 3, 1, 2) / 255.0 - 0.5) / 0.5


@click.command()
@click.argument("images", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--backbone", default="tf_efficientnet_b5", show_default=True)
@click.option("--image-size", default=456, show_default=True)
@click.option("--limit", default=16, show_default=True, help="Pictures, evenly over the folder.")
def main(images: Path, out: Path, backbone: str, image_size: int, limit: int) -> None:
    """Write weights for --backbone to the file OUT."""
    found = list_images(images)
    some = found[:: max(1, len(found) // limit)][:limit]
    with torch.no_grad():
        save_file(draw(backbone, some, image_size), out)


if __name__ == "__main__":
    main()
