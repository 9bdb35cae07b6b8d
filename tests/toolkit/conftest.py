"""Backbone weights without a download: a local state dict of random numbers, in timm's names."""

from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

NAME = "tf_efficientnet_lite0"


@pytest.fixture(scope="session")
def random_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A .safetensors file that fits tf_efficientnet_lite0."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "lite0.safetensors"
    save_file(timm.create_model(NAME).state_dict(), path)
    return path
