"""A training says whether it was too short or too long, and is silent where it was neither."""

from __future__ import annotations

import math

import pytest
import torch

from csflow.toolkit.features import FeatureFiles
from csflow.toolkit.methods.flow.config import FlowConfig
from csflow.toolkit.methods.flow.course import Course
from csflow.toolkit.methods.flow.flow import CrossScaleFlow, negative_log_likelihood
from csflow.toolkit.methods.flow.training import new_flow

FLOW = FlowConfig(6, 2, (3, 3), 8)


def features(count: int = 3) -> FeatureFiles:
    generator = torch.Generator().manual_seed(1)
    shapes = ((count, 6, 4, 4), (count, 6, 2, 2))
    return FeatureFiles(tuple(torch.randn(*shape, generator=generator).numpy() for shape in shapes))


def falling(epochs: int, pace: float) -> list[float]:
    return [math.exp(-pace * epoch / epochs) for epoch in range(epochs)]


@pytest.fixture
def flow() -> CrossScaleFlow:
    return new_flow(FLOW, 3)


@pytest.mark.parametrize(
    ("epochs", "pace", "word"), [(8, 0.5, "under-trained"), (40, 6.0, ""), (3, 0.5, ""), (8, 0.0, "")]
)
def test_a_loss_that_still_falls_asks_for_more(epochs: int, pace: float, word: str) -> None:
    (line,) = Course(None).lines(falling(epochs, pace)) or [""]
    assert line.startswith(word)
    assert bool(line) == bool(word)


def test_unseen_pictures_are_scored_as_the_flow_is_trained(flow: CrossScaleFlow) -> None:
    course, unseen = Course(features()), features()
    flow.train()
    course.add(1, flow)
    with torch.inference_mode():
        (batch,) = unseen.batches(16)
        expected = float(negative_log_likelihood(*flow.eval()(tuple(batch))))
    assert course.facts() == {"unseen_loss": pytest.approx(expected), "best_epoch": 1, "epochs": 1}
    assert Course(None).facts() == {}


def test_unseen_pictures_that_become_strange_ask_for_fewer(
    flow: CrossScaleFlow, monkeypatch: pytest.MonkeyPatch
) -> None:
    course, unseen = Course(features()), iter([0.9, 0.5, 0.4, 0.5, 0.6, 0.7])
    monkeypatch.setattr("csflow.toolkit.methods.flow.course._losses_of", lambda *_: torch.full((3,), next(unseen)))
    for done in range(1, 7):
        course.add(done, flow)
    (line,) = course.lines(falling(6, 3.0))
    assert "over-trained" in line
    assert "--epochs 3" in line
    assert course.facts() == {"unseen_loss": pytest.approx(0.7), "best_epoch": 3, "epochs": 6}
