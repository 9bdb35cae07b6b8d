"""What an engine says about whole pictures, whose tiles go through it a few at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from csflow.runtime.bundle.tiles import Box, Stitched, TileGrid
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
    of theirs, and of those that are looked at again, NaN where one is no positive number: an engine that is dead for
    one tile says nothing about the picture.

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
    seen = _Seen(engine, picture, frame, answered)
    seen.take([picture.grid.box(i) for i in range(len(picture))])
    if math.isfinite(seen.score):
        seen.take(seen.looks(picture.how.looks, picture.how.near))
    return seen.prediction()


class _Seen:
    """What an engine has said about tiles of a picture so far."""

    def __init__(self, engine: Engine, picture: Pieces, frame: Frame, answered: Sequence[Callable[[], None]]) -> None:
        assert picture.grid is not None
        self._engine, self._picture, self._frame, self._answered = engine, picture, frame, answered
        self._grid = picture.grid
        self._boxes: list[Box] = []
        self._peaks: list[int] = []
        self._stitched: Stitched | None = None
        self.scores: list[float] = []

    def take(self, boxes: Sequence[Box]) -> None:
        """Ask about these, as many at a time as the engine computes together."""
        batch = batch_of(self._engine)
        for start in range(0, len(boxes), batch):
            some = boxes[start : start + batch]
            pieces = [_piece(self._frame, self._picture.at(box)) for box in some]
            for box, prediction in zip(some, _infer(self._engine, pieces, self._answered), strict=True):
                self._add(box, prediction)

    def _add(self, box: Box, prediction: Prediction) -> None:
        tile_map = prediction.anomaly_map
        if self._stitched is None:
            self._stitched = _stitched(self._grid, tile_map.shape)
        if tile_map.shape != self._stitched.tile_map:
            raise InferenceError(f"engine {self._engine.name} gave maps of different sizes: report it")
        self._stitched.add(box, tile_map)
        self._boxes.append(box)
        self._peaks.append(int(tile_map.argmax()))
        self.scores.append(float(prediction.score))

    @property
    def score(self) -> float:
        """The highest so far; NaN unless all are above 0."""
        return float(np.max(self.scores)) if np.min(self.scores) > 0.0 else math.nan

    def _highest(self, count: int) -> list[int]:
        return [int(i) for i in np.argsort(-np.asarray(self.scores), kind="stable")[:count]]

    def looks(self, count: int, near: int) -> list[Box]:
        """Where to look again, of so many tiles (`TileGrid.looks`)."""
        assert self._stitched is not None
        peaks = ((self._boxes[i], self._peaks[i]) for i in self._highest(count))
        return self._grid.looks(peaks, self._stitched.tile_map, near)

    def prediction(self) -> Prediction:
        """About the whole picture."""
        assert self._stitched is not None
        worst = tuple(TileScore(*self._boxes[i][:2], self.scores[i]) for i in self._highest(WORST))
        count = len(self.scores)
        return Prediction(self.score, self._stitched.values, TileScores(count, worst))


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
