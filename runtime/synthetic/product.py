"""A synthetic product line: machined plates with a serial number, and defects with exact masks.

For demonstrations, tests, and the camera `synthetic://`. A part follows from (seed, index, size, defect)
alone, to the byte, on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from csflow.runtime.errors import ConfigError
from csflow.runtime.synthetic.defects import draw_mark
from csflow.runtime.synthetic.plate import (
    Plane,
    View,
    cut_holes,
    hole_mask,
    look,
    noise,
    open_surface,
    plate,
    stamp,
)

__all__ = ["DEFECTS", "SyntheticPart", "part_at", "render_part"]

DEFECTS = ("scratch", "dent", "stain", "missing_hole")
MIN_SIDE_PX = 64
STEEL = (0.965, 0.99, 1.03)
OIL = (0.55, 0.72, 0.93)
"""Share of red, green and blue that a full stain takes away."""
SURFACE, DEFECT, CHOICE = range(3)


@dataclass(frozen=True)
class SyntheticPart:
    """One rendered part and the truth about it."""

    image: NDArray[np.uint8]
    """(H, W, 3) uint8 RGB."""
    mask: NDArray[np.bool_]
    """(H, W) bool, True where the defect changed the picture; all False for a good part."""
    defect: str | None
    """One of DEFECTS, or None for a good part."""


def render_part(seed: int, index: int, size: tuple[int, int] = (256, 256), defect: str | None = None) -> SyntheticPart:
    """The part with this index on the line with this seed.

    The same part with and without a defect is equal outside of the mask.

    Args:
        seed: which production line, at least 0.
        index: which part, at least 0; also its serial number.
        size: (width, height) in pixels, each at least 64.
        defect: one of DEFECTS, or None for a good part.

    Raises ConfigError for a value out of range or an unknown defect.
    """
    _check(seed, index, size, defect)
    draw = _generator(seed, index, SURFACE)
    view = look(draw, size)
    shade = plate(draw, view)
    stamp(view, shade, f"CS-{index % 100_000:05d}")
    grain = noise(draw, shade.shape, shade.shape) * 0.016
    holes = view.holes()
    mask, stain = np.zeros(shade.shape, bool), np.zeros(shade.shape, np.float32)
    if defect is not None:
        mask, stain = _spoil(_generator(seed, index, DEFECT), view, shade, holes, defect)
    cut_holes(view, shade, holes)
    return SyntheticPart(_expose(shade + grain, stain), mask, defect)


def part_at(seed: int, index: int, defects: float, size: tuple[int, int] = (256, 256)) -> SyntheticPart:
    """The part with this index on a line where the share `defects` (0..1) of all parts is defective.

    Raises ConfigError as `render_part`, and when `defects` leaves 0..1.
    """
    if not 0.0 <= defects <= 1.0:
        raise ConfigError(f"share of defective parts must lie in 0..1, got {defects}")
    _check(seed, index, size, None)
    draw = _generator(seed, index, CHOICE)
    faulty = draw.random() < defects
    return render_part(seed, index, size, DEFECTS[int(draw.integers(len(DEFECTS)))] if faulty else None)


def _spoil(
    draw: np.random.Generator, view: View, shade: Plane, holes: list[tuple[float, float]], defect: str
) -> tuple[NDArray[np.bool_], Plane]:
    """Work the defect into `shade` and `holes`; returns its mask and its tint, both (H, W)."""
    if defect == "missing_hole":
        missing = holes.pop(int(draw.integers(len(holes))))
        return hole_mask(view, missing), np.zeros_like(shade)
    shape, change, stain = draw_mark(draw, view, defect)
    mask = shape & open_surface(view)
    shade += np.where(mask, change, 0)
    return mask, np.where(mask, stain, 0)


def _check(seed: int, index: int, size: tuple[int, int], defect: str | None) -> None:
    if seed < 0 or index < 0:
        raise ConfigError(f"seed and index of a synthetic part must be at least 0, got {seed} and {index}")
    if min(size) < MIN_SIDE_PX:
        raise ConfigError(f"a synthetic part needs at least {MIN_SIDE_PX} px a side, got {size[0]}x{size[1]}")
    if defect is not None and defect not in DEFECTS:
        raise ConfigError(f"no synthetic defect {defect!r}; choose one of: {', '.join(DEFECTS)}")


def _generator(*key: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(key)))


def _expose(shade: Plane, stain: Plane) -> NDArray[np.uint8]:
    """Brightness and stain as (H, W, 3) uint8 RGB."""
    tones = zip(STEEL, OIL, strict=True)
    rgb = np.stack([shade * (t - stain * (t * loss)) for t, loss in tones], axis=2)
    image: NDArray[np.uint8] = np.rint(np.clip(rgb, 0, 1) * 255).astype(np.uint8)
    return image
