"""The cross-scale flow as one value: `forward(x) -> (z, log_det)`, `inverse(z) -> x`, and what is read off z."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from csflow.runtime.bundle.manifest import Definitions
from csflow.toolkit.backbones.backbone import Features
from csflow.toolkit.features import FeatureFiles
from csflow.toolkit.methods.flow.config import STRIDE, FlowConfig
from csflow.toolkit.methods.flow.coupling import CouplingBlock
from csflow.toolkit.methods.flow.whiten import Whiten
from csflow.toolkit.methods.ignored import KeptPlaces, masked
from csflow.toolkit.methods.method import Head

__all__ = [
    "CrossScaleFlow",
    "FlowHead",
    "Standardise",
    "anomaly_map",
    "negative_log_likelihood",
    "sample_losses",
    "score",
]


LEAST = 1e-20
"""Below the highest position of any picture."""


class Standardise(nn.Module):
    """Per-channel affine layer x -> (x - mean) / std, with the training images' statistics as buffers.

    One (C,) mean and standard deviation per scale; 0 and 1 until `fit` is called.
    """

    def __init__(self, channels: int, scales: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(scales, channels))
        self.register_buffer("std", torch.ones(scales, channels))

    @torch.no_grad()
    def fit(self, features: FeatureFiles) -> None:
        """Take mean and standard deviation over images and positions of the training features.

        A channel that never varies keeps std 1: dividing by nearly 0 would turn rounding into anomalies.
        """
        mean, std = self.get_buffer("mean"), self.get_buffer("std")
        for i, (centre, variance) in enumerate(features.channel_moments()):
            mean[i] = centre
            std[i] = torch.where(variance > 1e-12, variance.sqrt(), torch.ones_like(variance))

    def forward(self, x: Features, kept: Sequence[Tensor] = ()) -> tuple[Features, Tensor]:
        """Returns standardised features, 0 where a position does not count, and log|det J| of shape (N,)."""
        mean, std = self.get_buffer("mean"), self.get_buffer("std")
        z = tuple((x_i - mean[i, :, None, None]) / std[i, :, None, None] for i, x_i in enumerate(x))
        places: list[int | Tensor] = [mask.sum() for mask in kept] if kept else [x_i[0, 0].numel() for x_i in x]
        per_sample = -sum((std[i].log().sum() * count for i, count in enumerate(places)), std.new_zeros(()))
        return masked(z, kept), per_sample.expand(x[0].shape[0])

    def inverse(self, z: Features, kept: Sequence[Tensor] = ()) -> Features:  # noqa: ARG002 - of a layer
        """The features that `forward` maps to `z`, of positions that count."""
        mean, std = self.get_buffer("mean"), self.get_buffer("std")
        return tuple(z_i * std[i, :, None, None] + mean[i, :, None, None] for i, z_i in enumerate(z))


class CrossScaleFlow(nn.Module):
    """Standardisation (optional) and coupling blocks, applied in turn. All state is in `state_dict`.

    Positions that do not count hold 0 before and after every block, so that the flow is one of the others alone.
    """

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        self.config = config
        layers: list[Standardise | Whiten | CouplingBlock] = []
        if config.whiten:
            layers.append(Whiten(config.channels, [config.side >> i for i in range(config.scales)]))
        elif config.standardise:
            layers.append(Standardise(config.channels, config.scales))
        for index, kernel in enumerate(config.kernel_sizes):
            layers.append(
                CouplingBlock(config.channels, config.hidden, kernel, config.scales, config.clamp, config.slope, index)
            )
        self.layers = nn.ModuleList(layers)
        self.kept = KeptPlaces()

    def fit_standardisation(self, features: FeatureFiles) -> None:
        """Set the statistics of the first layer, if it has some, from the training features."""
        first = self.layers[0]
        if isinstance(first, Standardise | Whiten):
            first.fit(features)

    def forward(self, x: Features) -> tuple[Features, Tensor]:
        """Map features (N, C, h_i, w_i) to latents z of the same shapes and log|det dz/dx| of shape (N,)."""
        log_det, kept = x[0].new_zeros(x[0].shape[0]), self.kept.masks
        if not self.config.standardise:
            x = masked(x, kept)
        for layer in self.layers:
            x, more = layer(x, kept)
            log_det = log_det + more
        return x, log_det

    def inverse(self, z: Features) -> Features:
        """Map latents back to features; exact where no clip acted."""
        for layer in reversed(self.layers):
            z = layer.inverse(z, self.kept.masks)  # type: ignore[operator]
        return z


class FlowHead(Head):
    """Score and map of a flow's latents; the map is that of the flow's configuration unless another is named."""

    def __init__(self, flow: CrossScaleFlow, anomaly_map: str | None = None) -> None:
        super().__init__()
        self.config = dataclasses.replace(flow.config, anomaly_map=anomaly_map or flow.config.anomaly_map)
        self.flow = flow

    @property
    def definitions(self) -> Definitions | None:
        """The power of the score, where it is not the published one."""
        power = self.config.score_power
        return None if power == 1 else Definitions(f"power-{power}-mean-half-z2", self.config.anomaly_map)

    def forward(self, *features: Tensor) -> tuple[Tensor, Tensor]:
        """Map features (N, C, h_i, w_i) to score (N,) and anomaly map (N, h, w)."""
        z, _ = self.flow(features)
        return score(z, self.flow.kept.masks, self.config.score_power), anomaly_map(z, self.config.anomaly_map)


def score(z: Features, kept: Sequence[Tensor] = (), power: int = 1) -> Tensor:
    """Anomaly score (N,): the mean of z²/2 over all D latents of all scales.

    Paper: -log p_Z(z) up to constants; reference evaluate.py takes the mean over D, without the Jacobian.

    Args:
        kept: masks (h_i, w_i) of the positions that count, z being 0 at the others; empty where all do.
        power: above 1, the power mean (mean of mᵖ)^(1/p) over all positions of the channel means m of z²/2.
    """
    if power > 1:
        return _power_mean(z, kept, power)
    total = torch.stack([z_i.square().flatten(1).sum(dim=1) for z_i in z]).sum(dim=0)
    return total / (2 * _latents(z, kept))


def _power_mean(z: Features, kept: Sequence[Tensor], power: int) -> Tensor:
    places = torch.cat([z_i.square().mean(dim=1).flatten(1) for z_i in z], dim=1)
    count = torch.stack([mask.sum() for mask in kept]).sum() if kept else places.shape[1]
    # Of the highest one, so that no power of a strong anomaly leaves the range of float32.
    highest = places.amax(dim=1, keepdim=True).clamp(min=LEAST)
    mean = (places / highest).pow(power).sum(dim=1) / count
    return highest[:, 0] / 2 * mean.pow(1.0 / power)


def anomaly_map(z: Features, definition: str = "scale0-mean-z2") -> Tensor:
    """Anomaly map (N, h, w) by its name in `FlowConfig.anomaly_map`.

    'scale0-mean-z2': the channel mean of z² at the finest scale, h = S/32 (reference localization).
    'product-mean-z2': the product over scales of that mean, each enlarged bilinearly (align_corners=False) to the
    model's input, h = S (anomalib's anomaly_map.py, mode ALL).
    """
    if definition == "scale0-mean-z2":
        return z[0].square().mean(dim=1)
    levels = [
        functional.interpolate(z_i.square().mean(dim=1, keepdim=True), scale_factor=float(STRIDE << i), mode="bilinear")
        for i, z_i in enumerate(z)
    ]
    return functools.reduce(torch.mul, levels).squeeze(1)


def negative_log_likelihood(z: Features, log_det: Tensor, kept: Sequence[Tensor] = ()) -> Tensor:
    """Training loss, a scalar: mean over samples of (½‖z‖² - log|det J|) / D, without the Gaussian's constant."""
    return sample_losses(z, log_det, kept).mean()


def sample_losses(z: Features, log_det: Tensor, kept: Sequence[Tensor] = ()) -> Tensor:
    """The same of each sample, (N,)."""
    return score(z, kept) - log_det / _latents(z, kept)


def _latents(z: Features, kept: Sequence[Tensor]) -> int | Tensor:
    if kept:
        return torch.stack([mask.sum() * z_i.shape[1] for z_i, mask in zip(z, kept, strict=True)]).sum()
    return sum(math.prod(z_i.shape[1:]) for z_i in z)
