"""A training that stops by itself: when, with which weights, and the same where it was interrupted."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from csflow.runtime.errors import ConfigError
from csflow.toolkit.features import FeatureFiles
from csflow.toolkit.methods.flow.checkpoint import Checkpoint
from csflow.toolkit.methods.flow.course import PATIENCE, Course
from csflow.toolkit.methods.flow.flow import CrossScaleFlow
from csflow.toolkit.methods.flow.training import train_flow

from .test_training import TRAIN, Interrupted, data, files, fitted

LONG = replace(TRAIN, epochs=60, schedule="constant", learning_rate=5e-2, early_stop=True)
FEW = files(tuple(x[:4] for x in data(0)))
"""Soon learnt by heart."""
UNSEEN = files(data(1, 12))


def losses_of(monkeypatch: pytest.MonkeyPatch, values: Iterator[torch.Tensor]) -> None:
    monkeypatch.setattr("csflow.toolkit.methods.flow.course._losses_of", lambda *_: next(values))


@pytest.fixture(scope="module")
def stopped() -> tuple[CrossScaleFlow, Course, list[float]]:
    flow, course = fitted(), Course(UNSEEN, stops=True)
    return flow, course, train_flow(flow, FEW, LONG, course=course)


def test_it_stops_before_the_end_with_the_weights_of_the_best_epoch(
    stopped: tuple[CrossScaleFlow, Course, list[float]],
) -> None:
    flow, course, losses = stopped
    assert PATIENCE < len(losses) < LONG.epochs
    facts = course.facts()
    assert facts["epochs"] == len(losses)
    assert facts["best_epoch"] <= len(losses) - PATIENCE
    again = fitted()
    train_flow(again, FEW, replace(LONG, epochs=int(facts["best_epoch"])))
    for (name, kept), expected in zip(flow.state_dict().items(), again.state_dict().values(), strict=True):
        assert torch.equal(kept, expected), name
    (line,) = course.lines(losses)
    assert line.startswith(f"stopped after {len(losses)} epochs")
    assert f"best after {facts['best_epoch']}" in line


def test_an_interrupted_training_stops_in_the_same_epoch_with_the_same_weights(
    stopped: tuple[CrossScaleFlow, Course, list[float]], tmp_path: Path
) -> None:
    flow, course, losses = stopped
    checkpoint = Checkpoint(tmp_path / "c.safetensors", "same")

    def interrupt(done: int, _loss: float) -> None:
        if done == len(losses) - 1:
            raise Interrupted

    with pytest.raises(Interrupted):
        train_flow(fitted(), FEW, LONG, checkpoint, interrupt, Course(UNSEEN, stops=True))
    resumed, again = fitted(), Course(UNSEEN, stops=True)
    assert train_flow(resumed, FEW, LONG, checkpoint, course=again) == losses
    assert again.facts() == course.facts()
    for name, value in resumed.state_dict().items():
        assert torch.equal(value, flow.state_dict()[name]), name


def test_a_fluctuation_within_the_standard_error_is_not_worse(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = torch.Generator().manual_seed(0)
    best = torch.randn(40, generator=draw).double()
    noisy = [best + 0.01 * torch.randn(40, generator=draw).double() + 0.0005 for _ in range(20)]
    losses_of(monkeypatch, iter([best, *noisy]))
    course = Course(UNSEEN, stops=True)
    for done in range(1, 21):
        course.add(done, fitted())
    assert not course.ended


def test_worse_by_more_for_long_enough_ends_it_and_better_again_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    best = torch.linspace(0, 1, 10).double()
    worse = best + torch.linspace(0.01, 0.03, 10).double()
    losses_of(monkeypatch, iter([best, *[worse] * (PATIENCE - 1), best - 0.1, *[worse] * PATIENCE]))
    course, ended = Course(UNSEEN, stops=True), []
    for done in range(1, 2 * PATIENCE + 2):
        course.add(done, fitted())
        ended.append(course.ended)
    assert ended.index(True) == 2 * PATIENCE


def test_without_held_out_pictures_it_is_refused() -> None:
    with pytest.raises(ConfigError, match="--hold-out"):
        Course(None, stops=True)


def test_without_early_stop_nothing_changes() -> None:
    plain, watched = fitted(), fitted()
    config = replace(TRAIN, epochs=3)
    course = Course(FeatureFiles(UNSEEN.maps))
    assert train_flow(plain, FEW, config) == train_flow(watched, FEW, config, course=course)
    assert not course.ended
    for name, value in plain.state_dict().items():
        assert torch.equal(value, watched.state_dict()[name]), name
