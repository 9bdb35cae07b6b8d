"""Joining judgements: the order of standardised scores, positive scores, maps in their unit, and what is refused."""

import pytest
import torch

from csflow.runtime.errors import BundleVersionError
from csflow.toolkit.methods.combined import CombinedConfig, Join, MemberConfig
from csflow.toolkit.methods.table import method_named

SPREADS = [(2.0, 0.5), (1.0, 0.05), (0.3, 0.2)]


def config(rule: str = "mean", maps: tuple[int, ...] = (0, 1, 2), count: int = 3) -> CombinedConfig:
    members = tuple(MemberConfig("mahalanobis", f"member_{i}", (0,), {}) for i in range(count))
    return CombinedConfig(members, rule, maps)


@pytest.mark.parametrize("rule", ["mean", "maximum"])
def test_joined_scores_have_the_order_of_standardised_ones_and_are_positive(rule: str) -> None:
    join = Join(config(rule))
    join.set(SPREADS)
    scores = torch.rand(3, 200, generator=torch.Generator().manual_seed(0)) * 4 + 1e-6
    z = torch.stack([(s - centre) / spread for s, (centre, spread) in zip(scores, SPREADS, strict=True)])
    expected = z.mean(dim=0) if rule == "mean" else z.amax(dim=0)
    joined = join.scores(list(scores))
    assert torch.equal(joined.argsort(), expected.argsort())
    assert (joined > 0).all()
    nothing = join.scores([torch.full((1,), 1e-6)] * 3)
    assert 0 < float(nothing) < float(joined.min())


def test_good_parts_get_the_mean_of_the_members_centres() -> None:
    join = Join(config())
    centre, spread = join.set(SPREADS)
    normal = [
        torch.normal(c, s, (20_000,), generator=torch.Generator().manual_seed(i)) for i, (c, s) in enumerate(SPREADS)
    ]
    joined = join.scores(normal)
    assert centre == pytest.approx(1.1)
    assert float(joined.mean()) == pytest.approx(centre, rel=0.01)
    assert float(joined.std()) == pytest.approx(spread, rel=0.05), "of independent members"


def test_maps_are_joined_by_the_rule_and_enlarged_to_the_finest_of_those_chosen() -> None:
    score = torch.ones(1)
    coarse, fine, finest = torch.full((1, 2, 2), 4.0), torch.full((1, 4, 4), 2.0), torch.zeros(1, 8, 8)
    judged = (score, coarse, score, fine, score, finest)
    _, mean = Join(config("mean", (0, 1)))(*judged)
    _, maximum = Join(config("maximum", (0, 1, 2)))(*judged)
    _, alone = Join(config("mean", (1,)))(*judged)
    assert torch.equal(mean, torch.full((1, 4, 4), 3.0))
    assert torch.equal(maximum, torch.full((1, 8, 8), 4.0))
    assert torch.equal(alone, fine)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"count": 1}, "at least two"),
        ({"rule": "median"}, "rule must be one of mean, maximum"),
        ({"maps": ()}, "maps must be numbers of members"),
        ({"maps": (3,)}, "maps must be numbers of members"),
    ],
)
def test_what_is_no_combination_is_refused(values: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        config(**values)  # type: ignore[arg-type]


def test_a_bundle_of_a_newer_csflow_or_with_features_that_are_not_there_is_refused() -> None:
    members = tuple(MemberConfig("newest", f"member_{i}", (0,), {}) for i in range(2))
    with pytest.raises(BundleVersionError, match="member 'newest' is not known"):
        method_named("combined").head(CombinedConfig(members, maps=(0,)), ((4, 2, 2),))
    with pytest.raises(ValueError, match="member_0 reads features"):
        method_named("combined").head(config(), ())
