"""PaDiM: a Gaussian at every position (Defard, Setkov, Loesch, Audigier, ICPR workshops 2021).

Feature maps are standardised per channel, brought to the size of the finest by repeating positions, and laid over each
other, so that every position has a vector of D numbers; of more channels than fit, D are drawn at random. Every
position has its own mean and full covariance over the good pictures. Map: the squared Mahalanobis distance per
dimension; where the paper takes its root, csflow keeps the unit of maps, which changes no order. Score: half the
maximum of the map.

A covariance S becomes (1 - a) S + a v I with v its mean variance, at least `LEAST`; the paper adds 0.01 I. The
distances of a position are divided by their mean for good pictures that are left out of its Gaussian in turn: new
parts are farther from it than the pictures that made it, and 1 is the unit of maps. With `in_spread` they are put into
units of the spread of these (`csflow.toolkit.methods.spread`). The paper's Gaussian filter of 4 pixels is left out:
made defects of magnetic tiles were found less well with it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from csflow.runtime.bundle.manifest import Definitions
from csflow.runtime.errors import DataError
from csflow.toolkit.features import FeatureFiles
from csflow.toolkit.methods.gaussian import STILL, PlaceMatrices, left_out_scores, whole
from csflow.toolkit.methods.ignored import KeptPlaces, masked
from csflow.toolkit.methods.method import SCORE_FLOOR, Fitted, Head, OnePass, Reading, Shapes, Workplace
from csflow.toolkit.methods.spread import PlaceSpread
from csflow.toolkit.options import later

__all__ = ["PaDiM", "PaDiMConfig", "PaDiMHead", "PaDiMTraining"]

LEAST = 0.01
"""The paper's 0.01 I, of a covariance of standardised channels."""
MEMORY = 256 << 20
"""Bytes of matrices unless the user chooses the channels."""
MOST = 1 << 30
"""Bytes of matrices at most: an ONNX file ends at 2 GiB."""


@dataclass(frozen=True)
class PaDiMConfig:
    """How large the Gaussians are."""

    channels: int = 0
    """Channels kept, drawn at random: a bundle grows with the square. 0: all, or as many as keep the matrices of all
    positions within 256 MiB in float32. The paper keeps 100 of 448, or 550 of 1792."""
    spread: bool = later(False, is_settled=True)
    """Whether positions are in units of their spread; those of older bundles are not."""

    def __post_init__(self) -> None:
        if self.channels < 0:
            raise ValueError("channels must be at least 1, or 0 for as many as fit")


@dataclass(frozen=True)
class PaDiMTraining:
    """How the Gaussians are fitted."""

    shrinkage: float = 0.01
    """a in 0..1, above 0: share of the identity in every covariance."""
    seed: int = 0
    """Seeds the draw of channels."""
    in_spread: bool = False
    """Put every position of the map into units of its own spread over good pictures; the paper does not."""

    def __post_init__(self) -> None:
        if not 0.0 < self.shrinkage <= 1.0:
            raise ValueError("shrinkage must lie above 0 and at most at 1")


class PaDiMHead(Head):
    """Mean, factor and whitening matrix of every position."""

    def __init__(self, config: PaDiMConfig, shapes: Shapes) -> None:
        super().__init__()
        self.config = config
        self.finest = max((h, w) for _, h, w in shapes)
        self.register_buffer("mean", torch.zeros(config.channels, *self.finest))
        self.register_buffer("factor", torch.ones(config.channels, *self.finest))
        self.matrices: nn.Module = PlaceMatrices(math.prod(self.finest), config.channels)
        self.counted = KeptPlaces()
        self.spread = PlaceSpread(*self.finest) if config.spread else nn.Identity()
        total = sum(c for c, _, _ in shapes)
        self.register_buffer("kept", torch.arange(config.channels) if config.channels < total else None)

    def forward(self, *features: Tensor) -> tuple[Tensor, Tensor]:
        """Map features (N, C_i, h_i, w_i) to score (N,) and anomaly map (N, h, w) of the finest."""
        x = torch.cat([self._repeated(f) for f in masked(whole(features), self.counted.masks)], dim=1)
        kept = self._buffers["kept"]
        x = x if kept is None else x.index_select(1, kept)
        z = (x - self.get_buffer("mean")) * self.get_buffer("factor")
        distance = self.matrices(z.flatten(2).permute(2, 1, 0)).square().mean(dim=1)
        anomaly_map = self.counted.over(self.spread(distance.permute(1, 0).unflatten(1, self.finest)))
        return anomaly_map.amax(dim=(1, 2)) / 2 + SCORE_FLOOR, anomaly_map

    def _repeated(self, x: Tensor) -> Tensor:
        return x if tuple(x.shape[2:]) == self.finest else functional.interpolate(x, self.finest, mode="nearest")


class PaDiM(OnePass):
    """A Gaussian at every position, in closed form."""

    name = "padim"
    graph = "padim"
    definitions = Definitions(
        "half the maximum of the map",
        "squared Mahalanobis distance per dimension to the Gaussian of the position",
    )
    reading = Reading(scales=1, stages=(4, 5), others=(1, 2, 3))
    config = PaDiMConfig
    training = PaDiMTraining

    def settle(self, config: PaDiMConfig, shapes: Shapes) -> PaDiMConfig:
        """With the channels that are kept. Raises ValueError for more than there are, or than a graph can hold."""
        total, places = sum(c for c, _, _ in shapes), math.prod(max((h, w) for _, h, w in shapes))
        channels = config.channels or min(total, math.isqrt(MEMORY // 4 // places))
        if channels > total:
            raise ValueError(f"padim cannot keep {channels} channels, the features have {total}: ask for fewer")
        if (size := 4 * places * channels**2) > MOST:
            raise ValueError(
                f"{channels} channels at {places} positions need matrices of {size / 1e9:.1f} GB, {MOST / 1e9:.1f} GB "
                f"at most: ask for at most {math.isqrt(MOST // 4 // places)} channels, or read a coarser stage"
            )
        return replace(config, channels=channels)

    def head(self, config: PaDiMConfig, shapes: Shapes) -> PaDiMHead:
        """A head whose matrices are zero. Raises ValueError as `settle`."""
        return PaDiMHead(self.settle(config, shapes), shapes)

    def fit(self, features: FeatureFiles, config: PaDiMConfig, training: PaDiMTraining, work: Workplace) -> Fitted:
        """All Gaussians, row by row of positions; the fact is the channels kept. Raises DataError under 2 pictures."""
        if features.pictures < 2:
            raise DataError("a covariance needs pictures of at least 2 good parts: bring more")
        head = self.head(replace(config, spread=training.in_spread), features.shapes)
        total = sum(c for c, _, _ in features.shapes)
        draw = torch.randperm(total, generator=torch.Generator().manual_seed(training.seed))
        kept = draw[: head.config.channels].sort()[0]
        if "kept" in head.state_dict():
            head.get_buffer("kept").copy_(kept)
        left_out = []
        counted = next(m for m in features.masks if tuple(m.shape) == head.finest)
        head.counted.set(features.kept)
        for place, samples, scale in _places(features, counted, kept):
            left_out.append(_set(head, place, samples, scale, training.shrinkage, features.variants).float())
        maps = torch.zeros(len(left_out[0]), *head.finest)
        maps[:, counted.bool()] = torch.stack(left_out, dim=1)
        if isinstance(head.spread, PlaceSpread) and len(maps):
            head.spread.set(maps.mean(dim=0), maps.var(dim=0, correction=0), features.pictures, counted)
        scores = head.counted.over(head.spread(maps)).flatten(1).amax(dim=1) / 2 + SCORE_FLOOR
        return Fitted(head.to(work.device).eval(), {"channels": float(head.config.channels)}, tuple(scores.tolist()))


def _places(features: FeatureFiles, counted: Tensor, kept: Tensor) -> Iterator[tuple[tuple[int, int], Tensor, Tensor]]:
    """Each position that counts, the channels kept there (N, D), float64, and their spread over all of these (D,)."""
    variance = torch.cat([v for _, v in features.channel_moments()])[kept]
    scale = torch.where(variance > STILL**2, variance, torch.ones_like(variance)).sqrt()
    for row, of_row in enumerate(counted):
        block = _row(features, row, (len(counted), len(of_row)))
        for column in map(int, of_row.nonzero()):
            yield (row, column), block[:, kept, column].double(), scale


def _row(features: FeatureFiles, row: int, finest: tuple[int, int]) -> Tensor:
    """(N, D, w): one row of positions of all maps, coarser ones repeated."""
    height, width = finest
    rows: Sequence[Tensor] = [
        (torch.from_numpy(array[:, :, row * h // height].copy()) * mask[row * h // height])[
            :, :, torch.arange(width) * w // width
        ]
        for array, (_, h, w), mask in zip(features.maps, features.shapes, features.masks, strict=True)
    ]
    return torch.cat(tuple(rows), dim=1)


def _set(
    head: PaDiMHead, place: tuple[int, int], samples: Tensor, scale: Tensor, shrinkage: float, variants: int
) -> Tensor:
    """Fit one position of the head; the distances (N,) of pictures left out there, of mean 1."""
    mean = samples.mean(dim=0)
    z = (samples - mean) / scale
    unit = z.square().mean().mul(len(z) / (len(z) - 1)).clamp(min=LEAST).sqrt()
    z /= unit
    identity = torch.eye(len(mean), dtype=torch.float64)
    root = torch.linalg.cholesky((1.0 - shrinkage) * (z.T @ z) / (len(z) - 1) + shrinkage * identity)
    # Twice a score is a distance; of two pictures none can be left out.
    distances = 2.0 * left_out_scores(z, shrinkage, variants)
    expected = distances.mean().clamp(min=LEAST) if len(distances) else torch.tensor(1.0)
    row, column = place
    head.get_buffer("mean")[:, row, column] = mean
    head.get_buffer("factor")[:, row, column] = 1.0 / (scale * unit * expected.sqrt())
    head.matrices.get_buffer("matrix")[row * head.finest[1] + column] = torch.linalg.solve_triangular(
        root, identity, upper=False
    )
    return distances / expected
