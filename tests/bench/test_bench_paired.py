"""Intervals of image AUROC from the tables that evaluations write."""

from pathlib import Path

import pytest

from tests.bench.bench_paired import alone, compared, read_scores


def table(path: Path, good: list[float], bad: list[float]) -> Path:
    rows = [f"good/{i}.png,good,{score}," for i, score in enumerate(good)]
    rows += [f"hole/{i}.png,hole,{score}," for i, score in enumerate(bad)]
    path.write_text("\n".join(["file,label,score,verdict", *rows, "hole/lost.png,hole,,"]))
    return path


def test_one_evaluation_has_an_interval_and_two_that_of_their_difference(tmp_path: Path) -> None:
    some = read_scores(table(tmp_path / "some.csv", [1.0, 2.0, 3.0, 4.0], [2.5, 3.5, 5.0, 6.0]))
    found = alone(some, 500)
    assert found["auroc"] == pytest.approx(13 / 16)
    assert 0.3 < found["low"] < found["auroc"] < found["high"] <= 1.0
    perfect = read_scores(table(tmp_path / "perfect.csv", [1.0, 1.0, 1.0, 1.0], [2.0, 2.0, 2.0, 2.0]))
    assert alone(perfect, 50) == {"auroc": 1.0, "low": 1.0, "high": 1.0}
    against = compared(some, perfect, 500)
    assert against.difference == pytest.approx(13 / 16 - 1.0)
    # The perfect one is so in every draw, so both intervals are one.
    assert (against.low, against.high) == pytest.approx((found["low"] - 1.0, found["high"] - 1.0))
