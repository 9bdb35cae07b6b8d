"""Pictures in tiles through an engine: each tile as it would be alone, the highest score, a few at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.manifest import Preprocessing
from csflow.runtime.engines.fake import FakeEngine
from csflow.runtime.engines.pictures import WORST, predict, predict_all
from csflow.runtime.errors import InferenceError
from csflow.runtime.picture.preprocess import pieces_of, preprocess
from csflow.runtime.types import Frame, Prediction

HOW = Preprocessing(64, (10, 20, 400, 200), ignore=((50, 60, 100, 30),), tiles=(96, 16))
PICTURE = np.random.default_rng(0).integers(0, 256, (240, 420, 3), dtype=np.uint8)


class Counted(FakeEngine):
    """Computes three together, and notes how many came in each call."""

    batch = 3

    def __init__(self, bundle: Bundle) -> None:
        super().__init__(bundle)
        self.calls: list[int] = []

    def infer(self, frames: Sequence[Frame]) -> list[Prediction]:
        self.calls.append(len(frames))
        return super().infer(frames)


def test_each_tile_scores_as_that_region_alone_and_the_highest_is_the_pictures(calibrated_bundle: Bundle) -> None:
    engine, picture = Counted(calibrated_bundle), pieces_of(PICTURE, HOW)
    assert picture.grid is not None
    alone = [preprocess(PICTURE, replace(HOW, roi=picture.grid.box(i), tiles=None)) for i in range(len(picture))]
    for piece, expected in zip(picture, alone, strict=True):
        np.testing.assert_array_equal(piece, expected)
    scores = {picture.grid.box(i)[:2]: p.score for i, p in enumerate(FakeEngine.infer(engine, list(map(Frame, alone))))}
    answers: list[str] = []
    (found,) = predict_all(engine, [picture], [Frame(PICTURE)], [lambda: answers.append("one")] * 2)
    assert engine.calls == [3, 3, 3, 3, 3]
    assert len(answers) == 2 * len(engine.calls)
    assert found.score == max(scores.values())
    assert found.tiles is not None
    assert found.tiles.count == 15 > WORST
    assert [(t.x, t.y, t.score) for t in found.tiles.worst] == [
        (*at, score) for at, score in sorted(scores.items(), key=lambda item: -item[1])[:WORST]
    ]
    assert found.anomaly_map.shape == (math.ceil(200 * 2 / 96), math.ceil(400 * 2 / 96))


def test_a_picture_of_one_tile_is_what_it_is_without_tiles(calibrated_bundle: Bundle) -> None:
    how = replace(HOW, roi=(3, 4, 96, 96), ignore=())
    engine = FakeEngine(calibrated_bundle)
    tiled, whole = (predict(engine, pieces_of(PICTURE, h)) for h in (how, replace(how, tiles=None)))
    assert tiled.score == whole.score
    np.testing.assert_array_equal(tiled.anomaly_map, whole.anomaly_map)


@pytest.mark.parametrize("score", [math.nan, 0.0, -0.1, -math.inf])
def test_one_tile_without_a_score_leaves_the_picture_without(calibrated_bundle: Bundle, score: float) -> None:
    class Broken(FakeEngine):
        def infer(self, frames: Sequence[Frame]) -> list[Prediction]:
            (found,) = super().infer(frames)
            return [replace(found, score=score) if found.score < 0.45 else found]

    image = np.full((64, 128, 3), 200, np.uint8)
    image[:, 64:] = 100
    found = predict(Broken(calibrated_bundle), pieces_of(image, Preprocessing(64, tiles=(64, 0))))
    assert math.isnan(found.score)


@pytest.mark.parametrize("shapes", [[(2, 2), (3, 3)], [(0, 0)], [(2,)]])
def test_maps_of_no_or_different_sizes_are_the_engines_failure(
    calibrated_bundle: Bundle, shapes: list[tuple[int, ...]]
) -> None:
    class Odd(FakeEngine):
        def infer(self, frames: Sequence[Frame]) -> list[Prediction]:
            return [replace(p, anomaly_map=np.zeros(shapes.pop(0), np.float32)) for p in super().infer(frames)]

    with pytest.raises(InferenceError, match="gave"):
        predict(Odd(calibrated_bundle), pieces_of(np.zeros((64, 128, 3), np.uint8), Preprocessing(64, tiles=(64, 0))))
