"""Presets are options of csflow train with one name, and any option overrules its preset's."""

from __future__ import annotations

import dataclasses
from typing import Any

import click
import pytest
from click.testing import CliRunner

from csflow.toolkit.cli.presets import PRESETS
from csflow.toolkit.cli.train import train
from csflow.toolkit.forecast import duration
from csflow.toolkit.methods.flow.config import FlowConfig, TrainConfig
from csflow.toolkit.plan import BackboneChoice, TrainPlan, model_plan

SHORT = TrainConfig(epochs=10, schedule="cosine", learning_rate=3e-3)
"""The training of 'balanced'."""


def plan_of(monkeypatch: pytest.MonkeyPatch, *words: str) -> tuple[Any, Any, float]:
    """(model, training, share held out) that `csflow train x WORDS` would train."""
    names = [field.name for field in dataclasses.fields(TrainPlan)]
    seen: dict[str, Any] = {}

    def stop(*arguments: Any, **named: Any) -> None:
        seen.update({**dict(zip(names, arguments, strict=False)), **named})
        raise click.Abort

    monkeypatch.setattr("csflow.toolkit.choosing.settings.TrainPlan", stop)
    CliRunner().invoke(train, ["x", *words])
    return seen["model"], seen["training"], seen["hold_out"]


def test_paper_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    paper = model_plan("cs-flow", BackboneChoice("tf_efficientnet_b5.aa_in1k"))
    assert plan_of(monkeypatch) == plan_of(monkeypatch, "--preset", "paper") == (*paper, 0.0)


def test_fast_is_one_pass_and_balanced_is_the_flow(monkeypatch: pytest.MonkeyPatch) -> None:
    fast, _, _ = plan_of(monkeypatch, "--preset", "fast")
    assert (fast.method, fast.image_size, fast.backbone.name) == ("mahalanobis", 384, "tf_efficientnet_lite2.in1k")
    model, training, hold_out = plan_of(monkeypatch, "--preset", "balanced")
    assert (model.head, training, hold_out) == (FlowConfig(hidden=128), SHORT, 0.1)


def test_an_option_overrules_wherever_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    for words in (["--epochs", "9", "--preset", "balanced"], ["--preset", "balanced", "--epochs", "9"]):
        model, training, _ = plan_of(monkeypatch, *words)
        assert (model.head.hidden, training.epochs) == (128, 9)
    model, _, _ = plan_of(monkeypatch, "--preset", "balanced", "--method", "nearest", "--image-size", "256")
    assert (model.method, model.image_size) == ("nearest", 256)
    assert plan_of(monkeypatch, "--preset", "balanced", "--method", "cs-flow?hidden=32")[0].head.hidden == 32


def test_what_a_preset_says_are_options_of_the_command() -> None:
    names = {parameter.name for parameter in train.params}
    assert all(values.keys() <= names for values in PRESETS.values())


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "1 s"), (40, "40 s"), (120, "2 min"), (5000, "83 min"), (12600, "3.5 h")]
)
def test_a_duration_is_said_in_the_unit_that_fits(seconds: float, words: str) -> None:
    assert duration(seconds) == words
