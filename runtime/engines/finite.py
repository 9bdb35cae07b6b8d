"""Whether features are numbers: looked at between the stages, as a later stage may turn what is none into one.

OpenVINO's CPU plugin does so in Clip, Relu, Exp, Max and ReduceMax (findings/openvino-nan-to-number.sh): one feature
that is not a number would give a finite score.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from csflow.runtime.types import Prediction

__all__ = ["all_finite", "no_score"]

HALF_INFINITY = 0x7C00
"""Bits of infinity in half precision without its sign; those of NaN are larger (IEEE 754, binary16)."""


def all_finite(values: NDArray[Any]) -> bool:
    """Whether no value is NaN or infinite; half precision is looked at as bits, which takes a tenth of the time."""
    if values.dtype == np.float16:
        return int((values.view(np.uint16) & np.uint16(0x7FFF)).max(initial=0)) < HALF_INFINITY
    return bool(np.isfinite(values).all())


def no_score(shape: tuple[int, ...]) -> Prediction:
    """What an engine says about a frame whose features are no numbers: neither score nor map (h, w) are."""
    return Prediction(float("nan"), np.full(shape, np.nan, np.float32))
