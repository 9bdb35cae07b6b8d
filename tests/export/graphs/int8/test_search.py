"""What contributes most stays wide, no more of it than the budget asks for."""

from collections.abc import Sequence

import numpy as np
import onnx
import pytest

from csflow.export.graphs.int8.running import scores_of
from csflow.export.graphs.int8.search import Trial, contributions, narrowest
from tests.export.graphs.int8.nets import features, head

pytest.importorskip("onnxruntime", reason="quantizing needs the extra export")
RANKED = [f"t{i}" for i in range(9)]


def trial(wide: Sequence[str]) -> Trial:
    """Of these, each that is wide takes a tenth of an error away."""
    error = 1.0 - 0.1 * len(wide)
    return Trial(onnx.ModelProto(), tuple(wide), np.array([0.5 + error, 0.5 - error]))


def test_a_coarse_scale_contributes_most() -> None:
    model, parts = onnx.load_from_string(head()), features(8)
    scales = {"features_0": 0.04, "h": 2.0, "large": 0.1}
    found = contributions(model, scales, parts, scores_of(model, parts))
    assert next(iter(found)) == "h"
    assert list(found.values()) == sorted(found.values(), reverse=True)
    assert set(found) == set(scales)


def test_no_more_is_wide_than_the_budget_asks_for() -> None:
    assert narrowest(trial(()), RANKED, 1.0, trial).wide == ()
    assert narrowest(trial(()), RANKED, 0.85, trial).wide == ("t0", "t1")
    assert narrowest(trial(()), RANKED, 0.1, trial).wide == tuple(RANKED[:4]), "never more than half"


def test_what_makes_it_worse_is_not_taken() -> None:
    def worse(wide: Sequence[str]) -> Trial:
        return Trial(onnx.ModelProto(), tuple(wide), np.array([3.0, -3.0]))

    assert narrowest(trial(()), RANKED, 0.1, worse).wide == ()


def test_errors_are_told_apart_from_their_mean() -> None:
    found = Trial(onnx.ModelProto(), (), np.array([1.0, 2.0, 3.0]))
    assert found.shift == 2.0
    assert found.worst == 1.0
    assert found.spread == pytest.approx((2 / 3) ** 0.5)
