"""The good plate of the synthetic product line: where each pixel lies on it, and how bright it is.

Lengths are in units of 1/256 of the picture's shorter side. Only integer draws, single IEEE operations and
Pillow's fixed-point filter are used, never libm, a font file, or a sum whose order a processor chooses: so a
picture is the same to the byte on every machine.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = [
    "Plane",
    "View",
    "between",
    "bump",
    "cut_holes",
    "direction",
    "hole_mask",
    "look",
    "noise",
    "open_surface",
    "plate",
    "stamp",
]

MARGIN, HOLE_INSET, HOLE_RADIUS, SINK_WIDTH = 9.0, 26.0, 11.5, 5.5
DISC_RADIUS, BORE_RADIUS, BORE_SINK = 39.0, 10.0, 2.5
TEXT_Y, TEXT_PITCH = 84.0, 2.3
LIGHT = (-0.6, -0.8)
"""Direction towards the light, a unit vector."""
_GLYPHS = {
    "0": (14, 17, 19, 21, 25, 17, 14),
    "1": (4, 12, 4, 4, 4, 4, 14),
    "2": (14, 17, 1, 6, 8, 16, 31),
    "3": (14, 17, 1, 6, 1, 17, 14),
    "4": (2, 6, 10, 18, 31, 2, 2),
    "5": (31, 16, 30, 1, 1, 17, 14),
    "6": (6, 8, 16, 30, 17, 17, 14),
    "7": (31, 1, 2, 4, 8, 8, 8),
    "8": (14, 17, 17, 14, 17, 17, 14),
    "9": (14, 17, 17, 15, 1, 2, 12),
    "-": (0, 0, 0, 14, 0, 0, 0),
    "C": (14, 17, 16, 16, 16, 17, 14),
    "S": (15, 16, 16, 14, 1, 1, 30),
}

Plane = NDArray[np.float32]
"""(H, W) float32."""


@dataclass(frozen=True)
class View:
    """How the camera sees this part: coordinates of every pixel on the plate, centre at (0, 0)."""

    x: Plane
    """(H, W) across the plate."""
    y: Plane
    """(H, W) down the plate."""
    pixel: float
    """Side of one pixel."""
    half: tuple[float, float]
    """Half width and half height of the plate."""

    def holes(self) -> list[tuple[float, float]]:
        """Centres of the four holes."""
        a, b = self.half[0] - HOLE_INSET, self.half[1] - HOLE_INSET
        return [(-a, -b), (a, -b), (-a, b), (a, b)]

    def window(self, centre: tuple[float, float], reach: float) -> tuple[slice, slice]:
        """Rows and columns that hold every pixel within `reach` of `centre`."""
        starts = (centre[1] / self.pixel + self.x.shape[0] / 2, centre[0] / self.pixel + self.x.shape[1] / 2)
        span = reach / self.pixel
        rows, columns = (slice(max(0, int(s - span)), int(s + span) + 1) for s in starts)
        return rows, columns

    def cover(self, distance: Plane) -> Plane:
        """Share of each pixel inside a shape, from its signed distance (negative inside)."""
        share: Plane = np.clip(0.5 - distance / self.pixel, 0, 1)
        return share


def between(draw: np.random.Generator, low: float, high: float) -> float:
    """A number from low up to high."""
    return low + (high - low) * draw.random()


def direction(draw: np.random.Generator) -> tuple[float, float]:
    """A unit vector; only arithmetic and square root, which every processor rounds alike."""
    while True:
        x, y = between(draw, -1, 1), between(draw, -1, 1)
        if 0.05 < x * x + y * y <= 1:
            length = math.sqrt(x * x + y * y)
            return x / length, y / length


def noise(draw: np.random.Generator, cells: tuple[int, ...], shape: tuple[int, ...]) -> Plane:
    """(H, W) smooth noise in -1..1 with `cells` (rows, columns) independent values."""
    values = draw.integers(0, 256, (max(2, cells[0]), max(2, cells[1])), dtype=np.uint8)
    picture = Image.fromarray(values).resize((shape[1], shape[0]), Image.Resampling.BICUBIC)
    smooth: Plane = np.asarray(picture).astype(np.float32) / 127.5 - 1
    return smooth


def look(draw: np.random.Generator, size: tuple[int, int]) -> View:
    """A part as it happens to lie: shifted by up to 2 px, turned by up to 1°, a little larger or smaller."""
    width, height = size
    pixel = 256.0 / min(size)
    slope = between(draw, -0.0174, 0.0174)
    cos = 1 / math.sqrt(1 + slope * slope)
    sin = slope * cos
    px = (np.arange(width) + 0.5 - width / 2) * pixel + between(draw, -2, 2)
    py = (np.arange(height) + 0.5 - height / 2)[:, None] * pixel + between(draw, -2, 2)
    tolerance = between(draw, -0.4, 0.4)
    half = (width * pixel / 2 - MARGIN + tolerance, height * pixel / 2 - MARGIN + tolerance)
    x, y = px * cos + py * sin, py * cos - px * sin
    return View(x.astype(np.float32), y.astype(np.float32), pixel, half)


def _distance(view: View, centre: tuple[float, float]) -> Plane:
    dx, dy = view.x - centre[0], view.y - centre[1]
    length: Plane = np.sqrt(dx * dx + dy * dy)
    return length


def _outline(view: View, radius: float = 9.0) -> tuple[Plane, Plane]:
    """Signed distance to the plate's rounded outline, and how far its side faces the light (-1..1)."""
    qx = np.abs(view.x) - (view.half[0] - radius)
    qy = np.abs(view.y) - (view.half[1] - radius)
    ox, oy = np.maximum(qx, 0), np.maximum(qy, 0)
    corner = np.sqrt(ox * ox + oy * oy)
    edge = corner + np.minimum(np.maximum(qx, qy), 0) - radius
    safe = np.maximum(corner, 1e-6)
    nx = np.where(corner > 0, ox / safe, qx > qy) * np.sign(view.x)
    ny = np.where(corner > 0, oy / safe, qx <= qy) * np.sign(view.y)
    return edge, (nx * LIGHT[0] + ny * LIGHT[1]).astype(np.float32)


def open_surface(view: View) -> NDArray[np.bool_]:
    """(H, W) bool, True on the plate where no hole is cut."""
    open_ = _outline(view)[0] < -view.pixel
    for centre in view.holes():
        open_ &= ~hole_mask(view, centre)
    return np.asarray(open_ & (_distance(view, (0.0, 0.0)) > BORE_RADIUS + BORE_SINK + view.pixel))


def plate(draw: np.random.Generator, view: View) -> Plane:
    """Brushed plate with a turned disc in the middle, on a dark belt: (H, W) brightness around 0..1."""
    shape = view.x.shape
    rows, columns = shape
    shade = noise(draw, (rows, int(columns * view.pixel / 70)), shape) * 0.035
    shade += noise(draw, (rows, int(columns * view.pixel / 22)), shape) * 0.022
    shade += noise(draw, (int(rows * view.pixel / 9), 2), shape) * 0.02
    shade += 0.56 + between(draw, -0.015, 0.015)
    gx, gy = between(draw, -0.06, 0.06), between(draw, 0.02, 0.1)
    shade += view.x * (gx / 128) - view.y * (gy / 128)
    gleam: Plane = ((view.x - between(draw, -50, -20) + view.y * 0.25) / 110).astype(np.float32)
    shade += 0.10 * bump(gleam * gleam)
    _turn(draw, view, shade)
    edge, facing = _outline(view)
    shade += view.cover(-edge - 3) * (facing * 0.2 - 0.02)
    belt = 0.085 + noise(draw, (rows, columns), shape) * 0.012
    belt *= np.clip(edge / 7 + 0.45, 0, 1)
    scene: Plane = belt + view.cover(edge) * (shade - belt)
    return scene


def _turn(draw: np.random.Generator, view: View, shade: Plane) -> None:
    """Face-turned disc: fine rings, the two-lobed gleam of circular marks, and a groove around it."""
    r = _distance(view, (0.0, 0.0))
    tones = draw.random(64).astype(np.float32) - 0.5
    place = np.minimum(r * 1.1, 62)
    ring = place.astype(np.int32)
    mix = place - np.floor(place)
    rings = tones[ring] + (tones[ring + 1] - tones[ring]) * mix
    lobes = (view.x * view.x - view.y * view.y - view.x * view.y) / np.maximum(r * r, 1)
    turned = 0.61 + rings * 0.07 - lobes * 0.075
    shade += view.cover(r - DISC_RADIUS) * (turned - shade)
    facing = (view.x * LIGHT[0] + view.y * LIGHT[1]) / np.maximum(r, 1)
    groove = (r - DISC_RADIUS) / 2.6
    shade -= bump(groove * groove) * (0.13 + facing * 0.16)


def bump(r2: Plane) -> Plane:
    """(1 - r²)² inside the unit circle, 0 outside: a bell with an edge, so that a defect has one too."""
    inside: Plane = np.maximum(1 - r2, 0)
    return inside * inside


def stamp(view: View, shade: Plane, text: str) -> None:
    """Dot-peened text: each dot a pit, dark on the side of the light, with a bright far rim."""
    dots = _dots(text)
    column = view.x / TEXT_PITCH + dots.shape[1] / 2
    row = (view.y - (TEXT_Y + view.half[1] - 128 + MARGIN)) / TEXT_PITCH + 3.5
    near = (column >= 0) & (column < dots.shape[1]) & (row >= 0) & (row < 7)
    row, column = row[near], column[near]
    i, j = row.astype(np.int32), column.astype(np.int32)
    dy, dx = row - np.floor(row) - 0.5, column - np.floor(column) - 0.5
    r2 = (dx * dx + dy * dy) * 3.6
    lit = 0.42 + (dx * LIGHT[0] + dy * LIGHT[1]) * 0.75
    shade[near] -= dots[i, j] * bump(r2) * lit


def _dots(text: str) -> Plane:
    """(7, 6n - 1) 1.0 where the text has a dot."""
    glyphs = np.array([_GLYPHS[letter] for letter in text])
    bits = (2 * glyphs[:, :, None] >> np.array([5, 4, 3, 2, 1, 0])) & 1
    rows: Plane = bits.transpose(1, 0, 2).reshape(7, -1)[:, :-1].astype(np.float32)
    return rows


def cut_holes(view: View, shade: Plane, holes: list[tuple[float, float]]) -> None:
    """Cut these holes and the bore of the disc into `shade`."""
    for centre in holes:
        _drill(view, shade, centre, HOLE_RADIUS, SINK_WIDTH)
    _drill(view, shade, (0.0, 0.0), BORE_RADIUS, BORE_SINK)


def hole_mask(view: View, centre: tuple[float, float]) -> NDArray[np.bool_]:
    """(H, W) bool, True where the hole with this centre takes part in a pixel."""
    return np.asarray(_distance(view, centre) <= HOLE_RADIUS + SINK_WIDTH + view.pixel)


def _drill(view: View, shade: Plane, centre: tuple[float, float], radius: float, sink: float) -> None:
    """Cut a countersunk hole into `shade`."""
    at = view.window(centre, radius + sink + 10)
    here, shade = View(view.x[at], view.y[at], view.pixel, view.half), shade[at]
    r = _distance(here, centre)
    dx, dy = here.x - centre[0], here.y - centre[1]
    facing = (dx * LIGHT[0] + dy * LIGHT[1]) / np.maximum(r, 1)
    cone = 0.47 - facing * 0.27
    shade += view.cover(r - (radius + sink)) * (cone - shade)
    depth = 0.05 - facing * 0.035 * np.minimum(r / radius, 1)
    shade += view.cover(r - radius) * (depth - shade)
