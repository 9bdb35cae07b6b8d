"""Drawn weights fit the backbone that they are for, and its batch norms have seen the pictures."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from click.testing import CliRunner

from csflow.runtime.picture.images import list_images
from csflow.toolkit.backbones.config import BackboneConfig
from csflow.toolkit.backbones.weights import load_backbone

sys.path.insert(0, str(Path(__file__).parent))
import drawn_weights


def test_they_are_read_back_as_weights_of_that_backbone(product_line: Path, tmp_path: Path) -> None:
    folder, file = product_line / "train/good", tmp_path / "b0.safetensors"
    options = ["--backbone", "tf_efficientnet_b0", "--image-size", "64", "--limit", "5"]
    result = CliRunner().invoke(drawn_weights.main, [str(folder), str(file), *options])
    assert result.exit_code == 0, result.output
    assert len(list_images(folder)) >= 5
    backbone, record = load_backbone(BackboneConfig("tf_efficientnet_b0"), str(file))
    assert record.source == "file:b0.safetensors"
    assert float(backbone.trunk.get_submodule("bn1").running_mean.abs().max()) > 0.0  # type: ignore[union-attr]
    assert all(torch.isfinite(tensor).all() for tensor in backbone.trunk.state_dict().values())
