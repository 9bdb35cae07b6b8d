"""A backbone of eight bits: exact whatever the order of its sums, near the float32 one, and read back from a file."""

import dataclasses

import pytest
import torch
from torch import Tensor

from csflow.runtime.errors import ConfigError
from csflow.toolkit.backbones.backbone import Backbone
from csflow.toolkit.backbones.config import BackboneConfig
from csflow.toolkit.backbones.int8.convolutions import RoundedConvolution
from csflow.toolkit.backbones.int8.quantized import is_quantized, quantized
from csflow.toolkit.backbones.networks import build_backbone

SIDE = 64
NAMES = ("tf_efficientnet_lite0", "tf_efficientnet_b0")
"""ReLU6 alone; SiLU with squeeze-and-excitation."""


def frames(seed: int) -> Tensor:
    return torch.randint(0, 256, (1, SIDE, SIDE, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def drawn(name: str) -> Backbone:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build_backbone(BackboneConfig(name, 2, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), stages=(1, 2)))


@pytest.fixture(scope="module", params=NAMES)
def rounded(request: pytest.FixtureRequest) -> Backbone:
    """With random weights, ranges from two frames of noise."""
    return quantized(drawn(request.param), [frames(0), frames(1)])


@torch.no_grad()
def test_no_order_of_a_sum_and_no_wider_type_changes_a_bit(rounded: Backbone) -> None:
    found = rounded(frames(2))
    wide = build_backbone(rounded.config).double()
    wide.load_state_dict({name: tensor.double() for name, tensor in rounded.state_dict().items()})
    wide.register_buffer("mean", rounded.get_buffer("mean"))
    pixels = frames(2).double().permute(0, 3, 1, 2) / 255.0
    expected = [f for i in range(2) for f in wide.trunk((pixels[:, :, :: 1 << i, :: 1 << i] - 0.5) / 0.5)]
    assert len(found) == len(expected) == 4
    assert all(torch.equal(a.double(), b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_its_features_are_near_those_that_it_was_made_of(name: str) -> None:
    expected = drawn(name)(frames(3))
    for got, was in zip(quantized(drawn(name), [frames(3)])(frames(3)), expected, strict=True):
        assert float((got - was).norm() / (was - was.mean()).norm()) < 0.1


@torch.no_grad()
def test_its_weights_and_ranges_are_read_back(rounded: Backbone) -> None:
    again = build_backbone(rounded.config)
    assert is_quantized(again)
    again.trunk.load_state_dict(rounded.trunk.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(rounded(frames(4)), again(frames(4)), strict=True))


def test_only_what_has_a_ceiling_is_carried_unrounded(rounded: Backbone) -> None:
    carried = any(getattr(module, "carries", False) for module in rounded.modules())
    assert carried == ("lite" in rounded.config.name)
    whole = [
        m.conv.weight / m.weight_scale[:, None, None, None]
        for m in rounded.modules()
        if isinstance(m, RoundedConvolution)
    ]
    assert all(w.abs().amax() > 63 for w in whole), "every convolution has its eight bits"


@torch.no_grad()
def test_bundles_of_old_keep_their_roundings(rounded: Backbone) -> None:
    old = build_backbone(dataclasses.replace(rounded.config, wide=1))
    names = old.trunk.state_dict().keys() - rounded.trunk.state_dict().keys()
    assert names == {"blocks.0.0.block.conv_dw.weight_scale"}
    first = old.trunk.get_submodule("blocks.0.0")
    block = first.get_submodule("block")
    assert isinstance(block.conv_dw, RoundedConvolution)
    assert not isinstance(rounded.trunk.get_submodule("blocks.0.0.block.conv_dw"), RoundedConvolution)
    x = torch.rand(1, 32, 8, 8)
    assert torch.equal(first(x), block(first.get_submodule("rounding")(x)))


def test_the_manifest_says_so_only_where_it_is() -> None:
    plain = BackboneConfig()
    assert "precision" not in plain.to_mapping()
    rounded = plain.in_precision("int8")
    assert {"precision": "int8", "wide": 2}.items() <= rounded.to_mapping().items()
    assert rounded.unrounded == plain
    assert "wide" not in dataclasses.replace(plain, precision="int8").to_mapping(), "as bundles of old have it"
    with pytest.raises(ValueError, match="wide must be 1 or 2"):
        dataclasses.replace(plain, precision="int8", wide=3)
    with pytest.raises(ValueError, match="precision must be one of"):
        dataclasses.replace(plain, precision="int4")


def test_other_networks_are_refused() -> None:
    with pytest.raises(ConfigError, match="int8 is defined for EfficientNets"):
        build_backbone(BackboneConfig("resnet18", 1, stages=(1,), precision="int8"))
