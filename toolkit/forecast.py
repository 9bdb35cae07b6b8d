"""How long a training will take, said before it begins."""

from __future__ import annotations

import time

import torch

from csflow.toolkit.backbones.backbone import Backbone

__all__ = ["duration", "timed_picture"]


@torch.inference_mode()
def timed_picture(backbone: Backbone, image_size: int) -> float:
    """Seconds that the backbone takes for one picture of this side in pixels, after another that warms it up."""
    device = next(backbone.parameters()).device
    frame = torch.zeros(1, image_size, image_size, 3, dtype=torch.uint8, device=device)
    start_s = 0.0
    for _ in range(2):
        start_s = time.perf_counter()
        backbone(frame)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
    return time.perf_counter() - start_s


def duration(seconds: float) -> str:
    """In the unit that people would take: '40 s', '12 min', '3.5 h'."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"
