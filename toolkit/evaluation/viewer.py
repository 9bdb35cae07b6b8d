"""Every test picture on one page: what each threshold would cost, and what each picture looks like."""

from __future__ import annotations

import base64
import io
import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from csflow.toolkit.data.dataset import load_mask
from csflow.toolkit.evaluation.evaluation import Evaluation, ScoredSample
from csflow.toolkit.evaluation.html import render_page
from csflow.toolkit.evaluation.sheet import covered

__all__ = ["viewer_page"]

LARGEST_PX, SMALLEST_PX = 512, 160
BUDGET_PX = 40e6
"""Pixels of all pictures together, twice: about 20 MB as JPEG."""
CONFIDENCE = 0.95
JPEG_QUALITY = 80


def viewer_page(evaluation: Evaluation) -> str:
    """A page that needs no other file and no network: a slider for the threshold with the escapes and false rejects of
    each of its places and the bound that finite numbers allow, and all pictures by score, each raw, with its map, and
    with its mask.

    Raises:
        DataError: a picture or mask cannot be read any more.
        BackendUnavailable: Jinja2 is not installed.
    """
    side = min(LARGEST_PX, max(SMALLEST_PX, int(math.sqrt(BUDGET_PX / len(evaluation.samples)))))
    known = evaluation.calibration
    return render_page(
        "csflow.toolkit.evaluation",
        "viewer.html.j2",
        e=evaluation,
        data={
            "parts": [_part(scored, evaluation, side) for scored in sorted(evaluation.samples, key=lambda s: -s.score)],
            "calibration": [] if known is None else list(known.scores),
            "reject": None if known is None else known.reject_threshold,
            "warn": None if known is None else known.warn_threshold,
            "confidence": CONFIDENCE if known is None else known.confidence,
        },
    )


def _part(scored: ScoredSample, evaluation: Evaluation, side: int) -> dict[str, object]:
    picture, overlay = covered(scored, evaluation)
    return {
        "name": scored.name,
        "label": scored.sample.label,
        "good": scored.good,
        "score": scored.score,
        "raw": _jpeg(picture, side),
        "map": _jpeg(overlay, side),
        "mask": "" if scored.sample.mask is None else _mask(scored, side),
    }


def _jpeg(image: NDArray[np.uint8], side: int) -> str:
    picture = Image.fromarray(image)
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=JPEG_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def _mask(scored: ScoredSample, side: int) -> str:
    mask = Image.fromarray(load_mask(scored.sample, scored.size)).convert("L")
    mask.thumbnail((side, side), Image.Resampling.NEAREST)
    buffer = io.BytesIO()
    mask.convert("1").save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
