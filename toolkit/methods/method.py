"""What a method is: a head over the features of a frozen backbone, fitted to good parts, and the table of all of them.

    frame -> backbone -> features_0 … features_k -> head -> score (N,), anomaly_map (N, h, w)

Scores are finite and > 0, higher is stranger, in half squared standard deviations per dimension; maps are >= 0, in
squared standard deviations per dimension. A head maps its own measure into these units by a shift and a factor that
change no order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from csflow.runtime.bundle.manifest import Definitions
from csflow.toolkit.backbones.backbone import Backbone
from csflow.toolkit.features import FeatureFiles
from csflow.toolkit.methods.ignored import Ignored

__all__ = [
    "SCORE_FLOOR",
    "Fitted",
    "Head",
    "Judge",
    "Learner",
    "Method",
    "OnePass",
    "Reading",
    "Shapes",
    "Workplace",
    "head_scores",
    "whole_pictures",
]

Shapes = tuple[tuple[int, int, int], ...]
"""(C, h, w) of each feature map."""
SCORE_FLOOR = 1e-6
"""Added to a score that could be 0 for a picture equal to a training picture: 0 is no score."""


def whole_pictures(config: Any) -> Mapping[str, Any]:  # noqa: ARG001 - of every configuration
    """Nothing but what every backbone has."""
    return {}


class Head(nn.Module):
    """The part of a model that judges. Its state_dict, or that of each of its parts, is weights/<graph>.safetensors."""

    config: Any
    """A frozen dataclass of the method's `config` type: with the shapes of the features, enough to build this head."""

    @property
    def definitions(self) -> Definitions | None:
        """What score and map are, where its configuration makes them other than the method's; else None."""
        return None

    @property
    def parts(self) -> Mapping[str, nn.Module]:
        """What are graphs of their own in it, by name in running order; empty where the head is one graph."""
        return {}

    def forward(self, *features: Tensor) -> tuple[Tensor, Tensor]:
        """Map features (N, C_i, h_i, w_i) to score (N,) and anomaly map (N, h, w)."""
        raise NotImplementedError


@dataclass(frozen=True)
class Reading:
    """What a method reads of a backbone unless the user says otherwise."""

    scales: int
    stages: tuple[int, ...]
    """Of an EfficientNet, as `BackboneConfig.stages`."""
    others: tuple[int, ...] = (1, 2, 3)
    """Of another network: layers 1 to 3 of a ResNet."""
    more: Callable[[Any], Mapping[str, Any]] = whole_pictures
    """From the head's configuration to further fields of `BackboneConfig`, of patches."""


@dataclass(frozen=True)
class Fitted:
    """A head, and what its fit says about itself."""

    head: Head
    """On the workplace's device, in evaluation mode."""
    facts: Mapping[str, float]
    """For provenance, for example {'loss': 0.53}."""
    good_scores: tuple[float, ...] = ()
    """Scores of good parts as new ones get them, where those of the fitted pictures themselves say little: engines are
    judged by their spread. Empty: the fitted pictures are scored."""


@dataclass(frozen=True)
class Workplace:
    """Where a fit works."""

    folder: Path
    """For work in progress; it outlives an interruption, and is gone once the bundle is written or with --fresh."""
    fingerprint: str
    """Identity of data, model and options: progress of another one is not gone on with."""
    device: torch.device
    epochs: Callable[[int], AbstractContextManager[Callable[[int, float], None]]]
    """A bar over epochs; the callable takes the number done and the last loss."""
    unseen: FeatureFiles | None = None
    """Of good pictures that are held out: what a fit can be watched by; None where there are none."""
    say: Callable[[str], None] = lambda _line: None
    """Takes what a user should know about the fit, a line each."""
    golden: frozenset[int] = frozenset()
    """Rows of the features that are of golden frames. A method that remembers pictures as they are leaves these out:
    engines are compared by their maps there, and the distance to itself is nothing but rounding."""
    start: Head | None = None
    """A head of the same configuration that was fitted before, for a fit by gradient descent to go on from."""
    ignored: Ignored | None = None
    """Areas that do not count; which positions of the features these are, the features know themselves."""


@runtime_checkable
class Learner(Protocol):
    """A method that may change the backbone before its features are read."""

    def learns(self, config: Any) -> bool:
        """Whether it does, with this configuration of the head."""

    def learn(self, backbone: Backbone, pictures: Tensor, training: Any, work: Workplace) -> Mapping[str, float]:
        """Train the backbone in place, going on with what `work` holds; returns facts for provenance.

        Args:
            pictures: (N, S, S, 3) uint8 RGB of good parts, on the processor.

        Raises:
            ConfigError: the options cannot work, or not with progress found in `work`.
            SinkError: progress cannot be written.
        """


class Judge(Protocol):
    """What the head of a bundle is. All but the function may be attributes of its class."""

    @property
    def name(self) -> str:
        """In manifests."""

    @property
    def graph(self) -> str:
        """Name of the head's graph and weights file; of the last where the head has parts."""

    @property
    def definitions(self) -> Definitions:
        """What score and map are, for people."""

    @property
    def config(self) -> type:
        """Frozen dataclass of what the head is; fields that follow from features or fit are `options.settled`."""

    def head(self, config: Any, shapes: Shapes) -> Head:
        """A head whose weights are still to be loaded; it may be built on the meta device.

        Raises ValueError where the head cannot read features of these shapes.
        """


class OnePass:
    """A method whose fit is not forecast."""

    def seconds(self, *_args: Any, **_named: Any) -> float | None:
        """None."""
        return None


class Method(Judge, Protocol):
    """A family of detectors, named after --method. All but the functions may be attributes of its class."""

    @property
    def reading(self) -> Reading:
        """What it reads of the backbone."""

    @property
    def training(self) -> type:
        """Frozen dataclass of how it is fitted; no field has the name of one of `config`."""

    def settle(self, config: Any, shapes: Shapes) -> Any:
        """`config` with the fields that follow from the features; a fit may still make a head smaller.

        Raises ValueError where the method cannot read features of these shapes.
        """

    def seconds(self, config: Any, training: Any, shapes: Shapes, pictures: int, device: torch.device) -> float | None:
        """How long a fit will take, timed on features of zeros; None where it is one pass, or nobody can say."""

    def fit(self, features: FeatureFiles, config: Any, training: Any, work: Workplace) -> Fitted:
        """Fit a head to the features of good parts; `config` is settled.

        Raises:
            ConfigError: the options cannot work with these features, or not with progress found in `work`.
            DataError: too few pictures.
            SinkError: progress cannot be written.
        """


@torch.inference_mode()
def head_scores(head: Head, features: FeatureFiles, device: torch.device) -> list[float]:
    """The score of each row of features, by a head on this device."""
    return [float(s) for batch in features.batches(8) for s in head(*(x.to(device) for x in batch))[0].double()]
