"""What counts as an outlier among the scores of good parts."""

from __future__ import annotations

import numpy as np

from csflow.calibration.outliers import outliers_of


def test_scores_of_good_parts_have_no_outliers() -> None:
    draw = np.random.default_rng(5)
    found = sum(bool(outliers_of(list(np.exp(draw.normal(0.0, 0.5, 60))))) for _ in range(500))
    assert found <= 2
    assert outliers_of([1.0, 1.01, 1.02, 1.0, 1.01, 1.02, 1.0, 1.5]) == []
    assert outliers_of([1.0, 1.01, 1.02, 1.0, 1.01, 1.02, 1.0, 2.5]) == [7]
    assert outliers_of([1.0, 1.0, 9.0]) == []
