"""Mahalanobis distance of pooled features: one Gaussian over whole pictures for the score, one a place for the map.

Score: of every feature map the mean and the standard deviation of each channel over all positions, together a vector
x of D numbers; half its squared Mahalanobis distance per dimension, (x - m)ᵀ S⁻¹ (x - m) / 2D, with mean m and shrunk
covariance S over the good pictures (Rippel, Mertens, Merhof, ICPR 2020, take the means alone).

Map: at every position the squared Mahalanobis distance of the feature vector to the mean of that position, per
dimension, with one covariance for all positions of a feature map; coarser maps are enlarged bilinearly to the size of
the finest, and dimensions of all maps count alike.

Each covariance S is shrunk towards its own diagonal: with the correlations C, it becomes (1 - a) C + a I.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from csflow.runtime.bundle.manifest import Definitions
from csflow.toolkit.features import FeatureFiles
from csflow.toolkit.methods.gaussian import PlaceMap, Whitening, gathered, left_out_scores, pooled, whole
from csflow.toolkit.methods.ignored import KeptPlaces
from csflow.toolkit.methods.method import SCORE_FLOOR, Fitted, Head, OnePass, Reading, Shapes, Workplace

__all__ = ["Mahalanobis", "MahalanobisConfig", "MahalanobisHead", "MahalanobisTraining"]


@dataclass(frozen=True)
class MahalanobisConfig:
    """The shapes of the features tell all there is to know of the head."""


@dataclass(frozen=True)
class MahalanobisTraining:
    """How the Gaussian of whole pictures is fitted."""

    shrinkage: float | None = None
    """a in 0..1, above 0: share of the identity in the correlations of pooled features. Unless given, Ledoit and Wolf's
    estimate (Journal of Multivariate Analysis 88, 2004)."""

    def __post_init__(self) -> None:
        if self.shrinkage is not None and not 0.0 < self.shrinkage <= 1.0:
            raise ValueError("shrinkage must lie above 0 and at most at 1")


class MahalanobisHead(Head):
    """One whitening of pooled features, and one of each feature map."""

    def __init__(self, config: MahalanobisConfig, shapes: Shapes) -> None:
        super().__init__()
        self.config = config
        self.picture = Whitening(2 * sum(c for c, _, _ in shapes), 1, 1)
        self.places = PlaceMap(shapes)
        self.kept = KeptPlaces()

    def forward(self, *features: Tensor) -> tuple[Tensor, Tensor]:
        """Map features (N, C_i, h_i, w_i) to score (N,) and anomaly map (N, h, w) of the finest."""
        wide = whole(features)
        z = self.picture(pooled(wide, self.kept.masks))
        return z.square().mean(dim=(1, 2, 3)) / 2 + SCORE_FLOOR, self.kept.over(self.places(wide, self.kept.masks))


class Mahalanobis(OnePass):
    """Two Gaussians over features, fitted in one pass and in closed form."""

    name = "mahalanobis"
    graph = "mahalanobis"
    definitions = Definitions(
        "half squared Mahalanobis distance per dimension of pooled means and deviations",
        "squared Mahalanobis distance per dimension to the mean of the position",
    )
    reading = Reading(scales=1, stages=(2, 4, 5))
    config = MahalanobisConfig
    training = MahalanobisTraining

    def settle(self, config: MahalanobisConfig, shapes: Shapes) -> MahalanobisConfig:  # noqa: ARG002 - of a method
        """As it is: any features will do."""
        return config

    def head(self, config: MahalanobisConfig, shapes: Shapes) -> MahalanobisHead:
        """A head that whitens nothing yet."""
        return MahalanobisHead(config, shapes)

    def fit(
        self, features: FeatureFiles, config: MahalanobisConfig, training: MahalanobisTraining, work: Workplace
    ) -> Fitted:
        """Both Gaussians, from one pass; the fact is the shrinkage. Raises DataError under 2 pictures."""
        samples, sums = gathered(features)
        head = self.head(config, features.shapes)
        mean = samples.mean(dim=0)
        shrinkage = head.picture.set(mean[:, None, None], samples.T.cov(), training.shrinkage, samples)
        head.places.fit(sums)
        head.kept.set(features.kept)
        standardised = head.picture.standardised(samples[:, :, None, None]).flatten(1)
        left_out = left_out_scores(standardised, shrinkage, features.variants)
        return Fitted(head.to(work.device).eval(), {"shrinkage": shrinkage}, tuple(map(float, left_out)))
