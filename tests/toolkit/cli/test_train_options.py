"""Options of methods have one text: help, defaults and docs are the dataclasses' own."""

import dataclasses
from pathlib import Path

import pytest
from click.testing import CliRunner

from csflow.runtime.errors import ConfigError
from csflow.toolkit.cli.field_docs import default_text, field_docs, first_sentence, options_table
from csflow.toolkit.cli.train import train
from csflow.toolkit.methods.flow.config import FlowConfig, TrainConfig
from csflow.toolkit.methods.mahalanobis import MahalanobisTraining
from csflow.toolkit.methods.table import METHODS
from csflow.toolkit.options import option_fields
from csflow.toolkit.plan import BackboneChoice, model_plan

DOCS = Path(__file__).resolve().parents[3] / "docs" / "training.md"
LITE = BackboneChoice("tf_efficientnet_lite0", 128)


@pytest.mark.parametrize("name", METHODS)
def test_the_docs_tables_are_the_dataclasses(name: str) -> None:
    method = METHODS[name]
    section = DOCS.read_text().partition(f"\n### {name}\n")[2].partition("\n\n")[0]
    assert section == options_table(method.config, method.training)


@pytest.mark.parametrize("name", METHODS)
def test_every_option_is_documented_and_named_once(name: str) -> None:
    method = METHODS[name]
    names = [field.name for cls in (method.config, method.training) for field in option_fields(cls)]
    assert len(names) == len(set(names))
    for cls in (method.config, method.training):
        assert field_docs(cls).keys() >= {field.name for field in dataclasses.fields(cls)}


def test_help_says_text_and_default_of_every_field() -> None:
    shown = " ".join(CliRunner().invoke(train, ["--help"], terminal_width=1000).stdout.split())
    for cls in (FlowConfig, TrainConfig):
        docs = field_docs(cls)
        for field in option_fields(cls):
            assert f"--{field.name.replace('_', '-')}" in shown
            assert f"{first_sentence(docs[field.name])} [CS-Flow; default: {default_text(field.default)}]" in shown
    assert "--channels" not in shown


def test_options_after_the_name_and_beside_it_are_the_same() -> None:
    inside = model_plan("cs-flow?hidden=32&kernel_sizes=3,5&betas=0.5,0.9&autocast=no", LITE)
    beside = {"hidden": 32, "kernel_sizes": (3, 5), "betas": (0.5, 0.9), "autocast": False}
    assert inside == model_plan("cs-flow", LITE, beside)
    assert inside[0].head == FlowConfig(kernel_sizes=(3, 5), hidden=32)
    assert inside[1] == TrainConfig(betas=(0.5, 0.9), autocast=False)
    assert model_plan("mahalanobis?shrinkage=0.1", LITE)[1] == MahalanobisTraining(0.1)


def test_a_method_chooses_what_it_reads_unless_the_user_does() -> None:
    backbone = model_plan("mahalanobis", LITE)[0].backbone
    assert (backbone.scales, backbone.stages) == (1, (2, 4, 5))
    backbone = model_plan("cs-flow", dataclasses.replace(LITE, scales=2))[0].backbone
    assert (backbone.scales, backbone.stages) == (2, (5,))


@pytest.mark.parametrize(
    ("method", "given", "words"),
    [
        ("flow", {}, "choose one of: cs-flow, mahalanobis"),
        ("cs-flow?hiden=3", {}, "did you mean 'hidden'"),
        ("cs-flow?channels=3", {}, "no option 'channels'"),
        ("cs-flow?hidden=many", {}, "for example 8"),
        ("cs-flow?betas=0.5", {}, "no valid value"),
        ("cs-flow?autocast=maybe", {}, "for example yes"),
        ("cs-flow?hidden=3&hidden=4", {}, "twice"),
        ("cs-flow?hidden=3", {"hidden": 4}, "given twice"),
        ("mahalanobis", {"hidden": 4}, "--hidden is an option of cs-flow"),
        ("mahalanobis?shrinkage=2", {}, "shrinkage must lie"),
    ],
)
def test_what_cannot_be_is_refused_in_words(method: str, given: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        model_plan(method, LITE, given)
