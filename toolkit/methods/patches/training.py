"""Training of the encoders of patches: position, relative similarity and clusters, over all sizes at once."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from csflow.runtime.errors import ConfigError
from csflow.toolkit.backbones.backbone import Backbone
from csflow.toolkit.backbones.patches import PatchTrunk
from csflow.toolkit.methods.flow.checkpoint import Checkpoint
from csflow.toolkit.methods.patches.config import PatchesTraining
from csflow.toolkit.methods.patches.losses import (
    Draw,
    PositionClassifier,
    cluster_loss,
    patches_at,
    position_loss,
    similarity_loss,
)

__all__ = ["CLUSTERS_FROM", "Task", "train_encoders"]

BATCH = 64
NOISE = 0.02
"""Deviation of the normal shift of a patch's colours and of its pixels' noise, in 0..1, as in the authors' code."""
CENTRES_EVERY = 5
"""Epochs after which the centres are found anew."""
CLUSTERS_FROM = 10
"""Epochs before the cluster loss counts."""
REMEMBERED = 20_000
"""Embeddings of an epoch that centres are found from."""
Say = Callable[[str], None]


class Task(nn.Module):
    """Encoders and what only training knows; all of a checkpoint."""

    def __init__(self, trunk: PatchTrunk, dimensions: int, clusters: int) -> None:
        super().__init__()
        self.trunk = trunk
        self.classifiers = nn.ModuleList(PositionClassifier(dimensions) for _ in trunk.patches)
        self.register_buffer("centres", torch.zeros(len(trunk.patches), clusters, dimensions))


@dataclass
class _Step:
    """One size's part of a step."""

    task: Task
    normalised: Callable[[Tensor], Tensor]
    pictures: Tensor
    training: PatchesTraining
    generator: torch.Generator
    clusters: bool

    def loss(self, scale: int) -> tuple[Tensor, Tensor]:
        """The size's loss, and the embeddings (B, D) of where it began."""
        trunk, size = self.task.trunk, self.task.trunk.patches[scale][0]
        draw = Draw(size, int(self.pictures.shape[1]), self.generator)
        rows = torch.randint(len(self.pictures), (BATCH,), generator=self.generator)
        directions, start, other = draw.directions(BATCH), draw.anywhere(BATCH), draw.anywhere(BATCH)
        away = draw.directions(BATCH)
        asked = [start, draw.neighbours(start, directions)]
        alike = [other, draw.jittered(other), draw.far(other, away)]
        cuts = [self._shaken(patches_at(self.pictures, rows, p, size)) for p in asked]
        cuts += [patches_at(self.pictures, rows, p, size) for p in alike]
        first, second, here, near, far = trunk.embedded(self.normalised(torch.cat(cuts)), scale).chunk(5)
        classifier = self.task.classifiers[scale]
        loss = position_loss(classifier, first, second, directions.to(first.device))
        loss = loss + self.training.similarity * similarity_loss(here, near, far)
        if self.clusters:
            loss = loss + cluster_loss(here, self.task.get_buffer("centres")[scale])
        return loss, here.detach()

    def _shaken(self, x: Tensor) -> Tensor:
        shift = torch.randn(len(x), 3, 1, 1, generator=self.generator)
        return x + NOISE * (shift + torch.randn(x.shape, generator=self.generator))


def train_encoders(
    backbone: Backbone,
    pictures: Tensor,
    training: PatchesTraining,
    checkpoint: Checkpoint,
    on_epoch: Callable[[int, float], None],
    say: Say,
) -> list[float]:
    """Train the encoders of `backbone` in place; returns the mean loss of each epoch.

    Draws depend on seed and epoch alone, so that a training that was interrupted ends as one that ran through.

    Args:
        pictures: (N, S, S, 3) uint8 RGB, on the processor; they may be a file.
        say: told what a step costs before the first.

    Raises ConfigError where the loss leaves the finite numbers or the checkpoint is of another training, SinkError
    where the checkpoint cannot be written.
    """
    trunk = backbone.trunk
    assert isinstance(trunk, PatchTrunk)
    task = _new_task(trunk, training)
    device = backbone.get_buffer("mean").device
    task.to(device)
    learnt = [*task.classifiers.parameters(), *trunk.encoders.parameters()]
    learnt += list(trunk.inner.parameters()) if training.finetune else []
    for parameter in learnt:
        parameter.requires_grad_(True)
    optimizer = torch.optim.Adam(learnt, lr=training.learning_rate)
    done, losses = checkpoint.restore(task, optimizer)
    steps = math.ceil(len(pictures) * training.patches / BATCH)
    for epoch in range(done, training.epochs):
        generator = torch.Generator().manual_seed((training.seed << 20) + epoch)
        step = _Step(task, lambda x: _normalised(backbone, x), pictures, training, generator, epoch >= CLUSTERS_FROM)
        found = _epoch(step, optimizer, steps, _told(say, steps * (training.epochs - epoch)) if epoch == done else None)
        losses.append(_finite(found[0], epoch))
        if (epoch + 1) % CENTRES_EVERY == 0:
            _find_centres(task, found[1], training.seed)
        checkpoint.save(task, optimizer, epoch + 1, losses)
        on_epoch(epoch + 1, losses[-1])
    backbone.requires_grad_(False)
    return losses


def _new_task(trunk: PatchTrunk, training: PatchesTraining) -> Task:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(training.seed)
        for module in trunk.encoders.modules():
            if isinstance(module, nn.Conv2d):
                module.reset_parameters()
        return Task(trunk, trunk.dimensions, training.clusters)


def _epoch(
    step: _Step, optimizer: torch.optim.Adam, steps: int, told: Callable[[float], None] | None
) -> tuple[float, list[Tensor]]:
    """Mean loss, and embeddings of each size."""
    total, scales = 0.0, range(len(step.task.trunk.patches))
    kept: list[list[Tensor]] = [[] for _ in scales]
    for i in range(steps):
        started = time.monotonic()
        optimizer.zero_grad()
        for scale in scales:
            # One size after the other: gradients add up, and the memory of one is enough.
            loss, embeddings = step.loss(scale)
            loss.backward()  # type: ignore[no-untyped-call]
            total += float(loss.detach())
            if len(kept[scale]) * BATCH < REMEMBERED:
                kept[scale].append(embeddings.cpu())
        optimizer.step()
        if told is not None and i == 0:
            told(time.monotonic() - started)
    return total / steps, [torch.cat(each) for each in kept]


def _told(say: Say, steps: int) -> Callable[[float], None]:
    return lambda seconds: say(
        f"training the encoders: {steps} steps of about {seconds:.2f} s, {seconds * steps / 3600:,.1f} h in all"
    )


def _normalised(backbone: Backbone, x: Tensor) -> Tensor:
    mean, std = backbone.get_buffer("mean"), backbone.get_buffer("std")
    return (x.to(mean.device) - mean) / std


def _find_centres(task: Task, embeddings: list[Tensor], seed: int) -> None:
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    centres = task.get_buffer("centres")
    for i, each in enumerate(embeddings):
        count = min(centres.shape[1], len(each))
        with warnings.catch_warnings():
            # Embeddings that are equal make fewer clusters: their centres are equal then, too.
            warnings.simplefilter("ignore", ConvergenceWarning)
            found = KMeans(count, n_init=5, max_iter=40, random_state=seed).fit(each.numpy()).cluster_centers_
        rows = torch.arange(centres.shape[1]) % count
        centres[i] = torch.from_numpy(found)[rows].to(centres)


def _finite(value: float, epoch: int) -> float:
    if not math.isfinite(value):
        raise ConfigError(f"the loss became {value} in epoch {epoch + 1}: train again with a lower learning_rate")
    return value
