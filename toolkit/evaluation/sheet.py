"""The sheet of heat maps (Figure 7 of the paper) and thumbnails: picture, map, and the map over the picture."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from csflow.calibration.metrics import GOOD
from csflow.runtime.picture.images import read_picture
from csflow.runtime.picture.overlay import full_scale, hatched, heat_map, overlay, shrunk
from csflow.runtime.picture.region import Region
from csflow.runtime.picture.window import eight_bits
from csflow.toolkit.data.dataset import load_mask
from csflow.toolkit.evaluation.evaluation import Evaluation, ScoredSample

__all__ = ["covered", "panels", "sheet", "sheet_samples"]

CELL_PX, GAP_PX, HEAD_PX, SIDE_PX = 150, 6, 40, 76
BAND_PX = HEAD_PX + 3 * (CELL_PX + GAP_PX) + 12
OUTLINE = (0, 230, 255)
INK = (40, 40, 40)
ROWS = ("picture", "map", "overlay")
DRAWN_PX = 2048
"""Longer side at which pictures are drawn, at most: maps over large ones would take their size many times."""
BAND = 6
"""Pictures side by side; even, so that the two of a type stay together."""


def sheet_samples(evaluation: Evaluation) -> list[ScoredSample]:
    """The highest- and the lowest-scoring picture of the good parts and of each defect type."""
    chosen: list[ScoredSample] = []
    for label in (GOOD, *(row.defect_type for row in evaluation.defects)):
        ranked = sorted((s for s in evaluation.samples if s.sample.label == label), key=lambda s: s.score)
        chosen += [ranked[-1], ranked[0]][: len(ranked)]
    return chosen


def sheet(evaluation: Evaluation) -> Image.Image:
    """Bands of picture, map and overlay; two columns a type: its highest and its lowest score.

    True defects are outlined in the picture; colours mean what `csflow.runtime.picture.overlay.full_scale` says. Raises
    DataError when a picture cannot be read any more.
    """
    samples = sheet_samples(evaluation)
    step = CELL_PX + GAP_PX
    bands = math.ceil(len(samples) / BAND)
    size = (SIDE_PX + step * min(BAND, len(samples)), bands * BAND_PX - GAP_PX)
    canvas = Image.new("RGB", size, "white")
    for band in range(bands):
        _band(canvas, band * BAND_PX, samples[band * BAND : (band + 1) * BAND], evaluation)
    return canvas


def _band(canvas: Image.Image, top: int, samples: Sequence[ScoredSample], evaluation: Evaluation) -> None:
    draw = ImageDraw.Draw(canvas)
    step = CELL_PX + GAP_PX
    for row, name in enumerate(ROWS):
        middle = top + HEAD_PX + row * step + CELL_PX // 2 - 8
        draw.text((8, middle), name, fill=INK, font=ImageFont.load_default(14))
    for column, scored in enumerate(samples):
        left = SIDE_PX + column * step
        _head(draw, left, top, scored)
        for row, panel in enumerate(panels(scored, evaluation)):
            canvas.paste(_fitted(panel), (left, top + HEAD_PX + row * step))


def panels(scored: ScoredSample, evaluation: Evaluation) -> Sequence[NDArray[np.uint8]]:
    """Picture with the true defect outlined, heat map, and overlay; each (H, W, 3) uint8 RGB, as `covered`."""
    image, region = _drawn(scored, evaluation)
    scale = full_scale(scored.anomaly_map, _reference(evaluation))
    left, top, width, height = region.roi or (0, 0, image.shape[1], image.shape[0])
    hot = np.zeros_like(image)
    hot[top : top + height, left : left + width] = heat_map(scored.anomaly_map, (width, height), scale)
    hatched(hot, region)
    return _outlined(image, scored), hot, overlay(image, scored.anomaly_map, scale, region)


def covered(scored: ScoredSample, evaluation: Evaluation) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The picture as it is, and the map over it; each (H, W, 3) uint8 RGB of the picture's size, `DRAWN_PX` at most."""
    image, region = _drawn(scored, evaluation)
    return image, overlay(image, scored.anomaly_map, full_scale(scored.anomaly_map, _reference(evaluation)), region)


def _drawn(scored: ScoredSample, evaluation: Evaluation) -> tuple[NDArray[np.uint8], Region]:
    image = eight_bits(read_picture(scored.sample.path), evaluation.region.window)
    return shrunk(image, evaluation.region, DRAWN_PX)


def _reference(evaluation: Evaluation) -> float:
    """The reject threshold, or what stands in for it: the score that 99 % of the good pictures keep below."""
    if evaluation.calibration is not None:
        return evaluation.calibration.reject_threshold
    return float(np.quantile(evaluation.scores(GOOD), 0.99))


def _outlined(image: NDArray[np.uint8], scored: ScoredSample) -> NDArray[np.uint8]:
    if scored.sample.mask is None:
        return image
    height, width = image.shape[:2]
    truth = load_mask(scored.sample, scored.size)
    if scored.size != (width, height):
        truth = np.asarray(Image.fromarray(truth).resize((width, height), Image.Resampling.NEAREST))
    # The sheet shrinks pictures: a line must be thick enough to survive it.
    thickness = max(1, math.ceil(max(width, height) / CELL_PX / 1.5))
    outlined: NDArray[np.uint8] = image.copy()
    outlined[_grown(truth, thickness) & ~truth] = OUTLINE
    return outlined


def _grown(mask: NDArray[np.bool_], pixels: int) -> NDArray[np.bool_]:
    grown = Image.fromarray(mask).convert("L").filter(ImageFilter.MaxFilter(2 * pixels + 1))
    return np.asarray(grown, dtype=np.bool_)


def _head(draw: ImageDraw.ImageDraw, left: int, top: int, scored: ScoredSample) -> None:
    verdict = f"  {scored.verdict}" if scored.verdict else ""
    draw.text((left, top + 3), scored.sample.label, fill=INK, font=ImageFont.load_default(14))
    draw.text((left, top + 21), f"{scored.score:.4g}{verdict}", fill=(110, 110, 110), font=ImageFont.load_default(12))


def _fitted(panel: NDArray[np.uint8]) -> Image.Image:
    """In a grey square of CELL_PX, aspect ratio kept."""
    picture = Image.fromarray(panel)
    factor = CELL_PX / max(picture.size)
    width, height = (max(1, round(side * factor)) for side in picture.size)
    cell = Image.new("RGB", (CELL_PX, CELL_PX), (235, 235, 235))
    cell.paste(
        picture.resize((width, height), Image.Resampling.LANCZOS), ((CELL_PX - width) // 2, (CELL_PX - height) // 2)
    )
    return cell
