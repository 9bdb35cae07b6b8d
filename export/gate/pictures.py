"""The pictures that the decision gate runs: the bundle's golden frames, and good and defective ones from a folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from csflow.calibration.metrics import GOOD
from csflow.runtime.bundle.golden import GoldenFrame, means
from csflow.runtime.bundle.manifest import Preprocessing
from csflow.runtime.bundle.tiles import TileGrid
from csflow.runtime.bundle.verification import MAX_PICTURES
from csflow.runtime.engine import CameraEngine
from csflow.runtime.errors import DataError, SourceError
from csflow.runtime.picture.images import image_size, read_picture
from csflow.runtime.picture.preprocess import Pieces, pieces_of, place
from csflow.runtime.picture.region import Region
from csflow.runtime.picture.window import eight_bits
from csflow.toolkit.data.dataset import Dataset, Sample, load_mask

__all__ = ["Truth", "choose_samples", "compared_map", "picture_of", "truth_of"]


@dataclass(frozen=True)
class Truth:
    """What is known about one picture."""

    golden: bool
    good: bool
    marked: NDArray[np.bool_] | None
    """(h, w): the cells of the anomaly map in which the defect lies, all False for a good part; None where nobody
    marked it."""


def choose_samples(dataset: Dataset, limit: int | None = None) -> tuple[Sample, ...]:
    """The labelled pictures of a data set: its test pictures, or where it has none its good ones.

    Args:
        limit: take at most this many, half of them good where there are enough of both kinds, evenly over the
            sorted paths: always the same ones, and some of every defect type.

    Raises DataError where there are more than `MAX_PICTURES`.
    """
    samples = sorted(dataset.test or (*dataset.train, *dataset.calibration), key=lambda s: (s.label, str(s.path)))
    if limit is None and len(samples) > MAX_PICTURES:
        raise DataError(f"{len(samples)} pictures are more than the {MAX_PICTURES} a record holds: pass --limit")
    if limit is None or len(samples) <= limit:
        return tuple(samples)
    good = [s for s in samples if s.label == GOOD]
    defective = [s for s in samples if s.label != GOOD]
    of_good = min(len(good), max(limit - len(defective), limit // 2))
    return (*_evenly(good, of_good), *_evenly(defective, limit - of_good))


def picture_of(sample: Sample, how: Preprocessing, resizer: CameraEngine | None = None) -> Pieces:
    """One picture as an engine takes it. Raises DataError where it cannot be read.

    Args:
        resizer: an engine that resizes the picture itself where it does so for pictures of this size, as in a run.
    """
    try:
        image = read_picture(sample.path)
        if resizer is not None and how.tiles is None:
            mapped = eight_bits(image, how.window)
            if resizer.takes(mapped):
                made, pose = place(resizer.resize(mapped), how, (image.shape[1], image.shape[0]))
                return Pieces(made, how, pose=pose)
        return pieces_of(image, how)
    except SourceError as error:
        raise DataError(f"{sample.path}: {error}") from None


def truth_of(sample: Sample, how: Preprocessing, shape: tuple[int, int]) -> Truth:
    """What is known about one picture.

    Args:
        shape: (h, w) of the anomaly maps of the model's input; a picture in tiles has as many values as theirs give.

    Raises DataError for a damaged mask.
    """
    if sample.mask is None and sample.label != GOOD:
        return Truth(False, False, None)
    size = image_size(sample.path)
    left, top, width, height = how.roi or (0, 0, *size)
    if how.tiles is not None:
        shape = TileGrid.of((left, top, width, height), how.tiles).map_shape(shape)
    if sample.label == GOOD:
        return Truth(False, True, np.zeros(shape, dtype=np.bool_))
    mask = load_mask(sample, size)
    inside = Region.of(how).looked_at(mask).astype(np.float32)
    share = Image.fromarray(inside).resize((shape[1], shape[0]), Image.Resampling.BOX)
    return Truth(False, False, np.asarray(share) > 0)


def compared_map(anomaly_map: NDArray[np.float32], golden: GoldenFrame, grid: TileGrid | None) -> NDArray[np.float64]:
    """(h, w) means over squares of a map, as golden frames keep them; of tiles over their share of the picture.

    Raises ValueError for a map whose sides are no multiples of the squares'.
    """
    if grid is None or golden.cell == 1:
        return means(anomaly_map, golden.cell)
    rows, columns = grid.map_shape(golden.shape)
    return np.asarray(Image.fromarray(anomaly_map).resize((columns, rows), Image.Resampling.BOX), dtype=np.float64)


def _evenly(samples: Sequence[Sample], count: int) -> list[Sample]:
    return [samples[i * len(samples) // count] for i in range(count)]
