"""GLAD as a method: one mixture after the other, each kept when it is done."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor, nn

from csflow.runtime.errors import DataError
from csflow.toolkit.features import FeatureFiles
from csflow.toolkit.methods.glad.config import GladConfig, GladTraining
from csflow.toolkit.methods.glad.head import DEFINITIONS, GladHead, rank
from csflow.toolkit.methods.glad.layer import LayerFit, OnStep
from csflow.toolkit.methods.method import Fitted, OnePass, Reading, Shapes, Workplace
from csflow.toolkit.methods.spread import PlaceSpread

__all__ = ["Glad"]

GRID = 64
"""Side of the map, at least: the quantile 0.49 % is that of maps like the paper's, of a stride of 4 px, whatever is
read here. Of 12 x 12 positions it would be the highest."""


class Glad(OnePass):
    """Global-local anomaly detection (Artola, Kolodziej, Morel, Ehret: GLAD, WACV 2023)."""

    name = "glad"
    graph = "glad"
    definitions = DEFINITIONS
    reading = Reading(scales=1, stages=(2, 4, 5))
    config = GladConfig
    training = GladTraining

    def settle(self, config: GladConfig, shapes: Shapes) -> GladConfig:
        """With the mixtures' sizes before a fit. Raises ValueError where the score's rank cannot be selected."""
        if not config.kept:
            config = dataclasses.replace(config, grid=max(GRID, *(h for _, h, _ in shapes)))
        rank(config, shapes)
        if config.kept and len(config.kept) != len(shapes):
            raise ValueError(f"glad has mixtures of {len(config.kept)} feature maps, not {len(shapes)}")
        started = config.started(len(shapes))
        return config if config.kept else dataclasses.replace(config, kept=started)

    def head(self, config: GladConfig, shapes: Shapes) -> GladHead:
        """A head with empty mixtures. Raises ValueError where it reads other features."""
        return GladHead(self.settle(config, shapes), shapes)

    def fit(self, features: FeatureFiles, config: GladConfig, training: GladTraining, work: Workplace) -> Fitted:
        """Fit a mixture to each feature map, going on with those that `work` holds; the facts are their sizes.

        Raises DataError under 2 rows, ConfigError where what `work` holds is of another training.
        """
        if len(features) < 2:
            raise DataError("mixtures need pictures of at least 2 good parts: bring more")
        moments = features.channel_moments()
        steps = training.passes + 1
        started = config.started(len(moments))
        layers = []
        with work.epochs(steps * len(moments)) as on_step:
            for i, (array, of_channels, mask) in enumerate(zip(features.maps, moments, features.masks, strict=True)):
                file = work.folder / f"mixture_{i}.safetensors"
                layer = LayerFit(array, *of_channels, started[i], training, work.device, mask)
                layers.append(layer.kept_in(file, work.fingerprint, _after(i * steps, on_step)))
        finest = max(features.masks, key=lambda mask: tuple(mask.shape))
        positions = int(finest.sum()) if features.kept else 0
        # Masks are those of feature maps: where areas are ignored, the finest of them is the map.
        grid = 0 if features.kept else config.grid
        kept = tuple(layer.kept for layer in layers)
        fitted = dataclasses.replace(config, kept=kept, positions=positions, grid=grid, spread=training.in_spread)
        head = GladHead(fitted, features.shapes)
        head.kept.set(features.kept)
        head.mixtures = nn.ModuleList(layers)
        facts = {f"components_{i}": float(layer.kept) for i, layer in enumerate(layers)}
        head.to(work.device).eval()
        if isinstance(head.spread, PlaceSpread):
            counted = finest if features.kept else torch.ones(head.finest)
            head.spread.set(*_moments(head, features, work.device), features.pictures, counted.to(work.device))
        return Fitted(head, facts)


@torch.inference_mode()
def _moments(head: GladHead, features: FeatureFiles, device: torch.device) -> tuple[Tensor, Tensor]:
    """Mean and variance (g, g) of the head's likelihoods of good parts."""
    sums = torch.zeros(2, *head.finest, dtype=torch.float64, device=device)
    for batch in features.batches(8):
        maps = head.likelihoods(*(x.to(device) for x in batch)).double()
        sums += torch.stack([maps.sum(dim=0), maps.square().sum(dim=0)])
    mean, square = sums / len(features)
    return mean, (square - mean.square()).clamp(min=0.0)


def _after(steps: int, on_step: OnStep) -> OnStep:
    return lambda done, loss: on_step(steps + done, loss)
