"""Networks that are no EfficientNet, by their names, cut where they are read: WideResNet50-2, VGG16, others."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from csflow.export.graphs.backbone import InferenceBackbone, WideSqueeze, fold_batch_norms
from csflow.export.graphs.graph import backbone_graph
from csflow.export.graphs.onnx_export import make_graphs
from csflow.runtime.bundle.golden import load_golden
from csflow.runtime.engines.golden_check import check_golden, tolerances
from csflow.runtime.engines.opening import load_engine
from csflow.runtime.errors import ConfigError
from csflow.toolkit.backbones.backbone import Backbone
from csflow.toolkit.backbones.networks import StagesTrunk, build_backbone, counts_blocks, resolve_name
from csflow.toolkit.backbones.weights import load_backbone
from csflow.toolkit.data.dataset import load_dataset
from csflow.toolkit.methods.reporter import Silent
from csflow.toolkit.plan import BackboneChoice, TrainPlan, model_plan
from csflow.toolkit.train_model import train_model

WIDE = "wide_resnet50_2.tv_in1k"
VGG = "vgg16.tv_in1k"
FRAMES = torch.randint(0, 256, (2, 64, 64, 3), generator=torch.Generator().manual_seed(4), dtype=torch.uint8)


def weights_of(name: str, stages: tuple[int, ...], path: Path) -> Path:
    """A file with what is read of this network, drawn at random, in timm's names."""
    generator = torch.Generator().manual_seed(0)
    trunk = build_backbone(replace(resolve_name(name), stages=stages)).trunk
    state = {}
    for key, tensor in trunk.state_dict().items():
        drawn = torch.rand(tensor.shape, generator=generator) + 0.5
        if tensor.dim() > 1:
            drawn = (drawn - 1.0) * (12.0 / (tensor[0].numel() / 2)) ** 0.5
        if not key.endswith("num_batches_tracked"):
            state[key.removeprefix("cut.")] = drawn if tensor.dim() > 1 or key.endswith("var") else drawn - 0.5
    save_file(state, path)
    return path


@contextmanager
def read(name: str, stages: tuple[int, ...], folder: Path) -> Iterator[tuple[Backbone, nn.Module, Tensor]]:
    """The backbone from a file, its network, and normalised frames."""
    config = replace(resolve_name(name), scales=1, stages=stages)
    backbone, record = load_backbone(config, str(weights_of(name, stages, folder / "weights.safetensors")))
    assert record.source == "file:weights.safetensors"
    mean, std = (torch.tensor(v).reshape(1, 3, 1, 1) for v in (config.mean, config.std))
    assert isinstance(backbone.trunk, StagesTrunk)
    with torch.inference_mode():
        yield backbone, backbone.trunk.cut, (FRAMES.permute(0, 3, 1, 2) / 255.0 - mean) / std


def test_wide_resnet50_2_gives_its_layers_1_to_3(tmp_path: Path) -> None:
    with read(WIDE, (1, 2, 3), tmp_path) as (backbone, network, x):
        assert sum(p.numel() for p in backbone.trunk.parameters()) == 24_862_528
        assert backbone.shapes(256) == ((256, 64, 64), (512, 32, 32), (1024, 16, 16))
        parts = dict(network.named_children())
        for part in ("conv1", "bn1", "act1", "maxpool"):
            x = parts[part](x)
        for i, got in enumerate(backbone(FRAMES), start=1):
            x = parts[f"layer{i}"](x)
            torch.testing.assert_close(got, x)


def test_vgg16_gives_relu2_2_relu3_3_and_relu5_3(tmp_path: Path) -> None:
    with read(VGG, (1, 2, 4), tmp_path) as (backbone, network, x):
        assert sum(p.numel() for p in backbone.trunk.parameters()) == 14_714_688
        layers = list(network.get_submodule("features").children())
        for last, stage, got in zip((8, 15, 29), (1, 2, 4), backbone(FRAMES), strict=True):
            expected = nn.Sequential(*layers[: last + 1])(x)
            torch.testing.assert_close(got, expected)
            torch.testing.assert_close(backbone.trunk.at_stage(x, stage), expected)


def test_batch_norms_go_into_the_convolutions_that_feed_them_and_no_others(tmp_path: Path) -> None:
    # In a network with norms before activations, some follow a sum: they stay.
    for name, left in (("resnet18", 0), ("resnetv2_50", 3)):
        with read(name, (1,), tmp_path) as (backbone, _, _):
            folded = InferenceBackbone(backbone, 64)
            fold_batch_norms(folded)
            assert sum(isinstance(m, nn.BatchNorm2d) for m in folded.modules()) == left
            torch.testing.assert_close(folded(FRAMES), backbone(FRAMES), rtol=1e-3, atol=1e-4)


def test_squeeze_means_of_other_families_are_taken_in_float32(tmp_path: Path) -> None:
    with read("regnety_002", (1,), tmp_path) as (backbone, _, _):
        module = backbone_graph(backbone, 64, "fp16").module
        assert any(isinstance(m, WideSqueeze) for m in module.modules())
        (got,), (expected,) = module(FRAMES), backbone(FRAMES)
    assert got.dtype == torch.float16
    assert (got - expected).abs().max() < 1e-2 * expected.abs().max()


def test_methods_read_layers_where_there_are_no_seven_stages() -> None:
    assert counts_blocks("tf_efficientnet_lite0")
    assert not counts_blocks(WIDE)
    for method, stages in (("glad", (1, 2, 3)), ("padim", (1, 2, 3)), ("cs-flow", (4,))):
        assert model_plan(method, BackboneChoice(WIDE, 256))[0].backbone.stages == stages
    assert model_plan("padim", BackboneChoice(WIDE, 256, stages=(2,)))[0].backbone.stages == (2,)


def test_what_a_network_cannot_do_is_said_in_words(tmp_path: Path) -> None:
    resnet = replace(resolve_name("resnet18"), scales=1, stages=(1,))
    with pytest.raises(ConfigError, match="stages 0 to 4, not 9"):
        build_backbone(replace(resnet, stages=(1, 9)))
    with pytest.raises(ConfigError, match="leave it out"):
        build_backbone(replace(resnet, padding="symmetric"))
    with pytest.raises(ConfigError, match=r"cannot read pictures of 64 px.*image-size"):
        build_backbone(replace(resolve_name("vit_tiny_patch16_224"), scales=1, stages=(1,))).shapes(64)
    with pytest.raises(ConfigError, match="in the names of timm"):
        load_backbone(resnet, str(weights_of(VGG, (0,), tmp_path / "other.safetensors")))


def test_a_bundle_of_another_network_is_exported_and_decides_alike(
    tmp_path: Path, product_line: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino", reason="OpenVINO is not installed")
    monkeypatch.setenv("CSFLOW_CACHE", str(tmp_path / "cache"))
    model, training = model_plan("glad?components=2&ridge=0.1", BackboneChoice("resnet18", 64, stages=(1,)))
    weights = weights_of("resnet18", (1,), tmp_path / "weights.safetensors")
    plan = TrainPlan(model, training, str(weights))
    bundle = train_model(load_dataset(product_line, 64), tmp_path / "model.csflow", plan, Silent())
    bundle = bundle.update(make_graphs(bundle))
    assert bundle.manifest.provenance["backbone_weights"]["source"] == "file:weights.safetensors"
    with load_engine(bundle, "openvino-fp32") as engine:
        check = check_golden(engine, load_golden(bundle), None)
    limits = tolerances("openvino-fp32", True)
    assert check.score_error <= limits.score
    assert check.map_error <= limits.map
