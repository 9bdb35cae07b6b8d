"""Configurations refuse what cannot work, in words, and survive the way through a manifest."""

import pytest

from csflow.runtime import schema
from csflow.runtime.errors import BundleCorrupted, ConfigError
from csflow.toolkit.config import BackboneConfig, FlowConfig, ModelConfig, TrainConfig, checked


@pytest.mark.parametrize(
    ("build", "values", "word"),
    [
        (FlowConfig, {"channels": 7}, "even"),
        (FlowConfig, {"kernel_sizes": (3, 4)}, "odd"),
        (FlowConfig, {"kernel_sizes": ()}, "odd"),
        (FlowConfig, {"hidden": 0}, "hidden"),
        (BackboneConfig, {"scales": 0}, "scales"),
        (ModelConfig, {"image_size": 300}, "multiple of 128"),
        (ModelConfig, {"flow": FlowConfig(scales=2)}, "same number"),
        (TrainConfig, {"epochs": 0}, "epochs"),
        (TrainConfig, {"learning_rate": 0.0}, "learning_rate"),
        (TrainConfig, {"schedule": "step"}, "schedule"),
        (TrainConfig, {"betas": (0.9, 1.0)}, "betas"),
    ],
)
def test_values_out_of_range_are_named(build: type, values: dict[str, object], word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        checked(build, **values)


def test_model_section_survives_a_manifest() -> None:
    config = ModelConfig(384, BackboneConfig("x", mean=(0.5, 0.5, 0.5)), FlowConfig(208, hidden=256))
    body = schema.parse_json(schema.dump_json(schema.to_mapping(config)))
    assert ModelConfig.from_bundle(body) == config


def test_foreign_model_section_is_refused() -> None:
    with pytest.raises(BundleCorrupted, match="hiden"):
        ModelConfig.from_bundle({"flow": {"hiden": 3}})


def test_feature_shapes_are_those_of_the_paper() -> None:
    assert ModelConfig().feature_shapes == ((304, 24, 24), (304, 12, 12), (304, 6, 6))
