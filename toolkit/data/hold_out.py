"""Keeping good pictures out of a fit: only their scores tell how a model scores good parts that it has not seen."""

from __future__ import annotations

from collections.abc import Sequence

from csflow.runtime.errors import DataError
from csflow.toolkit.data.sample import Sample

__all__ = ["split_evenly"]


def split_evenly(samples: Sequence[Sample], share: float) -> tuple[tuple[Sample, ...], tuple[Sample, ...]]:
    """(kept, held out): of pictures in their order, `share` (in 0..0.5) spread evenly over it, at least 2 unless 0.

    Raises DataError where fewer than 2 pictures would be kept.
    """
    if share == 0.0:
        return tuple(samples), ()
    count = max(2, round(share * len(samples)))
    if len(samples) - count < 2:
        raise DataError(f"of {len(samples)} good pictures, {count} cannot be held out and 2 be kept: bring more")
    # The middle of each of `count` equal pieces, so that neither end of a day's pictures is favoured.
    chosen = {(2 * i + 1) * len(samples) // (2 * count) for i in range(count)}
    kept = tuple(sample for i, sample in enumerate(samples) if i not in chosen)
    return kept, tuple(samples[i] for i in sorted(chosen))
