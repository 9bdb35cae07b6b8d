"""Multi-scale patches as a method: trunk frozen, embeddings in closed form, banks of good patches."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from csflow.runtime.bundle.manifest import Definitions
from csflow.runtime.errors import ConfigError, DataError
from csflow.toolkit.backbones.backbone import Backbone
from csflow.toolkit.features import FeatureFiles
from csflow.toolkit.methods.flow.checkpoint import Checkpoint
from csflow.toolkit.methods.method import SCORE_FLOOR, Fitted, OnePass, Reading, Shapes, Workplace
from csflow.toolkit.methods.patches.bank import BankFit
from csflow.toolkit.methods.patches.config import PatchesConfig, PatchesTraining, more_of, patches_of
from csflow.toolkit.methods.patches.head import PatchesHead
from csflow.toolkit.methods.patches.training import train_encoders

__all__ = ["Patches"]

JUDGED = 64
"""Good pictures that are left out of the bank in turn, evenly taken."""
MOST = 1 << 30
"""Bytes of distances a frame at most, and of a bank."""


class Patches(OnePass):
    """Multi-scale patches (Tsai, Wu, Lai, WACV 2022) with a frozen trunk."""

    name = "patches"
    graph = "patches"
    definitions = Definitions(
        "half the maximum of the map",
        "square of the sum over patch sizes of weighted distances to the nearest good patch, averaged over patches",
    )
    reading = Reading(scales=1, stages=(2, 4, 5), others=(1, 2, 4), more=more_of)
    config = PatchesConfig
    training = PatchesTraining

    def settle(self, config: PatchesConfig, shapes: Shapes) -> PatchesConfig:
        """With a bank for each size. Raises ValueError where features are no grids of these patches."""
        sides = {(g - 1) * stride + size for (size, stride), (_, g, _) in zip(patches_of(config), shapes, strict=False)}
        if len(shapes) != len(config.sizes) or len(sides) != 1:
            raise ValueError(f"patches of {len(config.sizes)} sizes read as many stages: choose them with --stages")
        return config if config.kept else dataclasses.replace(config, kept=(max(1, config.bank),) * len(shapes))

    def head(self, config: PatchesConfig, shapes: Shapes) -> PatchesHead:
        """A head with empty banks. Raises ValueError as `settle`."""
        return PatchesHead(self.settle(config, shapes), shapes)

    def learns(self, config: PatchesConfig) -> bool:
        """Whether the encoders are trained."""
        return config.encoder == "trained"

    def learn(
        self, backbone: Backbone, pictures: Tensor, training: PatchesTraining, work: Workplace
    ) -> Mapping[str, float]:
        """Train the encoders, and the network where it says so; the fact is the last loss."""
        checkpoint = Checkpoint(work.folder / "encoders.safetensors", work.fingerprint)
        with work.epochs(training.epochs) as on_epoch:
            losses = train_encoders(backbone, pictures, training, checkpoint, on_epoch, work.say)
        return {"encoders_loss": losses[-1]}

    def fit(self, features: FeatureFiles, config: PatchesConfig, training: PatchesTraining, work: Workplace) -> Fitted:
        """Banks of each size in turn; the facts are their sizes.

        Raises DataError under 2 pictures, ConfigError where a bank of all patches is too large for a graph.
        """
        if features.pictures < 2:
            raise DataError("patches need pictures of at least 2 good parts: bring more")
        work.say(_sized(features, config))
        rows = [i for i in range(len(features)) if i not in work.golden]
        # Of very few pictures none can be spared.
        rows = rows if 2 * len(rows) >= len(features) else list(range(len(features)))
        fits = [
            BankFit(array, _components(config, array.shape[1]), config.bank, training.seed, tuple(rows), mask)
            for array, mask in zip(features.maps, features.masks, strict=True)
        ]
        banks = []
        with work.epochs(len(fits)) as on_step:
            for i, fit in enumerate(fits, start=1):
                banks.append(fit.fitted())
                on_step(i, float("nan"))
        kept = tuple(len(owners) for _, owners in banks)
        head = PatchesHead(dataclasses.replace(config, kept=kept), features.shapes)
        head.banks = nn.ModuleList(bank for bank, _ in banks)
        if work.ignored is not None and features.kept:
            head.kept.set(features.kept)
            head.kept_cells.set([work.ignored.places(*head.map_size)])
        chosen = sorted({i * len(features) // JUDGED for i in range(JUDGED)})
        left_out = [
            fit.left_out(bank, owners, chosen, features.variants)
            for fit, (bank, owners) in zip(fits, banks, strict=True)
        ]
        counted = [d[..., mask.bool()] for d, mask in zip(left_out, features.masks, strict=True)]
        means = torch.stack([d.mean().clamp(min=SCORE_FLOOR) for d in counted])
        alike = torch.full_like(means, float(means.sum()))
        head.get_buffer("weights").copy_(1.0 / (alike if config.combine == "published" else means * len(means)))
        scores = head.judged(left_out)[0].tolist()
        facts = {f"patches_{size}": float(count) for size, count in zip(config.sizes, kept, strict=True)}
        return Fitted(head.to(work.device).eval(), facts, tuple(scores))


def _components(config: PatchesConfig, channels: int) -> int:
    """How many of a trunk's channels are left; 0 where an encoder has made them."""
    return 0 if config.encoder == "trained" else min(config.dimensions, channels)


def _sized(features: FeatureFiles, config: PatchesConfig) -> str:
    """What the banks take, in words; raises ConfigError where it is more than a machine has."""
    kept, products = [], 0
    for size, (channels, grid, _) in zip(config.sizes, features.shapes, strict=True):
        count = len(features) * grid * grid
        count = min(count, config.bank) if config.bank else count
        kept.append(count)
        products += count * grid * grid * min(config.dimensions, channels)
        stored, distances = 4 * count * min(config.dimensions, channels), 4 * count * grid * grid
        if max(stored, distances) > MOST:
            raise ConfigError(
                f"{count} patches of {size} px take {stored / 1e9:.1f} GB, and their distances to those of a frame "
                f"{distances / 1e9:.1f} GB, {MOST / 1e9:.1f} GB at most: choose a bank of at most "
                f"{MOST // 4 // max(grid * grid, min(config.dimensions, channels))}, or larger strides"
            )
    told = ", ".join(f"{count} of {size} px" for size, count in zip(config.sizes, kept, strict=True))
    return f"banks of up to {told}: {products / 1e6:,.0f} million multiplications a frame"
