"""CS-Flow as a method: trained by gradient descent, resumable."""

from __future__ import annotations

import dataclasses

import torch

from csflow.runtime.bundle.manifest import Definitions
from csflow.toolkit.features import FeatureFiles
from csflow.toolkit.methods.flow.checkpoint import Checkpoint
from csflow.toolkit.methods.flow.config import FlowConfig, TrainConfig
from csflow.toolkit.methods.flow.course import Course
from csflow.toolkit.methods.flow.flow import CrossScaleFlow, FlowHead
from csflow.toolkit.methods.flow.training import new_flow, timed_step, train_flow
from csflow.toolkit.methods.flow.whiten import matrices_size
from csflow.toolkit.methods.ignored import kept_masks
from csflow.toolkit.methods.method import Fitted, Reading, Shapes, Workplace

__all__ = ["CSFlow"]

MOST = 1 << 30
"""Bytes of whitening matrices at most: an ONNX file ends at 2 GiB."""


class CSFlow:
    """Cross-scale normalizing flow (Rudolph et al., WACV 2022)."""

    name = "cs-flow"
    graph = "flow"
    definitions = Definitions("mean-half-z2", "scale0-mean-z2")
    reading = Reading(scales=3, stages=(5,), others=(4,))
    config = FlowConfig
    training = TrainConfig

    def settle(self, config: FlowConfig, shapes: Shapes) -> FlowConfig:
        """With channels and scales. Raises ValueError where the features are no pyramid of one stage."""
        (channels, side, _), *_ = shapes
        if shapes != tuple((channels, side >> i, side >> i) for i in range(len(shapes))):
            told = ", ".join("x".join(map(str, shape)) for shape in shapes)
            raise ValueError(f"cs-flow reads one stage at several image scales, not {told}: choose one with --stages")
        if not config.whiten:
            return dataclasses.replace(config, channels=channels, scales=len(shapes))
        size = matrices_size(channels, [side >> i for i in range(len(shapes))])
        if size > MOST:
            raise ValueError(
                f"whitening {channels} channels takes matrices of {size / 1e9:.1f} GB, {MOST / 1e9:.1f} GB at most: "
                "choose a smaller image size, or leave whiten out"
            )
        return dataclasses.replace(config, channels=channels, scales=len(shapes), side=side)

    def head(self, config: FlowConfig, shapes: Shapes) -> FlowHead:
        """A flow with initial weights. Raises ValueError where it reads other features."""
        if self.settle(config, shapes) != config:
            raise ValueError(f"the flow reads {config.scales} maps of {config.channels} channels, not {shapes}")
        return FlowHead(CrossScaleFlow(config))

    def fit(self, features: FeatureFiles, config: FlowConfig, training: TrainConfig, work: Workplace) -> Fitted:
        """Train a flow, going on from the checkpoint in `work` where there is one; the fact is the last loss.

        With a flow in `work` to start from, its weights are gone on with; features are standardised anew.

        Raises ConfigError where the loss leaves the finite numbers, or the checkpoint or features do not fit.
        """
        head = FlowHead(new_flow(config, training.seed))
        if work.start is not None:
            head.flow.kept.set(kept_masks(work.start))
            head.load_state_dict(work.start.state_dict())
        head.flow.kept.set(features.kept)
        head.flow.fit_standardisation(features)
        checkpoint = Checkpoint(work.folder / "checkpoint.safetensors", work.fingerprint)
        course = Course(work.unseen, training.early_stop)
        with work.epochs(training.epochs) as on_epoch:
            losses = train_flow(head.flow.to(work.device), features, training, checkpoint, on_epoch, course)
        for line in course.lines(losses):
            work.say(line)
        kept = course.best_epoch if training.early_stop else len(losses)
        return Fitted(head.eval(), {"loss": losses[kept - 1], **course.facts()})

    def seconds(
        self, config: FlowConfig, training: TrainConfig, shapes: Shapes, pictures: int, device: torch.device
    ) -> float:
        """Of all epochs, from one step on features of zeros."""
        batch = min(training.batch_size, pictures)
        step_s = timed_step(new_flow(config, training.seed).to(device), training, shapes, batch)
        return step_s * training.epochs * pictures / batch
