"""Configurations refuse what cannot work, in words, and survive the way through a manifest."""

import dataclasses

import pytest

from csflow.runtime.bundle.manifest import Definitions, Manifest, Preprocessing
from csflow.runtime.errors import BundleCorrupted, BundleVersionError, ConfigError
from csflow.toolkit.backbones.config import BackboneConfig
from csflow.toolkit.config import ModelConfig
from csflow.toolkit.methods.flow.config import FlowConfig, TrainConfig
from csflow.toolkit.methods.glad.config import GladConfig
from csflow.toolkit.methods.mahalanobis import MahalanobisConfig, MahalanobisTraining
from csflow.toolkit.methods.padim import PaDiMConfig
from csflow.toolkit.options import checked


@pytest.mark.parametrize(
    ("build", "values", "word"),
    [
        (FlowConfig, {"channels": 7}, "even"),
        (FlowConfig, {"kernel_sizes": (3, 4)}, "odd"),
        (FlowConfig, {"kernel_sizes": ()}, "odd"),
        (FlowConfig, {"hidden": 0}, "hidden"),
        (FlowConfig, {"score_power": 0}, "score_power"),
        (BackboneConfig, {"scales": 0}, "scales"),
        (ModelConfig, {"image_size": 300}, "multiple of 128"),
        (BackboneConfig, {"stages": (4, 2)}, "rising"),
        (FlowConfig, {"anomaly_map": "z"}, "anomaly_map"),
        (MahalanobisTraining, {"shrinkage": 0.0}, "shrinkage"),
        (TrainConfig, {"epochs": 0}, "epochs"),
        (TrainConfig, {"learning_rate": 0.0}, "learning_rate"),
        (TrainConfig, {"schedule": "step"}, "schedule"),
        (TrainConfig, {"betas": (0.9, 1.0)}, "betas"),
    ],
)
def test_values_out_of_range_are_named(build: type, values: dict[str, object], word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        checked(build, **values)


def manifest(config: ModelConfig) -> Manifest:
    made = Manifest(Preprocessing(config.image_size), Definitions(), config.to_mapping(), {}, {}, config.method, ("a",))
    return Manifest.from_bytes(made.to_bytes(), "manifest.json")


@pytest.mark.parametrize(
    "config",
    [
        ModelConfig(384, BackboneConfig("x", mean=(0.5, 0.5, 0.5)), head=FlowConfig(208, hidden=256)),
        ModelConfig(384, BackboneConfig("x"), head=FlowConfig(208, whiten=True, score_power=3, side=12)),
        ModelConfig(64, BackboneConfig("x", 1, stages=(2, 4)), "mahalanobis", MahalanobisConfig()),
    ],
)
def test_model_section_survives_a_manifest(config: ModelConfig) -> None:
    assert ModelConfig.from_manifest(manifest(config)) == config


def test_later_fields_are_in_a_manifest_only_where_they_say_something() -> None:
    assert not {"whiten", "score_power", "side"} & ModelConfig().to_mapping()["head"].keys()
    assert ModelConfig(head=FlowConfig(score_power=2)).to_mapping()["head"]["score_power"] == 2
    for method, kind in (("padim", PaDiMConfig), ("glad", GladConfig)):
        assert "spread" not in ModelConfig(method=method, head=kind()).to_mapping()["head"]
        said = ModelConfig(method=method, head=dataclasses.replace(kind(), spread=True)).to_mapping()["head"]
        assert said["spread"] is True


def test_format_1_keeps_the_flow_by_name_and_its_map_among_the_definitions() -> None:
    model = {"image_size": 384, "backbone": {"name": "x", "scales": 3}, "flow": {"channels": 208, "hidden": 256}}
    definitions = Definitions(anomaly_map="product-mean-z2")
    old = Manifest(Preprocessing(384), definitions, model, {}, {}, format_version=1)
    flow = FlowConfig(208, hidden=256, anomaly_map="product-mean-z2")
    assert ModelConfig.from_manifest(old) == ModelConfig(384, BackboneConfig("x"), head=flow)


def test_foreign_model_section_is_refused() -> None:
    made = Manifest(Preprocessing(64), Definitions(), {"head": {"hiden": 3}}, {}, {})
    with pytest.raises(BundleCorrupted, match="hiden"):
        ModelConfig.from_manifest(made)
    with pytest.raises(BundleVersionError, match=r"'later'.*update csflow"):
        ModelConfig.from_manifest(Manifest(Preprocessing(64), Definitions(), {}, {}, {}, "later"))
