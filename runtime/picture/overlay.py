"""Anomaly maps as pictures: a heat map, its overlay on the part, and a sheet with verdict and score."""

from __future__ import annotations

import functools
import math
import sys

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from csflow.runtime.machine.names import shown
from csflow.runtime.picture.region import WHOLE_PICTURE, Box, Region
from csflow.runtime.types import Result, Verdict

__all__ = ["colour_table", "full_scale", "hatched", "heat_map", "overlay", "result_sheet", "shrunk"]

CALM = 8.0
MOST_PX = 8192
"""Longer side up to which a picture is shrunk from all of its pixels."""
PANEL_PX = (256, 1024)
STRIP_PX = 44
STRIP_MIN_PX = 420
GREY = (90, 90, 90)
HATCH_PX = 8
"""From one stripe to the next, down and across."""
VERDICT_COLOURS = {
    Verdict.OK: (38, 166, 91),
    Verdict.NOK: (214, 40, 57),
    Verdict.UNCERTAIN: (240, 165, 0),
    Verdict.ERROR: (150, 70, 180),
}


@functools.cache
def colour_table() -> NDArray[np.uint8]:
    """(256, 3) uint8 sRGB from near black over purple and red to light yellow, lightness rising evenly.

    A path through OKLab (B. Ottosson, "A perceptual color space for image processing", 2020): lightness
    linear, hue turning once from purple to yellow, chroma fading at both ends so that all lies inside sRGB.
    """
    t = np.linspace(0.0, 1.0, 256)
    chroma, hue = 0.17 * np.sin(np.pi * t) ** 0.7, np.radians(285.0 + 175.0 * t)
    lightness, a, b = 0.05 + 0.90 * t, chroma * np.cos(hue), chroma * np.sin(hue)
    to_lms = np.array(
        [
            [1, 0.3963377774, 0.2158037573],
            [1, -0.1055613458, -0.0638541728],
            [1, -0.0894841775, -1.2914855480],
        ]
    )
    to_rgb = np.array(
        [
            [4.0767416621, -3.3077115913, 0.2309699292],
            [-1.2684380046, 2.6097574011, -0.3413193965],
            [-0.0041960863, -0.7034186147, 1.7076147010],
        ]
    )
    linear = np.clip((np.stack([lightness, a, b], axis=1) @ to_lms.T) ** 3 @ to_rgb.T, 0.0, 1.0)
    gamma = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    table: NDArray[np.uint8] = np.round(gamma * 255).astype(np.uint8)
    table.setflags(write=False)
    return table


def full_scale(anomaly_map: NDArray[np.float32], threshold: float) -> float:
    """The map value that gets the hottest colour: 8 reject thresholds, or the map's highest point above that.

    The mean of a map (z²) lies near twice the score (z²/2), so a part at the threshold averages a quarter of
    the scale: good parts look calm, whatever their own highest point. Without a threshold, the highest point.
    """
    finite = anomaly_map[np.isfinite(anomaly_map)]
    highest = float(finite.max()) if finite.size else 0.0
    reference = CALM * threshold if math.isfinite(threshold) and threshold > 0 else 0.0
    return min(max(highest, reference, 1e-12), sys.float_info.max)


def heat_map(anomaly_map: NDArray[np.float32], size: tuple[int, int], scale: float) -> NDArray[np.uint8]:
    """The map in colours, bilinearly enlarged.

    Args:
        anomaly_map: (h, w) float32.
        size: (width, height) in pixels of the heat map.
        scale: map value of the hottest colour, above 0; higher values and NaN get that colour too.

    Returns:
        (height, width, 3) uint8 RGB.
    """
    picture: NDArray[np.uint8] = colour_table()[np.round(_levels(anomaly_map, size, scale) * 255).astype(np.uint8)]
    return picture


def overlay(
    image: NDArray[np.uint8],
    anomaly_map: NDArray[np.float32],
    scale: float,
    region: Region = WHOLE_PICTURE,
) -> NDArray[np.uint8]:
    """The picture with the heat map over it: opaque where hot, clear where calm, hatched where ignored.

    Args:
        image: (H, W, 3) uint8 RGB.
        anomaly_map: (h, w) float32; covers the region of interest.
        scale: as in `heat_map`.
        region: in pixels of the picture.

    Returns:
        (H, W, 3) uint8 RGB, a new array.
    """
    left, top, width, height = region.roi or (0, 0, image.shape[1], image.shape[0])
    blended: NDArray[np.uint8] = image.copy()
    part = blended[top : top + height, left : left + width]
    levels = _levels(anomaly_map, (width, height), scale)
    opacity = (0.85 * np.clip(levels * 2.0 - 0.5, 0.0, 1.0))[..., None]
    part[:] = np.rint(part * (1 - opacity) + heat_map(anomaly_map, (width, height), scale) * opacity)
    return hatched(blended, region)


def hatched(image: NDArray[np.uint8], region: Region) -> NDArray[np.uint8]:
    """The picture, changed in place: grey with stripes where areas are ignored, so that nobody takes them for calm.

    Args:
        image: (H, W, 3) uint8 RGB.
        region: in pixels of the picture.
    """
    if not region.ignore:
        return image
    ignored = np.zeros(image.shape[:2], np.bool_)
    for x, y, width, height in region.ignore:
        ignored[y : y + height, x : x + width] = True
    down, across = np.ogrid[: image.shape[0], : image.shape[1]]
    image[ignored] = image[ignored] // 3 + np.uint8(60)
    image[ignored & ((down + across) % HATCH_PX < 2)] = GREY
    return image


def shrunk(image: NDArray[np.uint8], region: Region, longest_px: int) -> tuple[NDArray[np.uint8], Region]:
    """Picture and region reduced alike, so that the longer side is at most `longest_px`: drawing on it is cheap."""
    height, width = image.shape[:2]
    factor = longest_px / max(height, width)
    if factor >= 1.0:
        return image, region
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    # Of very large pictures a part of the pixels tells as much: Pillow would copy all of them, at four bytes each.
    step = max(1, int(max(height, width) // MOST_PX))
    image = image[::step, ::step]
    small = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))
    roi = None if region.roi is None else _reduced(region.roi, factor, size)
    return small, Region(roi, tuple(_reduced(box, factor, size) for box in region.ignore))


def _reduced(box: Box, factor: float, size: tuple[int, int]) -> Box:
    left, top = (min(int(value * factor), side - 1) for value, side in zip(box[:2], size, strict=True))
    right, bottom = (
        min(round((start + length) * factor), side) for start, length, side in zip(box[:2], box[2:], size, strict=True)
    )
    return left, top, max(1, right - left), max(1, bottom - top)


def result_sheet(
    image: NDArray[np.uint8],
    result: Result,
    region: Region = WHOLE_PICTURE,
) -> NDArray[np.uint8]:
    """Picture and overlay side by side under a strip with verdict, score and source.

    Small pictures are enlarged and large ones reduced, to a longer side between 256 and 1024 pixels.
    A result without a map gives the picture alone. Returns (h, w, 3) uint8 RGB.
    """
    panels = [_fit(image)]
    if result.anomaly_map.size:
        scale = full_scale(result.anomaly_map, result.threshold)
        panels.append(_fit(overlay(image, result.anomaly_map, scale, region)))
    body = np.concatenate(panels, axis=1)
    body = np.pad(body, ((0, 0), (0, max(0, STRIP_MIN_PX - body.shape[1])), (0, 0)))
    sheet: NDArray[np.uint8] = np.concatenate([_strip(result, body.shape[1]), body])
    return sheet


def _levels(anomaly_map: NDArray[np.float32], size: tuple[int, int], scale: float) -> NDArray[np.float32]:
    hot = np.clip(np.nan_to_num(anomaly_map.astype(np.float64), nan=scale, posinf=scale), 0.0, scale) / scale
    enlarged = Image.fromarray(hot.astype(np.float32)).resize(size, Image.Resampling.BILINEAR)
    levels: NDArray[np.float32] = np.clip(np.asarray(enlarged, dtype=np.float32), 0.0, 1.0)
    return levels


def _fit(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    longer = min(max(height, width, PANEL_PX[0]), PANEL_PX[1])
    factor = longer / max(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))


def _strip(result: Result, width: int) -> NDArray[np.uint8]:
    colour = VERDICT_COLOURS.get(result.verdict, GREY) if result.verified else GREY
    strip = Image.new("RGB", (width, STRIP_PX), colour)
    draw = ImageDraw.Draw(strip)
    large, small = ImageFont.load_default(18), ImageFont.load_default(12)
    draw.text((8, 2), _headline(result), fill="white", font=large)
    draw.text((8, 25), " ".join(shown(result.source).split()), fill="white", font=small)
    return np.asarray(strip)


def _headline(result: Result) -> str:
    mark = "" if result.verified else "NOT VERIFIED  "
    if not math.isfinite(result.score):
        return f"{mark}{result.verdict.name}: {shown(result.reason)}"
    return f"{mark}{result.verdict.name}  score {result.score:.4g}, reject above {result.threshold:.4g}"
