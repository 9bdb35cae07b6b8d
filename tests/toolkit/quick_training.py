"""Trainings that take no time, and reporters that stop them or count."""

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from csflow.toolkit.backbones.networks import resolve_name
from csflow.toolkit.config import ModelConfig
from csflow.toolkit.methods.flow.config import FlowConfig, TrainConfig
from csflow.toolkit.methods.reporter import Silent
from csflow.toolkit.plan import TrainPlan


def plan(weights: Path, **training: object) -> TrainPlan:
    backbone = dataclasses.replace(resolve_name("tf_efficientnet_lite0"), scales=1)
    model = ModelConfig(64, backbone, head=FlowConfig(kernel_sizes=(1,), hidden=4))
    return TrainPlan(model, TrainConfig(epochs=4, **training), str(weights))  # type: ignore[arg-type]


class Stops(Silent):
    """Presses Ctrl-C after the second epoch."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        """Keep the line."""
        self.lines.append(line)

    @contextmanager
    def epochs(self, _total: int) -> Iterator[Callable[[int, float], None]]:  # type: ignore[override]
        """Interrupt."""

        def on_epoch(done: int, _loss: float) -> None:
            if done == 2:
                raise KeyboardInterrupt

        yield on_epoch


class Counts(Silent):
    """Keeps the numbers of finished epochs."""

    def __init__(self) -> None:
        self.done: list[int] = []

    @contextmanager
    def epochs(self, _total: int) -> Iterator[Callable[[int, float], None]]:  # type: ignore[override]
        """Count."""
        yield lambda done, _loss: self.done.append(done)
