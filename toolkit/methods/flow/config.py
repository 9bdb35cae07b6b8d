"""Configuration of the flow and of its training: frozen, documented field by field, read strictly.

The defaults are the settings of the CS-Flow paper (Rudolph et al., WACV 2022) and, where paper and
reference code (marco-rudolph/cs-flow) differ, of the code.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from csflow.toolkit.options import later, settled

__all__ = ["STRIDE", "FlowConfig", "TrainConfig"]

STRIDE = 32
"""Pixels of the input per position of the finest feature map that CS-Flow reads."""
MOST_POWER = 4
"""A higher one sees little but the highest position."""
MAPS = ("scale0-mean-z2", "product-mean-z2")


@dataclass(frozen=True)
class FlowConfig:
    """The cross-scale normalizing flow."""

    channels: int = settled(304)
    """Channels of each feature map; even."""
    scales: int = settled(3)
    """Number of feature maps."""
    kernel_sizes: tuple[int, ...] = (3, 3, 3, 5)
    """Kernel of the convolutions in each coupling block; as many blocks as entries. 3,3,3,3 localises finer (paper's
    supplement)."""
    hidden: int = 1024
    """Width inside the coupling blocks' sub-networks; time and memory grow with it."""
    clamp: float = 3.0
    """alpha: the log of a coupling's factor lies within ± alpha · 0.636 · π/2."""
    slope: float = 0.1
    """Negative slope of the LeakyReLU."""
    standardise: bool = True
    """Scale each feature channel to mean 0, variance 1 over the training images first. Not in the paper; see
    [benchmarks](benchmarks.md)."""
    whiten: bool = later(False)
    """Where channels would be standardised, give every position its own mean over the training pictures, and the
    identity as covariance, in closed form: the training begins where a Gaussian at each position ends. Parts must lie
    alike. Not in the paper; see [CS-Flow](cs-flow.md)."""
    score_power: int = later(1)
    """The score is the power mean over all positions of the channel mean of z²/2: 1 is the published mean; with 2 or 3
    a small defect counts more. Not in the paper: on the magnetic tiles 3 told made defects apart better, and real ones
    worse by 0.001 to 0.002 ([a real run](mtd.md))."""
    side: int = later(0, is_settled=True)
    """Positions a side of the finest map, where they are whitened; 0 where not."""

    anomaly_map: str = settled("scale0-mean-z2")
    """'scale0-mean-z2': channel mean of z² at the finest scale (reference localization since 2022-05-31), one value per
    32 pixels. 'product-mean-z2': product over the scales of that mean, each enlarged bilinearly to the model's input
    size (anomalib's default); imported models have it."""

    def __post_init__(self) -> None:
        if self.channels < 2 or self.channels % 2:
            raise ValueError("channels must be even and at least 2")
        if not 1 <= self.scales <= 6:
            raise ValueError("scales must be 1 to 6")
        if not self.kernel_sizes or any(k < 1 or k % 2 == 0 for k in self.kernel_sizes):
            raise ValueError("kernel_sizes must be odd numbers, at least one")
        if self.whiten and not self.standardise:
            raise ValueError("whiten takes the place of standardise: leave 'standardise' at yes")
        if not 1 <= self.score_power <= MOST_POWER:
            raise ValueError(f"score_power must be 1 to {MOST_POWER}")
        if self.anomaly_map not in MAPS:
            raise ValueError(f"anomaly_map must be one of {', '.join(MAPS)}")
        if self.hidden < 1 or not (math.isfinite(self.clamp) and self.clamp > 0.0):
            raise ValueError("hidden and clamp must be positive")


@dataclass(frozen=True)
class TrainConfig:
    """How the flow is trained."""

    epochs: int = 240
    """Passes over the training images. The reference code makes 4 meta epochs of 60; 60 in all on magnetic tiles."""
    early_stop: bool = False
    """Stop when good pictures that are held out fit worse, and keep the weights of their best epoch. Worse for five
    epochs running, by more than the standard error of the differences, picture by picture; needs `--hold-out`, which is
    0.1 with it unless given."""
    batch_size: int = 16
    """Pictures in one step."""
    learning_rate: float = 2e-4
    """Adam's, as in the paper. With the cosine schedule, 10 epochs at 3e-3 ranked the magnetic tiles as well as 40 at
    this ([benchmarks](benchmarks.md))."""
    schedule: str = "constant"
    """'constant' as in the reference, or 'cosine': warm up over 5 % of the steps, then fall to zero along a cosine."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Adam's betas. The paper states (0.5, 0.9), the reference code passes none."""
    eps: float = 1e-4
    """Adam's, as in the reference code."""
    weight_decay: float = 1e-5
    """L2 on every parameter."""
    feature_noise: float = 0.0
    """Standard deviation of the normal noise added to every feature in training, in units of its channel's own; 0 as
    in the reference. It keeps few pictures from being learnt by heart. On the magnetic tiles 0.15 outlined defects
    better (PRO 0.65 against 0.54) and ranked pictures worse ([benchmarks](benchmarks.md))."""
    max_grad_norm: float = 1.0
    """Global norm that gradients are clipped to."""
    seed: int = 0
    """Seeds the initial weights and the order of the images."""
    autocast: bool = True
    """Run convolutions in bfloat16 on CUDA, on processors with AMX and on AMD's with AVX-512's bfloat16. Elsewhere
    float32 is faster; on a processor, maps that a kernel reaches over stay float32."""

    def __post_init__(self) -> None:
        if min(self.epochs, self.batch_size) < 1:
            raise ValueError("epochs and batch_size must be at least 1")
        numbers = (self.learning_rate, self.eps, self.max_grad_norm, self.weight_decay, self.feature_noise)
        if not all(math.isfinite(n) for n in numbers) or min(numbers[:3]) <= 0.0 or min(numbers[3:]) < 0.0:
            raise ValueError(
                "learning_rate, eps and max_grad_norm must be positive, weight_decay and feature_noise not negative"
            )
        if not all(0.0 <= beta < 1.0 for beta in self.betas):
            raise ValueError("betas must lie in 0..1")
        if self.schedule not in ("constant", "cosine"):
            raise ValueError("schedule must be 'constant' or 'cosine'")
        if not 0 <= self.seed < 1 << 32:
            raise ValueError("seed must lie in 0..2^32-1")
