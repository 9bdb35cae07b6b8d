"""Choosing without defective parts: the first that cannot be told from the best, and no test picture is read."""

import dataclasses
from pathlib import Path

import pytest
from click.testing import CliRunner

from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.errors import ConfigError, DataError
from csflow.toolkit.choosing.choose import Candidate, choose
from csflow.toolkit.cli.train import train
from csflow.toolkit.data.dataset import load_dataset
from csflow.toolkit.data.sample import Sample
from csflow.toolkit.methods.reporter import Silent
from csflow.toolkit.plan import BackboneChoice, TrainPlan, model_plan, named_methods

METHODS = ("nearest?bank=5", "mahalanobis")


@pytest.fixture
def candidates(random_weights: Path) -> list[Candidate]:
    choice = BackboneChoice("tf_efficientnet_lite0", 64, scales=1)
    return [Candidate(m, TrainPlan(*model_plan(m, choice), str(random_weights))) for m in METHODS]


def test_candidates_are_judged_without_test_pictures(
    product_line: Path, tmp_path: Path, candidates: list[Candidate], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("csflow.toolkit.choosing.choose.EACH", 20)
    monkeypatch.setattr("csflow.toolkit.choosing.choose.HOLD_OUT", 0.5)
    dataset = dataclasses.replace(load_dataset(product_line), test=(Sample(tmp_path / "none.png"),))
    choice = choose(dataset, candidates, tmp_path / "work", Silent())
    assert [method for method, _ in choice.aurocs] == list(METHODS)
    assert all(0.0 <= auroc <= 1.0 for _, auroc in choice.aurocs)
    assert choice.chosen in candidates
    best = max(auroc for _, auroc in choice.aurocs)
    assert choice.behind.second == pytest.approx(best)
    assert choice.behind.high >= 0.0
    assert choice.chosen.method in choice.lines()[-1]


@pytest.mark.parametrize(
    ("methods", "precision"), [(METHODS[:1], "int8"), (("patches?sizes=32&strides=32", "mahalanobis"), "fp32")]
)
def test_candidates_are_judged_by_what_they_would_be_trained_on(
    product_line: Path,
    tmp_path: Path,
    random_weights: Path,
    methods: tuple[str, ...],
    precision: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Rounded features, and those of patches, which others do not share.
    monkeypatch.setattr("csflow.toolkit.choosing.choose.EACH", 20)
    monkeypatch.setattr("csflow.toolkit.choosing.choose.HOLD_OUT", 0.5)
    plans = [model_plan(m, BackboneChoice("tf_efficientnet_lite0", 64, scales=1, precision=precision)) for m in methods]
    candidates = [Candidate(m, TrainPlan(*plan, str(random_weights))) for m, plan in zip(methods, plans, strict=True)]
    choice = choose(load_dataset(product_line), candidates, tmp_path / "work", Silent())
    assert [method for method, _ in choice.aurocs] == list(methods)


def test_one_that_trains_its_network_is_no_candidate(product_line: Path, tmp_path: Path, random_weights: Path) -> None:
    plan = model_plan("patches?encoder=trained", BackboneChoice("tf_efficientnet_lite0", 64))
    with pytest.raises(ConfigError, match="trains its own network"):
        choose(load_dataset(product_line), [Candidate("p", TrainPlan(*plan, str(random_weights)))], tmp_path, Silent())


def test_too_few_pictures_choose_nothing(product_line: Path, tmp_path: Path, candidates: list[Candidate]) -> None:
    with pytest.raises(DataError, match="of 24 good pictures, 5 would be held out, and 10 are needed"):
        choose(load_dataset(product_line), candidates, tmp_path / "work", Silent())


def test_the_command_trains_what_was_chosen(
    product_line: Path, tmp_path: Path, random_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("csflow.toolkit.choosing.choose.EACH", 20)
    monkeypatch.setattr("csflow.toolkit.choosing.choose.HOLD_OUT", 0.5)
    target = tmp_path / "made" / "model.csflow"
    arguments = [
        str(product_line),
        "--bundle",
        str(target),
        "--backbone",
        "tf_efficientnet_lite0",
        *("--image-size", "64", "--scales", "1"),
    ]
    weights = ["--backbone-weights", str(random_weights)]
    result = CliRunner().invoke(train, [*arguments, *weights, "--auto", "--candidates", ",".join(METHODS)])
    assert result.exit_code == 0, result.output
    method = Bundle.open(target).manifest.method
    assert f"chosen: {method}" in result.output
    assert not list(target.parent.glob("*choosing*"))


@pytest.mark.parametrize("named", [["--method", "padim"], ["--epochs", "3"]])
def test_what_is_chosen_is_not_named_too(named: list[str], product_line: Path) -> None:
    result = CliRunner().invoke(train, [str(product_line), "--auto", *named])
    assert result.exit_code == 2
    assert "name them in --candidates instead" in result.output


def test_names_are_split_where_a_method_begins() -> None:
    text = "cs-flow?kernel_sizes=3,5&hidden=16, padim,cs-flow+padim"
    assert named_methods(text) == ["cs-flow?kernel_sizes=3,5&hidden=16", "padim", "cs-flow+padim"]
