"""Training of the flow on cached features: Adam on the negative log-likelihood, resumable, deterministic."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor

from csflow.runtime.errors import ConfigError
from csflow.toolkit.backbones.backbone import Features
from csflow.toolkit.features import FeatureFiles
from csflow.toolkit.methods.flow.checkpoint import Checkpoint
from csflow.toolkit.methods.flow.config import FlowConfig, TrainConfig
from csflow.toolkit.methods.flow.course import Course
from csflow.toolkit.methods.flow.flow import CrossScaleFlow, negative_log_likelihood

__all__ = ["autocast", "has_fast_bfloat16", "learning_rate", "new_flow", "timed_step", "train_flow"]

WARM_UP = 0.05
CHECKPOINT_SHARE = 0.05
Shapes = Sequence[tuple[int, int, int]]
OnEpoch = Callable[[int, float], None]


def new_flow(config: FlowConfig, seed: int) -> CrossScaleFlow:
    """A flow with initial weights drawn from `seed`; the global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return CrossScaleFlow(config)


def learning_rate(config: TrainConfig, step: int, steps: int) -> float:
    """Learning rate of one step: constant, or a linear warm-up followed by half a cosine down to zero."""
    if config.schedule == "constant":
        return config.learning_rate
    warm = max(1, int(WARM_UP * steps))
    if step < warm:
        return config.learning_rate * (step + 1) / warm
    return config.learning_rate * 0.5 * (1.0 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def autocast(flow: CrossScaleFlow, features: Features, wanted: bool) -> AbstractContextManager[object]:
    """bfloat16 convolutions where they were measured to be faster, and their gradients are right.

    On a processor torch 2.15 leaves the weights' gradient unwritten where a kernel reaches over the whole map, which
    makes a loss of nan sooner or later: such maps stay float32.
    """
    device = next(flow.parameters()).device
    side = min(min(x.shape[-2:]) for x in features)
    right = max(flow.config.kernel_sizes) // 2 <= side and has_fast_bfloat16(torch.cpu.get_capabilities())
    if not wanted or not (device.type == "cuda" or right):
        return contextlib.nullcontext()
    return torch.autocast(device.type, torch.bfloat16)


def has_fast_bfloat16(capabilities: Mapping[str, object]) -> bool:
    """Whether torch trains faster in bfloat16 on a processor of these capabilities, as torch.cpu names them.

    With AMX it does. Of processors with AVX-512's bfloat16 AMD's took 0.5 to 0.7 of float32's time, Intel's without
    AMX 1.6 of it (docs/benchmarks.md). The maker decides and not a clock, so that a training can be repeated.
    """
    amd = str(capabilities.get("cpu_name", "")).startswith("AMD")
    return bool(capabilities.get("amx_bf16")) or (amd and bool(capabilities.get("avx512_bf16")))


def timed_step(flow: CrossScaleFlow, config: TrainConfig, shapes: Shapes, batch: int) -> float:
    """Seconds of the second of two steps on features of zeros, (C, h, w) each; the weights stay as they are."""
    device = next(flow.parameters()).device
    features = tuple(torch.zeros(batch, *shape, device=device) for shape in shapes)
    start_s = 0.0
    for _ in range(2):
        start_s = time.perf_counter()
        with autocast(flow, features, config.autocast):
            z, log_det = flow(features)
        negative_log_likelihood(z, log_det, flow.kept.masks).backward()  # type: ignore[no-untyped-call]
        if device.type == "cuda":
            torch.cuda.synchronize(device)
    return time.perf_counter() - start_s


def train_flow(
    flow: CrossScaleFlow,
    features: FeatureFiles,
    config: TrainConfig,
    checkpoint: Checkpoint | None = None,
    on_epoch: OnEpoch | None = None,
    course: Course | None = None,
) -> list[float]:
    """Fit `flow` in place, on its device; returns the mean loss of each epoch.

    The order of the images and the choice among their mirror images depend on seed and epoch alone, so a
    training resumed from `checkpoint` ends with the same weights as one that ran through.

    Args:
        features: of one feature map per scale.
        on_epoch: called with the number of finished epochs and the loss of the last one.
        course: watches, and may end the training; then `flow` has the weights of the best epoch.

    Raises ConfigError when the loss leaves the finite numbers, or for a checkpoint that does not belong here.
    """
    optimizer = torch.optim.Adam(
        flow.parameters(),
        lr=config.learning_rate,
        betas=config.betas,
        eps=config.eps,
        weight_decay=config.weight_decay,
        fused=True,
    )
    course = Course(None) if course is None else course
    done, losses = checkpoint.restore(flow, optimizer, course.resume) if checkpoint else (0, [])
    if on_epoch is not None and done:
        on_epoch(done, losses[-1])
    pacing = _Pacing()
    noise = _Noise(features, config)
    flow.train()
    for epoch in range(done, config.epochs):
        if course.ended:
            break
        losses.append(_epoch(flow, features, config, optimizer, epoch, noise))
        course.add(epoch + 1, flow)
        if checkpoint is not None and epoch + 1 < config.epochs and pacing.due():
            state = course.state()
            pacing.measure(lambda: checkpoint.save(flow, optimizer, epoch + 1, losses, state))  # noqa: B023 - at once
        if on_epoch is not None:
            on_epoch(epoch + 1, losses[-1])
    course.keep_best(flow)
    flow.eval()
    return losses


def _epoch(
    flow: CrossScaleFlow,
    features: FeatureFiles,
    config: TrainConfig,
    optimizer: torch.optim.Adam,
    epoch: int,
    noise: _Noise,
) -> float:
    rows = _order(features.pictures, features.variants, config.seed, epoch)
    batches = torch.split(rows, config.batch_size)
    device = next(flow.parameters()).device
    total = 0.0
    noise.restart(epoch)
    for i, batch in enumerate(batches):
        rate = learning_rate(config, epoch * len(batches) + i, config.epochs * len(batches))
        for group in optimizer.param_groups:
            group["lr"] = rate
        given = tuple(x.to(device) for x in noise.on(features.rows(batch)))
        with autocast(flow, given, config.autocast):
            z, log_det = flow(given)
        loss = negative_log_likelihood(z, log_det, flow.kept.masks)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(flow.parameters(), config.max_grad_norm)
        optimizer.step()
        total += _finite(loss, epoch) * len(batch)
    return total / len(rows)


class _Noise:
    """Adds normal noise to features, the same in every run with the same seed."""

    def __init__(self, features: FeatureFiles, config: TrainConfig) -> None:
        self._seed, self._share = config.seed, config.feature_noise
        self._generator = torch.Generator()
        if self._share > 0.0:
            moments = features.channel_moments()
            self._scale = [(self._share * variance.sqrt()).float()[:, None, None] for _, variance in moments]

    def restart(self, epoch: int) -> None:
        # Seeded anew for each epoch, so that a resumed training draws what an uninterrupted one does.
        self._generator.manual_seed((self._seed << 20) + epoch)

    def on(self, batch: Features) -> Features:
        if self._share == 0.0:
            return batch
        return tuple(
            x + scale * torch.randn(x.shape, generator=self._generator)
            for x, scale in zip(batch, self._scale, strict=True)
        )


def _order(images: int, variants: int, seed: int, epoch: int) -> Tensor:
    generator = torch.Generator().manual_seed((seed << 20) + epoch)
    order = torch.randperm(images, generator=generator)
    return order * variants + torch.randint(variants, (images,), generator=generator)


def _finite(loss: Tensor, epoch: int) -> float:
    value = float(loss.detach())
    if not math.isfinite(value):
        raise ConfigError(f"the loss became {value} in epoch {epoch + 1}: train again with a lower --learning-rate")
    return value


class _Pacing:
    """Saves checkpoints as often as possible without spending more than a twentieth of the time on them."""

    def __init__(self) -> None:
        self._last = time.monotonic()
        self._cost_s = 0.0

    def due(self) -> bool:
        return time.monotonic() - self._last >= self._cost_s / CHECKPOINT_SHARE

    def measure(self, save: Callable[[], None]) -> None:
        start = time.monotonic()
        save()
        self._last = time.monotonic()
        self._cost_s = self._last - start
