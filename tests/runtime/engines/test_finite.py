"""Whether features are numbers, in every type that a graph gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from csflow.runtime.engines.finite import all_finite, no_score


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_one_value_that_is_none_among_many_is_found(kind: Any) -> None:
    values = np.random.default_rng(3).normal(size=(3, 5, 7)).astype(kind)
    values[0, 0, :4] = (np.finfo(kind).max, np.finfo(kind).min, 0.0, -0.0)
    assert all_finite(values)
    for none in (np.nan, -np.nan, np.inf, -np.inf):
        spoilt = values.copy()
        spoilt[2, 4, 6] = none
        assert not all_finite(spoilt)
    assert all_finite(values[:0])


def test_no_score_is_none_anywhere() -> None:
    nothing = no_score((2, 3))
    assert np.isnan(nothing.score)
    assert nothing.anomaly_map.shape == (2, 3)
    assert np.isnan(nothing.anomaly_map).all()
