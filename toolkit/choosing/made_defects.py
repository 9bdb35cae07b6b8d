"""Defects made from good pictures, for choosing among detectors where nobody has defective parts.

patch   a rectangle cut from another good picture and pasted elsewhere (CutPaste, Li et al. 2021)
scar    the same, long and thin, at any angle (CutPaste's second kind)
shade   a soft round spot, darker or brighter: what a paste with smooth edges leaves (after NSA, Schlueter et al. 2022)

Sizes are smaller than the papers', who train a classifier with them: here they shall be hard enough to tell detectors
apart. They say which detector sees changes of texture and brightness, not which finds the defects that a line has.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["KINDS", "made_defect"]

KINDS = ("patch", "scar", "shade")
PATCH_AREA = 0.002, 0.02
"""Share of the picture, drawn evenly in its logarithm."""
SCAR_LENGTH, SCAR_WIDTH = (0.06, 0.2), (0.008, 0.02)
"""Shares of the side."""
SHADE_RADIUS, SHADE_DEPTH = (0.03, 0.12), (0.08, 0.25)
"""Shares of the side and of the brightness."""

Picture = NDArray[np.uint8]


def made_defect(picture: Picture, other: Picture, kind: str, draw: np.random.Generator) -> Picture:
    """A copy of `picture` (S, S, 3) with a defect of this kind at a random place; what is cut comes from `other`."""
    side = picture.shape[0]
    if kind == "shade":
        return _shaded(picture, draw)
    if kind == "scar":
        width, height = (draw.uniform(*limits) * side for limits in (SCAR_LENGTH, SCAR_WIDTH))
        angle = draw.uniform(0.0, 180.0)
    else:
        area, ratio = np.exp(draw.uniform(*np.log(PATCH_AREA))), np.exp(draw.uniform(-1.0, 1.0))
        width, height = side * np.sqrt(area * ratio), side * np.sqrt(area / ratio)
        angle = 0.0
    return _pasted(picture, other, (max(2, round(width)), max(2, round(height))), angle, draw)


def _pasted(
    picture: Picture, other: Picture, size: tuple[int, int], angle: float, draw: np.random.Generator
) -> Picture:
    x, y = (int(draw.integers(0, picture.shape[0] - length + 1)) for length in size)
    cut = Image.fromarray(other[y : y + size[1], x : x + size[0]])
    whole = Image.new("L", size, 255)
    turned, inside = (p.rotate(angle, Image.Resampling.BILINEAR, expand=True) for p in (cut, whole))
    made = Image.fromarray(picture)
    place = tuple(int(draw.integers(0, max(1, picture.shape[0] - length + 1))) for length in turned.size)
    made.paste(turned, (place[0], place[1]), inside)
    return np.array(made)


def _shaded(picture: Picture, draw: np.random.Generator) -> Picture:
    side = picture.shape[0]
    radius = draw.uniform(*SHADE_RADIUS) * side
    centre = draw.uniform(radius, side - radius, 2)
    y, x = np.mgrid[:side, :side]
    spot = np.exp(-((y - centre[0]) ** 2 + (x - centre[1]) ** 2) / (2.0 * (radius / 2.0) ** 2))
    depth = draw.uniform(*SHADE_DEPTH) * (1.0 if draw.random() < 0.5 else -1.0)
    made: Picture = np.clip(picture * (1.0 + depth * spot)[..., None] + 0.5, 0.0, 255.0).astype(np.uint8)
    return made
