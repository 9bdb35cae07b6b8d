"""Rounding to eight bits: powers of two of the least error, and what ONNX's operators would do."""

import math

import pytest
import torch

from csflow.toolkit.backbones.int8.rounding import LEVELS, Range, Rounding, ShiftedRounding, power_of_two, round_weights


def test_it_rounds_halves_to_even_and_saturates() -> None:
    rounding = Rounding()
    rounding.register_buffer("scale", torch.tensor(0.25))
    x = torch.tensor([0.125, 0.375, -0.125, 0.26, 1e6, -1e6])
    assert rounding(x).tolist() == [0.0, 0.5, 0.0, 0.25, 0.25 * 127, 0.25 * -128]


def test_ranges_are_counted_alike_in_one_piece_and_in_many() -> None:
    values = torch.randn(4000, generator=torch.Generator().manual_seed(0)).double()
    whole, parts = Range(), Range()
    whole.see(values)
    for part in torch.split(values.sort().values, 500):
        parts.see(part)
    assert whole.scale() == parts.scale() == power_of_two(values.abs(), torch.ones(4000), float(values.abs().max()))


def test_a_range_is_no_wider_than_the_error_asks_for() -> None:
    seen = Range()
    seen.see(torch.cat([torch.full((1,), 100.0), torch.linspace(0, 1.0, 100_000)]))
    assert seen.scale() < 100.0 / LEVELS, "one outlier does not coarsen all others"
    nothing = Range()
    nothing.see(torch.zeros(8))
    assert nothing.scale() > 0.0


@pytest.mark.parametrize("levels", [LEVELS, 1016])
def test_weights_are_whole_multiples_of_a_power_of_two_for_each_output(levels: int) -> None:
    weight = (
        torch.randn(5, 3, 3, 3, generator=torch.Generator().manual_seed(1))
        * torch.logspace(-6, 2, 5)[:, None, None, None]
    )
    rounded, scale = round_weights(weight, levels)
    assert all(math.frexp(float(s))[0] == 0.5 for s in scale)
    whole = rounded / scale[:, None, None, None]
    assert torch.equal(whole, whole.round())
    assert float(whole.abs().max()) <= levels
    error = (rounded - weight).flatten(1).norm(dim=1) / weight.flatten(1).norm(dim=1)
    assert float(error.max()) < 1.0 / math.sqrt(levels)


def test_what_is_never_negative_is_rounded_twice_as_finely() -> None:
    plain, shifted = Rounding(), ShiftedRounding()
    x = 6.0 * torch.rand(4000, generator=torch.Generator().manual_seed(2))
    for rounding in (plain, shifted):
        rounding.seen = Range()
        rounding(x)
        rounding.fit()
    assert float(shifted.get_buffer("scale")) == float(plain.get_buffer("scale")) / 2
    shift = float(shifted.get_buffer("shift"))
    assert float((shifted(x) + shift - x).abs().max()) <= float(shifted.get_buffer("scale")) / 2
    assert float(shifted(torch.zeros(1))) == -shift


def test_what_has_both_signs_is_not_shifted() -> None:
    rounding = ShiftedRounding()
    rounding.seen = Range()
    rounding(torch.tensor([-3.0, 4.0]))
    rounding.fit()
    assert float(rounding.get_buffer("shift")) == 0.0
    assert rounding(torch.tensor([-3.0, 4.0])).tolist() == [-3.0, 4.0]


def test_more_levels_than_eight_bits_have_are_finer() -> None:
    rounding = Rounding(1023)
    rounding.register_buffer("scale", torch.tensor(0.25))
    assert rounding(torch.tensor([100.1, 1e6, -1e6])).tolist() == [100.0, 1023 / 4, -1024 / 4]
