"""Which pictures are kept out of a fit."""

from pathlib import Path

import pytest

from csflow.runtime.errors import DataError
from csflow.toolkit.data.hold_out import split_evenly
from csflow.toolkit.data.sample import Sample


def samples(count: int) -> list[Sample]:
    return [Sample(Path(f"{i:03d}.png")) for i in range(count)]


def test_pictures_held_out_are_spread_over_the_order_and_the_rest_is_kept() -> None:
    given = samples(100)
    kept, held_out = split_evenly(given, 0.1)
    assert [int(s.path.stem) for s in held_out] == list(range(5, 100, 10))
    assert sorted((*kept, *held_out), key=lambda s: s.path) == given
    assert not set(kept) & set(held_out)


def test_nothing_is_held_out_unless_asked_for_and_two_at_least_where_it_is() -> None:
    assert split_evenly(samples(5), 0.0) == (tuple(samples(5)), ())
    kept, held_out = split_evenly(samples(5), 0.01)
    assert len(kept) == 3
    assert len(held_out) == 2


def test_too_few_pictures_are_refused() -> None:
    with pytest.raises(DataError, match="of 3 good pictures, 2 cannot be held out and 2 be kept"):
        split_evenly(samples(3), 0.5)
