"""The network of GLAD's paper from a local file, layers 1 to 3, from training to libcsflow."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file

from csflow.calibration.calibrate import calibrate
from csflow.export.cli.export import export
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.detector import Detector
from csflow.runtime.engines.opening import open_engine
from csflow.runtime.picture.images import read_image
from csflow.toolkit.backbones.networks import build_backbone, resolve_name
from csflow.toolkit.data.dataset import load_dataset
from csflow.toolkit.methods.reporter import Silent
from csflow.toolkit.plan import BackboneChoice, TrainPlan, model_plan
from csflow.toolkit.train_model import train_model

NAME = "wide_resnet50_2.tv_in1k"


def random_weights(path: Path) -> Path:
    """What is read of the network, drawn so that its features stay finite."""
    torch.manual_seed(0)
    trunk = build_backbone(replace(resolve_name(NAME), stages=(1, 2, 3))).trunk
    state = {key.removeprefix("cut."): value.clone() for key, value in trunk.state_dict().items()}
    for key, value in state.items():
        if value.dim() == 4:
            torch.nn.init.kaiming_normal_(value)
        elif key.endswith("weight"):
            # Each block adds to what goes round it: a small share of it keeps sums of sixteen in their range.
            value.fill_(0.2 if "bn3" in key else 1.0)
        else:
            # The network was built without values.
            value.fill_(1.0 if key.endswith("running_var") else 0.0)
    save_file({key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}, path)
    return path


@pytest.mark.soak
def test_glad_on_wide_resnet_is_the_same_from_training_to_libcsflow(
    tmp_path: Path, product_line: Path, openvino: Callable[..., Any], picture: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CSFLOW_CACHE", str(tmp_path / "cache"))
    weights = random_weights(tmp_path / "weights.safetensors")
    model, training = model_plan("glad?components=4&ridge=0.3", BackboneChoice(NAME, 64))
    assert model.backbone.stages == (1, 2, 3)
    dataset = load_dataset(product_line, 64)
    path = tmp_path / "model.csflow"
    bundle = train_model(dataset, path, TrainPlan(model, training, str(weights)), Silent())
    with open_engine(bundle, "torch") as engine:
        calibrate(bundle, [product_line / "calibration" / "good"], engine, 0.2, 0.9)
    done = CliRunner().invoke(export, ["--bundle", str(path), "--no-engines"])
    assert done.exit_code == 0, done.output
    with openvino(path, "openvino-fp32") as ours, Detector.open(path, "openvino-fp32") as theirs:
        assert not theirs.distrust
        for sample in dataset.test[:6]:
            pixels = read_image(sample.path)
            result, expected = ours.detect(picture(pixels, "RGB8")), theirs.detect(pixels)
            assert (result.verdict, result.score) == (expected.verdict, expected.score)
            width, height, values = ours.anomaly_map()
            np.testing.assert_array_equal(np.array(values, np.float32).reshape(height, width), expected.anomaly_map)
    assert Bundle.open(path).manifest.provenance["backbone_weights"]["source"] == "file:weights.safetensors"
