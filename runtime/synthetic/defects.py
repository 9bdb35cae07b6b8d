"""The defects of the synthetic product line, each with its exact extent."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from csflow.runtime.synthetic.plate import LIGHT, Plane, View, between, bump, direction, noise

__all__ = ["Mark", "draw_mark"]

Centre = tuple[float, float]
Mark = tuple[NDArray[np.bool_], Plane, Plane]
"""Where a defect lies, the change of brightness and the brown tint there; each (H, W)."""


def draw_mark(draw: np.random.Generator, view: View, defect: str) -> Mark:
    """A 'scratch', 'dent' or 'stain' of random size, direction and place, clear of the holes' middles."""
    return _MARKS[defect](draw, view, _place(draw, view))


def _scratch(draw: np.random.Generator, view: View, centre: Centre) -> Mark:
    """A bent line of uneven depth: bright burr, dark shadow beside it."""
    along, across = _axes(draw, view, centre)
    half, bend = between(draw, 16, 75), between(draw, -8, 8)
    t = np.clip(along / half, -1, 1)
    wobble = _knots(draw, t, 9) * 1.2 + bend * t * t
    width = max(between(draw, 0.9, 1.9), 0.8 * view.pixel)
    depth = between(draw, 0.22, 0.42) * (0.75 + _knots(draw, t, 12) * 0.5)
    side = (across - wobble) / width
    taper = np.minimum((1 - np.abs(t)) * 6, 1)
    burr, shadow = bump(side * side), bump((side - 1.3) * (side - 1.3))
    trace = (np.maximum(burr, shadow) > 0.04) & (taper > 0)
    return trace, taper * depth * (burr - 0.6 * shadow), np.zeros_like(t)


def _knots(draw: np.random.Generator, t: Plane, count: int) -> Plane:
    """Piecewise linear noise in -0.5..0.5 over t in -1..1."""
    values = draw.random(count + 1).astype(np.float32) - 0.5
    place = (t + 1) * ((count - 1) / 2)
    left = place.astype(np.int32)
    line: Plane = values[left] + (values[left + 1] - values[left]) * (place - np.floor(place))
    return line


def _dent(draw: np.random.Generator, view: View, centre: Centre) -> Mark:
    """A hollow: its near wall in shadow, its far wall lit, as the slope of a bell gives it."""
    along, across = _axes(draw, view, centre)
    a = between(draw, 7, 17)
    b = a * between(draw, 0.6, 1.0)
    r2 = (along / a) * (along / a) + (across / b) * (across / b)
    dx, dy = view.x - centre[0], view.y - centre[1]
    slope = (dx * LIGHT[0] + dy * LIGHT[1]) / a
    inside = np.maximum(1 - r2, 0)
    strength = between(draw, 0.7, 1.2)
    change = -strength * slope * inside - 0.10 * strength * bump(r2)
    return inside > 0, change, np.zeros_like(change)


def _stain(draw: np.random.Generator, view: View, centre: Centre) -> Mark:
    """A dried drop of oil: ragged outline, dark rim, brown tint (second plane, 0..1)."""
    along, across = _axes(draw, view, centre)
    a = between(draw, 9, 26)
    b = a * between(draw, 0.55, 1.0)
    r2 = (along / a) * (along / a) + (across / b) * (across / b)
    ragged = r2 + noise(draw, (int(view.x.shape[0] * view.pixel / 12),) * 2, view.x.shape) * 0.45
    edge = np.clip((1 - ragged) * 3.2, 0, 1)
    rim = bump((ragged - 0.78) * (ragged - 0.78) * 30)
    depth = between(draw, 0.3, 0.6)
    tint = depth * edge * (0.6 + 0.4 * rim)
    return (r2 < 2) & (tint > 0.03), np.zeros_like(tint), tint


def _place(draw: np.random.Generator, view: View) -> Centre:
    """A point on the plate, clear of the holes and the bore."""
    while True:
        x = between(draw, 16 - view.half[0], view.half[0] - 16)
        y = between(draw, 16 - view.half[1], view.half[1] - 16)
        gaps = [(x - a) ** 2 + (y - b) ** 2 for a, b in [*view.holes(), (0.0, 0.0)]]
        if min(gaps) > 25**2:
            return x, y


def _axes(draw: np.random.Generator, view: View, centre: Centre) -> tuple[Plane, Plane]:
    """Coordinates along and across a random direction, from `centre`."""
    cx, cy = direction(draw)
    dx, dy = view.x - centre[0], view.y - centre[1]
    return dx * cx + dy * cy, dy * cx - dx * cy


_MARKS = {"scratch": _scratch, "dent": _dent, "stain": _stain}
