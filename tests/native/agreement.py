"""When libcsflow and csflow.runtime say the same, and pictures to compare them on."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from csflow.runtime.detector import Detector
from csflow.runtime.types import Result

MTD = Path(__file__).parents[2].parent / "shared" / "data" / "mtd"
Array = NDArray[np.uint8]


def same(ours: Any, theirs: Result) -> bool:
    """Whether a csflow_result says what a Result says."""
    p_values = ours.p_value == theirs.p_value or (math.isnan(ours.p_value) and math.isnan(theirs.p_value))
    scores = ours.score == theirs.score or (math.isnan(ours.score) and math.isnan(theirs.score))
    codes = ours.verdict == theirs.verdict and ours.verdict_code == theirs.verdict.code
    peaks = (ours.peak_x, ours.peak_y) == theirs.peak_xy
    rest = ours.reject_threshold == theirs.threshold and bool(ours.verified) == theirs.verified
    return codes and scores and p_values and peaks and rest


def pictures(count: int) -> list[Array]:
    if not MTD.is_dir():
        pytest.skip("../shared/data/mtd is absent")
    files = sorted(MTD.glob("MT_*/**/*.jpg"))
    step = len(files) // count
    return [np.asarray(Image.open(file).convert("RGB")) for file in files[: step * count : step]]


def agree_on(seen: list[Array], ours: Any, theirs: Detector, picture: Callable[..., Any]) -> None:
    for pixels in seen:
        result = theirs.detect(pixels)
        assert same(ours.detect(picture(pixels, "RGB8")), result)
        height, width, values = ours.anomaly_map()
        np.testing.assert_array_equal(np.array(values, np.float32).reshape(height, width), result.anomaly_map)
