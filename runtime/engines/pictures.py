"""What an engine says about whole pictures, whose tiles go through it a few at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from csflow.runtime.bundle.tiles import Stitched, TileGrid
from csflow.runtime.engine import BatchEngine, Engine
from csflow.runtime.errors import InferenceError, SourceError
from csflow.runtime.picture.align import moved_back
from csflow.runtime.picture.preprocess import Pieces
from csflow.runtime.types import Frame, Prediction, TileScore, TileScores

__all__ = ["WORST", "batch_of", "predict", "predict_all"]

WORST = 8
"""Tiles that a result names."""


def batch_of(engine: Engine) -> int:
    """How many frames an engine computes together, at most."""
    return engine.batch if isinstance(engine, BatchEngine) else 1


def predict(engine: Engine, picture: Pieces, source: str = "") -> Prediction:
    """`predict_all` of one picture."""
    return predict_all(engine, [picture], [Frame(picture.image, source=source)])[0]


def predict_all(
    engine: Engine, pictures: Sequence[Pieces], frames: Sequence[Frame], answered: Sequence[Callable[[], None]] = ()
) -> list[Prediction]:
    """One prediction for each picture. Pictures of one piece go to the engine together, and their maps are moved back
    where they were aligned; of tiles as many as it computes together, and never more are held: the score is the highest
    of theirs, NaN where one is.

    Args:
        frames: where the pictures came from, in the same order.
        answered: each is called after each answer of the engine.

    Raises InferenceError when the engine fails, and where the map of a picture would be too large.
    """
    if all(picture.grid is None for picture in pictures):
        found = _infer(engine, [_piece(f, p[0]) for f, p in zip(frames, pictures, strict=True)], answered)
        return [moved_back(prediction, p.pose) for prediction, p in zip(found, pictures, strict=True)]
    return [_predict_tiled(engine, p, f, answered) for p, f in zip(pictures, frames, strict=True)]


def _predict_tiled(engine: Engine, picture: Pieces, frame: Frame, answered: Sequence[Callable[[], None]]) -> Prediction:
    assert picture.grid is not None
    batch, stitched, scores = batch_of(engine), None, np.empty(len(picture))
    for start in range(0, len(picture), batch):
        numbers = range(start, min(start + batch, len(picture)))
        found = _infer(engine, [_piece(frame, picture[i]) for i in numbers], answered)
        for i, prediction in zip(numbers, found, strict=True):
            stitched = stitched or _stitched(picture.grid, prediction.anomaly_map.shape)
            if prediction.anomaly_map.shape != stitched.tile_map:
                raise InferenceError(f"engine {engine.name} gave maps of different sizes: report it")
            stitched.add(i, prediction.anomaly_map)
            scores[i] = prediction.score
    assert stitched is not None
    order = np.argsort(-scores, kind="stable")[:WORST]
    worst = tuple(TileScore(*picture.grid.box(int(i))[:2], float(scores[i])) for i in order)
    return Prediction(float(scores.max()), stitched.values, TileScores(len(picture), worst))


def _stitched(grid: TileGrid, shape: tuple[int, ...]) -> Stitched:
    try:
        return Stitched(grid, (shape[0], shape[1]))
    except SourceError as error:
        raise InferenceError(str(error)) from None


def _piece(frame: Frame, image: NDArray[np.uint8]) -> Frame:
    return Frame(image, frame.index, frame.captured_ns, frame.source, frame.captured_unix_ns)


def _infer(engine: Engine, frames: Sequence[Frame], answered: Sequence[Callable[[], None]]) -> list[Prediction]:
    predictions = engine.infer(frames)
    for call in answered:
        call()
    if len(predictions) != len(frames):
        given = f"{len(predictions)} predictions for {len(frames)} frames"
        raise InferenceError(f"engine {engine.name} gave {given}; expected one each: report it")
    for shape in (prediction.anomaly_map.shape for prediction in predictions):
        if len(shape) != 2 or 0 in shape:
            raise InferenceError(f"engine {engine.name} gave a map of {shape}; expected (h, w): report it")
    return predictions
