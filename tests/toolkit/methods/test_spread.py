"""Positions in units of their spread: by few parts hardly, never below 0, and no more than the parts can say."""

import pytest
import torch

from csflow.toolkit.methods.spread import PRIOR, PlaceSpread

MEAN = torch.tensor([[1.0, 2.0], [4.0, 100.0]])
VARIANCE = torch.tensor([[0.04, 0.16], [1.0, 0.0]])
COUNTED = torch.tensor([[1.0, 1.0], [1.0, 0.0]])


def spread(pictures: int) -> PlaceSpread:
    made = PlaceSpread(2, 2)
    made.set(MEAN, VARIANCE, pictures, COUNTED)
    return made


def test_of_many_parts_a_deviation_counts_alike_at_every_position_that_counts() -> None:
    made = spread(10**9)
    step = made(MEAN[None] + 3.0 * VARIANCE.sqrt()) - made(MEAN[None])
    torch.testing.assert_close(step[0, 0, 0], step[0, 1, 0])
    torch.testing.assert_close(step[0, 0, 0], 3.0 * torch.tensor(0.4).sqrt())
    at_mean = made(MEAN[None])[0]
    torch.testing.assert_close(at_mean[0], at_mean[1, :1].expand(2))
    assert made(MEAN[None])[0, 1, 1] == MEAN[1, 1]


@pytest.mark.parametrize("pictures", [2, 100, 10**6])
def test_what_is_not_negative_stays_so_and_the_order_at_a_position_too(pictures: int) -> None:
    made = spread(pictures)
    found = made(torch.tensor([0.0, 1e-3, 1e6])[:, None, None].expand(3, 2, 2))
    assert float(found.min()) >= 0.0
    assert (found.diff(dim=0) > 0.0).all()


def test_no_position_is_enlarged_more_than_its_parts_can_say_and_by_few_hardly() -> None:
    still = PlaceSpread(1, 100)
    for pictures in (1, 30):
        variance = torch.ones(1, 100)
        variance[0, 0] = 0.0
        still.set(torch.ones(1, 100), variance, pictures, torch.ones(1, 100))
        assert float(still.get_buffer("factor").max()) == pytest.approx((1 + pictures / PRIOR) ** 0.5, rel=0.01)


def test_where_no_part_differs_from_another_the_map_is_as_it_was() -> None:
    made = PlaceSpread(2, 2)
    made.set(MEAN, torch.zeros(2, 2), 5, COUNTED)
    assert torch.equal(made(MEAN[None]), MEAN[None])
