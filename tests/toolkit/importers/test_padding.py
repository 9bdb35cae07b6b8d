"""Padding conventions and key maps: each equals its origin's features on random weights."""

from __future__ import annotations

import importlib.util
import io
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from csflow.export.graphs.graph import Graph
from csflow.export.graphs.onnx_export import to_onnx
from csflow.runtime.errors import ConfigError
from csflow.toolkit.backbones.backbone import Backbone
from csflow.toolkit.backbones.config import BackboneConfig
from csflow.toolkit.backbones.key_maps import LAYOUTS, from_timm, layout_of, to_timm
from csflow.toolkit.backbones.networks import build_backbone
from csflow.toolkit.backbones.weights import fill_backbone, fingerprint, load_backbone

B5 = "tf_efficientnet_b5"
STAGES = [(3, 3, 1), (5, 3, 2), (5, 5, 2), (7, 3, 2), (7, 5, 1), (9, 5, 2)]
"""EfficientNet-B5 (Tan and Le 2019, Table 1, scaled): blocks, kernel, first stride of B5's stages up to block 35."""
PADS = {
    # Left and right (top and bottom alike) of stem, blocks 3, 8, 13, 27: measured on the three libraries.
    "tf_same": [(0, 1), (0, 1), (1, 2), (0, 1), (1, 2)],
    "symmetric": [(1, 1), (1, 1), (2, 2), (1, 1), (2, 2)],
    "lm071": [(0, 1), (0, 1), (1, 2), (1, 1), (2, 2)],
}


def lukemelas(state: dict[str, Tensor], x: Tensor, pads: list[tuple[int, int]]) -> Tensor:
    """Features after block 35 as efficientnet_pytorch computes them, from its own tensor names."""
    strided = iter(pads)

    def norm(name: str, v: Tensor) -> Tensor:
        mean, var, weight, bias = (state[f"{name}.{k}"] for k in ("running_mean", "running_var", "weight", "bias"))
        return functional.batch_norm(v, mean, var, weight, bias, eps=1e-3)

    def swish(v: Tensor) -> Tensor:
        return v * torch.sigmoid(v)

    def conv(name: str, v: Tensor, stride: int = 1, groups: int = 1) -> Tensor:
        weight = state[f"{name}.weight"]
        k = weight.shape[-1]
        low, high = next(strided) if stride == 2 else (k // 2, k // 2)
        return functional.conv2d(functional.pad(v, (low, high, low, high)), weight, None, stride, 0, 1, groups)

    def squeeze(name: str, v: Tensor) -> Tensor:
        s = v.mean((2, 3), keepdim=True)
        s = swish(functional.conv2d(s, state[f"{name}._se_reduce.weight"], state[f"{name}._se_reduce.bias"]))
        s = functional.conv2d(s, state[f"{name}._se_expand.weight"], state[f"{name}._se_expand.bias"])
        return torch.sigmoid(s) * v

    x = swish(norm("_bn0", conv("_conv_stem", x, 2)))
    index = 0
    for blocks, _, first in STAGES:
        for i in range(blocks):
            name, y = f"_blocks.{index}", x
            if f"{name}._expand_conv.weight" in state:
                y = swish(norm(f"{name}._bn0", conv(f"{name}._expand_conv", y)))
            y = conv(f"{name}._depthwise_conv", y, first if i == 0 else 1, y.shape[1])
            y = squeeze(name, swish(norm(f"{name}._bn1", y)))
            y = norm(f"{name}._bn2", conv(f"{name}._project_conv", y))
            x = x + y if i > 0 else y
            index += 1
    assert index == 36
    return x


def frames(size: int) -> Tensor:
    return torch.randint(0, 256, (1, size, size, 3), generator=torch.Generator().manual_seed(size), dtype=torch.uint8)


def normalised(batch: Tensor) -> Tensor:
    x = batch.float().permute(0, 3, 1, 2) / 255
    return (x - torch.tensor([0.485, 0.456, 0.406])[:, None, None]) / torch.tensor([0.229, 0.224, 0.225])[:, None, None]


@pytest.fixture(scope="session")
def b5_state(torchvision_b5: nn.Module) -> dict[str, Tensor]:
    """Tensors of torchvision's B5, in its names."""
    return dict(torchvision_b5.state_dict())


def backbone_with(state: dict[str, Tensor], padding: str) -> Backbone:
    return fill_backbone(BackboneConfig(B5, padding=padding), state, "test")[0]


def relative(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max() / b.abs().max())


@pytest.mark.parametrize("size", [128, 256])
@torch.inference_mode()
def test_each_convention_is_its_origin_s_and_no_other_s(b5_state: dict[str, Tensor], size: int) -> None:
    batch = frames(size)
    x = normalised(batch)
    own: dict[str, Tensor] = {}
    for padding, pads in PADS.items():
        backbone = backbone_with(b5_state, padding)
        origin = from_timm(backbone.trunk.state_dict(), "efficientnet_pytorch")
        own[padding] = backbone(batch)[0]
        for scale, got in enumerate(backbone(batch)):
            level = functional.interpolate(x, size=(size >> scale, size >> scale))
            assert relative(got, lukemelas(origin, level, pads)) < 1e-5
    assert relative(own["tf_same"], own["symmetric"]) > 1e-3
    assert relative(own["tf_same"], own["lm071"]) > 1e-3


@pytest.mark.parametrize("padding", PADS)
def test_each_strided_layer_pads_as_its_origin_and_not_as_the_others(padding: str) -> None:
    # The whole network of random weights forgets what its first layers did; so each layer by itself.
    trunk = build_backbone(BackboneConfig(B5, padding=padding)).trunk
    layers = [module for module in trunk.modules() if isinstance(module, nn.Conv2d) and module.stride == (2, 2)]
    for number, (conv, own) in enumerate(zip(layers, PADS[padding], strict=True)):
        x = torch.randn(1, conv.in_channels, 16, 16)
        for pads in {convention[number] for convention in PADS.values()}:
            padded = functional.pad(x, pads * 2)
            expected = functional.conv2d(padded, conv.weight, None, 2, 0, 1, conv.groups)
            error = relative(conv(x), expected)
            assert error < 1e-6 if pads == own else error > 0.1


@torch.inference_mode()
def test_symmetric_padding_is_torchvision_s(torchvision_b5: Any, b5_state: dict[str, Tensor]) -> None:
    batch = frames(128)
    theirs = torchvision_b5.features[:7](normalised(batch))
    assert relative(backbone_with(b5_state, "symmetric")(batch)[0], theirs) < 1e-5


@torch.inference_mode()
def test_timm_s_own_padding_of_a_tf_model_is_same(b5_state: dict[str, Tensor]) -> None:
    batch = frames(128)
    for own, same in zip(
        backbone_with(b5_state, "timm")(batch), backbone_with(b5_state, "tf_same")(batch), strict=True
    ):
        torch.testing.assert_close(own, same)


@pytest.mark.parametrize(
    ("name", "padding", "other"),
    [
        ("tf_efficientnet_b0", "tf_same", "symmetric"),
        ("tf_efficientnet_b0", "symmetric", "tf_same"),
        # At B0's design size the mixture is tf_same.
        ("tf_efficientnet_b1", "lm071", "tf_same"),
    ],
)
def test_padding_survives_the_export_and_the_backends(name: str, padding: str, other: str) -> None:
    torch.manual_seed(2)
    backbone = build_backbone(BackboneConfig(name, scales=1, padding=padding))
    plain = build_backbone(BackboneConfig(name, scales=1, padding=other))
    plain.trunk.load_state_dict(backbone.trunk.state_dict())
    graph = Graph("backbone", backbone, (torch.zeros(2, 64, 64, 3, dtype=torch.uint8),), ("frame",), ("features_0",))
    data = to_onnx(graph)
    batch = frames(64)
    results = [onnxruntime.InferenceSession(data).run(None, {"frame": batch.numpy()})[0]]
    if importlib.util.find_spec("openvino"):
        from csflow.runtime.engines.openvino.core import new_core

        core = new_core()
        network = core.compile_model(core.read_model(model=data), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        results.append(network([batch.numpy()])[0])
    with torch.inference_mode():
        for got in map(torch.from_numpy, results):
            assert relative(got, backbone(batch)[0]) < 1e-4
            assert relative(got, plain(batch)[0]) > 1e-3


def test_lm071_needs_a_known_design_size() -> None:
    with pytest.raises(ConfigError, match="B0 to B7"):
        build_backbone(BackboneConfig("tf_efficientnet_lite0", padding="lm071"))
    with pytest.raises(ValueError, match="padding must be one of"):
        BackboneConfig(padding="reflect")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_names_go_both_ways_and_weights_keep_their_fingerprint(
    tmp_path: Path, layout: str, b5_state: dict[str, Tensor]
) -> None:
    backbone = backbone_with(b5_state, "symmetric")
    trunk = dict(backbone.trunk.state_dict())
    foreign = from_timm(trunk, layout)
    assert layout_of(foreign) == layout
    assert len(foreign) == 780
    back = to_timm(foreign, trunk)
    assert back is not None
    assert all(torch.equal(back[name], tensor) for name, tensor in trunk.items())
    lean = {name: tensor for name, tensor in foreign.items() if not name.endswith("num_batches_tracked")}
    torch.save({**lean, "classifier.extra": torch.zeros(1)}, tmp_path / "weights.pth")
    loaded, _ = load_backbone(BackboneConfig(B5), str(tmp_path / "weights.pth"))
    assert fingerprint(loaded) == fingerprint(backbone)
    if layout == "torchvision":
        assert all(torch.equal(b5_state[name], tensor) for name, tensor in foreign.items())


def test_a_fingerprint_tells_weights_apart(b5_state: dict[str, Tensor]) -> None:
    other = {**b5_state, "features.0.0.weight": b5_state["features.0.0.weight"] + 1e-3}
    assert fingerprint(backbone_with(other, "symmetric")) != fingerprint(backbone_with(b5_state, "symmetric"))


def test_missing_tensors_are_refused(tmp_path: Path, b5_state: dict[str, Tensor]) -> None:
    lacking = {name: tensor for name, tensor in b5_state.items() if "features.6" not in name}
    buffer = io.BytesIO()
    torch.save(lacking, buffer)
    (tmp_path / "w.pth").write_bytes(buffer.getvalue())
    with pytest.raises(ConfigError, match="does not fit tf_efficientnet_b5"):
        load_backbone(BackboneConfig(B5), str(tmp_path / "w.pth"))
