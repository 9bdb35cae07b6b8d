"""The pictures that the decision gate runs: the bundle's golden frames, and good and defective ones from a folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from csflow.calibration.metrics import GOOD
from csflow.runtime.bundle.manifest import Preprocessing
from csflow.runtime.bundle.verification import MAX_PICTURES
from csflow.runtime.engine import CameraEngine
from csflow.runtime.errors import DataError, SourceError
from csflow.runtime.picture.images import image_size, read_picture
from csflow.runtime.picture.preprocess import place, preprocess_placed
from csflow.runtime.picture.region import Region
from csflow.runtime.picture.window import eight_bits
from csflow.runtime.types import Frame
from csflow.toolkit.data.dataset import Dataset, Sample, load_mask

__all__ = ["Truth", "choose_samples", "frame_of", "truth_of"]


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


def frame_of(sample: Sample, how: Preprocessing, resizer: CameraEngine | None = None) -> Frame:
    """One picture as an engine takes it, (S, S, 3) uint8 RGB. Raises DataError where it cannot be read.

    Args:
        resizer: an engine that resizes the picture itself where it does so for pictures of this size, as in a run.
    """
    try:
        image = eight_bits(read_picture(sample.path), how.window)
        if resizer is not None and resizer.takes(image):
            prepared, pose = place(resizer.resize(image), how, (image.shape[1], image.shape[0]))
        else:
            prepared, pose = preprocess_placed(image, replace(how, window=None))
        return Frame(prepared, source=str(sample.path), pose=pose)
    except SourceError as error:
        raise DataError(f"{sample.path}: {error}") from None


def truth_of(sample: Sample, how: Preprocessing, shape: tuple[int, int]) -> Truth:
    """What is known about one picture, for anomaly maps of `shape` (h, w). Raises DataError for a damaged mask."""
    if sample.label == GOOD:
        return Truth(False, True, np.zeros(shape, dtype=np.bool_))
    if sample.mask is None:
        return Truth(False, False, None)
    mask = load_mask(sample, image_size(sample.path))
    inside = Region.of(how).looked_at(mask).astype(np.float32)
    share = Image.fromarray(inside).resize((shape[1], shape[0]), Image.Resampling.BOX)
    return Truth(False, False, np.asarray(share) > 0)


def _evenly(samples: Sequence[Sample], count: int) -> list[Sample]:
    return [samples[i * len(samples) // count] for i in range(count)]
