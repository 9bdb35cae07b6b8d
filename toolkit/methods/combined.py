"""A combined judgement: heads of several methods over one backbone, their scores standardised and joined.

    features -> member 1 -> score, map \\
    features -> member 2 -> score, map  -> join -> score (N,), anomaly_map (N, h, w)

With centre c and spread d of a member's scores of unseen good parts, its standardised score is z = (s - c) / d. The
joined score is a shift and a factor times the mean of all z, or times their maximum: the shift keeps it above 0, since
every s is, the factor gives good parts the mean of the members' centres; neither changes the order. Maps have one unit
in all methods, so they are joined as they are, by the same rule, coarser ones enlarged bilinearly to the finest.
"""

from __future__ import annotations

import functools
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from csflow.runtime import schema
from csflow.runtime.bundle.manifest import Definitions
from csflow.runtime.errors import BundleVersionError
from csflow.toolkit.methods.ignored import KeptPlaces, enlarged, kept_masks
from csflow.toolkit.methods.method import SCORE_FLOOR, Head, Judge, Shapes

__all__ = ["JOINED", "RULES", "Combined", "CombinedConfig", "CombinedHead", "Join", "MemberConfig"]

JOINED = "joined"
"""Name of the last graph."""
RULES = ("mean", "maximum")


@dataclass(frozen=True)
class MemberConfig:
    """One of the heads."""

    method: str
    """A name of `csflow.toolkit.methods.table`."""
    graph: str
    """Name of its graph and weights file in the combined bundle."""
    features: tuple[int, ...]
    """Which of the backbone's feature maps it reads, in its own order."""
    head: dict[str, Any]
    """Its configuration, as the manifest of its own bundle has it."""


@dataclass(frozen=True)
class CombinedConfig:
    """The heads, and how their judgements are joined."""

    members: tuple[MemberConfig, ...] = ()
    """At least two."""
    rule: str = "mean"
    """'mean' or 'maximum' of the standardised scores."""
    maps: tuple[int, ...] = ()
    """Members whose maps are joined, counted from 0; at least one."""

    def __post_init__(self) -> None:
        graphs = [member.graph for member in self.members]
        if len(graphs) < 2 or len(set(graphs)) != len(graphs):
            raise ValueError("members must be at least two, with graphs of different names")
        if self.rule not in RULES:
            raise ValueError(f"rule must be one of {', '.join(RULES)}")
        if not self.maps or not {*self.maps} <= {*range(len(graphs))}:
            raise ValueError("maps must be numbers of members, at least one")


class Join(nn.Module):
    """Scores and maps of all members to one of each."""

    def __init__(self, config: CombinedConfig) -> None:
        super().__init__()
        self.rule, self.maps = config.rule, config.maps
        self.register_buffer("factor", torch.ones(len(config.members)))
        self.register_buffer("offset", torch.zeros(len(config.members)))
        self.kept = KeptPlaces()

    @torch.no_grad()
    def set(self, spreads: Sequence[tuple[float, float]]) -> tuple[float, float]:
        """Take centre and spread (> 0) of each member; returns those of joined scores that are independent."""
        heights = [centre / spread for centre, spread in spreads]
        shift = statistics.fmean(heights) if self.rule == "mean" else max(heights)
        centre = statistics.fmean(centre for centre, _ in spreads)
        unit = centre / shift
        for i, (height, (_, spread)) in enumerate(zip(heights, spreads, strict=True)):
            self.get_buffer("factor")[i] = unit / spread
            # In a mean they add up to nothing.
            self.get_buffer("offset")[i] = 0.0 if self.rule == "mean" else unit * (shift - height)
        return centre, unit / len(heights) ** 0.5

    def scores(self, scores: Sequence[Tensor]) -> Tensor:
        """The joined score (N,) of the members' scores, each (N,)."""
        factor, offset = self.get_buffer("factor"), self.get_buffer("offset")
        return self._joined([s * factor[i] + offset[i] for i, s in enumerate(scores)]) + SCORE_FLOOR

    def forward(self, *judged: Tensor) -> tuple[Tensor, Tensor]:
        """Map score (N,) and map (N, h_i, w_i) of each member in turn to score (N,) and anomaly map (N, h, w)."""
        chosen = [judged[2 * i + 1] for i in self.maps]
        finest = max((int(m.shape[1]), int(m.shape[2])) for m in chosen)
        masks = self.kept.masks or [None] * len(chosen)
        wide = [enlarged(m[:, None], finest, mask)[:, 0] for m, mask in zip(chosen, masks, strict=True)]
        return self.scores(judged[::2]), self.kept.over(self._joined(wide))

    def _joined(self, values: Sequence[Tensor]) -> Tensor:
        if self.rule == "maximum":
            return functools.reduce(torch.maximum, values)
        total: Tensor = functools.reduce(torch.add, values)
        return total / len(values)


class CombinedHead(Head):
    """The members' heads and the join."""

    def __init__(self, config: CombinedConfig, heads: Sequence[Head]) -> None:
        super().__init__()
        self.config = config
        self.heads = nn.ModuleList(heads)
        self.join = Join(config)

    def ignore_as_members(self) -> None:
        """Let the join know which positions of its members' maps count; all of them, or no member, ignore some."""
        masks = [kept_masks(self.heads[i]) for i in self.config.maps]
        self.join.kept.set(max(found, key=lambda mask: tuple(mask.shape)) for found in masks if found)

    @property
    def parts(self) -> Mapping[str, nn.Module]:
        """Each member by the name of its graph, and the join."""
        named = zip((member.graph for member in self.config.members), self.heads, strict=True)
        return {**dict(named), JOINED: self.join}

    def judged(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Score and map of each member in turn."""
        members = zip(self.config.members, self.heads, strict=True)
        return [found for member, head in members for found in head(*(features[i] for i in member.features))]

    def forward(self, *features: Tensor) -> tuple[Tensor, Tensor]:
        """Map features (N, C_i, h_i, w_i) to score (N,) and anomaly map (N, h, w)."""
        joined: tuple[Tensor, Tensor] = self.join(*self.judged(features))
        return joined


class Combined:
    """Made of trained bundles by `csflow combine`; nothing is fitted."""

    name = "combined"
    graph = JOINED
    definitions = Definitions(
        "shift and factor times the mean or maximum of the members' scores, each standardised by unseen good parts",
        "mean or maximum of the members' maps",
    )
    config = CombinedConfig

    def __init__(self, members: Mapping[str, Judge]) -> None:
        self._members = members

    def head(self, config: CombinedConfig, shapes: Shapes) -> CombinedHead:
        """The members' heads, whose weights are still to be loaded.

        Raises ValueError where one cannot read its features, BundleVersionError for a method that is not known.
        """
        return CombinedHead(config, [self._member(member, shapes) for member in config.members])

    def _member(self, member: MemberConfig, shapes: Shapes) -> Head:
        if member.method not in self._members:
            raise BundleVersionError(
                f"the bundle's member {member.method!r} is not known to this csflow: update csflow"
            )
        if not {*member.features} <= {*range(len(shapes))}:
            raise ValueError(f"{member.graph} reads features {member.features}, there are {len(shapes)}")
        method = self._members[member.method]
        config: Any = schema.from_mapping(method.config, member.head, f"model.head.{member.graph}")
        return method.head(config, tuple(shapes[i] for i in member.features))
