"""What anomalib's checkpoints say beside the weights, in the structures of OmegaConf, torchvision and PreProcessor."""

import math
import re
import sys
import types
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torchvision.transforms import v2

from csflow.toolkit.backbones.config import BackboneConfig
from csflow.toolkit.importers.errors import ImportRefused
from csflow.toolkit.importers.foreign import ForeignModel
from csflow.toolkit.importers.import_model import ImportPlan, read_foreign

Save = Callable[..., Any]
Read = Callable[..., ForeignModel]


@pytest.fixture
def read(tmp_path: Path, save_anomalib: Save) -> Read:
    """Save a checkpoint with entries beside the state dict, and read it."""

    def make(lightning: str = "2.1.3", more: dict[str, Any] | None = None, **entries: Any) -> ForeignModel:
        save_anomalib(tmp_path / "m", lightning=lightning, kernels=(3,), hidden=2, more=more)
        torch.save({**torch.load(tmp_path / "m", weights_only=True), **entries}, tmp_path / "m")
        return read_foreign(tmp_path / "m", ImportPlan())

    return make


@pytest.fixture
def omegaconf(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], Any]:
    """`omegaconf(value)`: nodes of the classes and attributes that OmegaConf pickles."""
    for name in ("omegaconf", "omegaconf.dictconfig", "omegaconf.listconfig", "omegaconf.nodes"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))

    def node(module: str, name: str, **state: Any) -> Any:
        kept = sys.modules[f"omegaconf.{module}"]
        if not hasattr(kept, name):
            setattr(kept, name, type(name, (), {"__module__": f"omegaconf.{module}"}))
        made = getattr(kept, name)()
        made.__dict__.update(state)
        return made

    def wrap(value: Any) -> Any:
        if isinstance(value, dict):
            return node("dictconfig", "DictConfig", _content={k: wrap(v) for k, v in value.items()})
        if isinstance(value, list):
            return node("listconfig", "ListConfig", _content=[wrap(v) for v in value])
        return node("nodes", "AnyNode", _val=value)

    return wrap


def test_omegaconf_before_1_0(read: Read, omegaconf: Callable[[Any], Any]) -> None:
    given = {
        "model": {"input_size": [384, 384], "clamp": 2},
        "dataset": {"normalization": "none", "center_crop": [384, 384]},
    }
    found = read("1.9.5", hyper_parameters=omegaconf(given), kind=typing.Tuple[int, ...])  # noqa: UP006 - pickled as a call
    assert (found.image_size, found.flow.config.clamp) == (384, 2.0)
    assert (found.mean, found.std) == ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    assert "the middle 384x384" in found.resize


def transform(*more: Any, side: int = 512) -> v2.Compose:
    return v2.Compose([v2.Resize((side, side), antialias=True), *more])


def test_the_transform_of_1_x(read: Read) -> None:
    found = read(transform=transform(v2.CenterCrop(256), v2.Normalize([0.1, 0.2, 0.3], [0.4, 0.5, 0.6])))
    assert (found.image_size, found.mean, found.std) == (256, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert "the middle 256x256" in found.resize
    assert read(transform=transform()).std == (1.0, 1.0, 1.0)
    # anomalib 1 takes its default where it has none, and only anomalib 1 writes that key.
    assert read("2.4.0", transform=None).image_size == 256
    assert read("2.1.3").mean == BackboneConfig.mean
    with pytest.raises(ImportRefused, match="GaussianBlur"):
        read(transform=transform(v2.GaussianBlur(3)))
    with pytest.raises(ImportRefused, match="512x256"):
        read(transform=v2.Resize((512, 256)))


@pytest.fixture
def anomalib_2(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A module of that name, with a PreProcessor."""
    module: Any = types.ModuleType("anomalib")
    module.PreProcessor = type("PreProcessor", (torch.nn.Module,), {"__module__": "anomalib"})
    monkeypatch.setitem(sys.modules, "anomalib", module)
    return module


def test_the_pre_processor_of_2_0(read: Read, anomalib_2: Any) -> None:
    processor = anomalib_2.PreProcessor()
    processor.transform = transform(v2.Normalize([0.1, 0.2, 0.3], [0.4, 0.5, 0.6]))
    found = read(hyper_parameters={"pre_processor": processor, "clamp": 3})
    assert (found.image_size, found.mean) == (512, (0.1, 0.2, 0.3))


def released(version: str, omegaconf: Any, anomalib_2: Any, plain: Any) -> tuple[str, dict[str, Any]]:
    """Lightning's version and the entries beside the state dict, as the released anomalib writes them."""
    if version == "0.7":
        data = {"normalization": "imagenet", "center_crop": None, "transform_config": {"train": None, "eval": None}}
        given = {"model": {"input_size": [384, 384], "clamp": 3}, "dataset": {**data, "image_size": [384, 384]}}
        return "1.9.5", {"hyper_parameters": omegaconf(given)}
    imagenet = v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    if version == "1.2":
        return "2.4.0", {"transform": transform(imagenet, side=384), "hyper_parameters": {"clamp": 3}}
    if version in ("2.0", "2.6"):
        processor = anomalib_2.PreProcessor()
        processor.transform = transform(imagenet, side=384)
        lightning = {"2.0": "2.5.0", "2.6": "2.6.1"}[version]
        return lightning, {"hyper_parameters": {"clamp": 3, "pre_processor": processor, "post_processor": True}}
    enabled = {"pre_processor": True, "post_processor": True, "evaluator": True, "visualizer": True}
    post = {"enable_normalization": True, "image_sensitivity": 0.3, "pixel_sensitivity": 0.5}
    return "2.6.1", {
        "hyper_parameters": {"clamp": 3},
        "anomalib_components_enabled": enabled,
        "anomalib_pre_processor_config": plain(384),
        "anomalib_post_processor_config": post,
    }


@pytest.mark.parametrize("version", ["0.7", "1.2", "2.0", "2.6", "2.7"])
def test_each_released_layout_tells_the_same_picture_settings(
    version: str, read: Read, omegaconf: Any, anomalib_2: Any, plain: Any
) -> None:
    lightning, entries = released(version, omegaconf, anomalib_2, plain)
    found = read(lightning, **entries)
    assert found.origin == ("anomalib-0.x" if version == "0.7" else "anomalib-1.x")
    assert (found.image_size, found.mean, found.std) == (384, BackboneConfig.mean, BackboneConfig.std)
    where = {"0.7": "hyper_parameters", "1.2": "transform", "2.7": "anomalib_pre_processor_config"}
    assert found.said[0] == f"picture settings: from {where.get(version, 'hyper_parameters.pre_processor')}"
    assert [("above 0.7" in line) for line in found.said[1:]] == ([True] if version == "2.7" else [])


def test_the_plain_data_of_2_7(read: Read, plain: Any) -> None:
    def step(name: str, **arguments: Any) -> dict[str, Any]:
        return {"class_path": f"anomalib.data.transforms.{name}", "init_args": arguments}

    cropped = plain(384, step("ExportableCenterCrop", size=[224, 224]))
    found = read("2.6.1", anomalib_pre_processor_config=cropped)
    assert found.image_size == 224
    assert "then the middle 224x224" in found.resize
    for name in ("Grayscale", "SquarePad", "GaussianBlur"):
        with pytest.raises(ImportRefused, match=name):
            read("2.6.1", anomalib_pre_processor_config=plain(384, step(name)))
    for worse in ({"interpolation": "bicubic"}, {"interpolation": "bilinear", "max_size": 400}):
        resize = {"transform": step("Resize", size=[256, 256], **worse)}
        with pytest.raises(ImportRefused, match=r"Resize with (bicubic|max_size)"):
            read("2.6.1", anomalib_pre_processor_config=resize)
    for odd in ({"transform": 3}, plain(384, {"class_path": 3}), {"transform": step("Compose", transforms=3)}):
        with pytest.raises(ImportRefused, match="transform in the file"):
            read("2.6.1", anomalib_pre_processor_config=odd)


def test_what_anomalib_2_does_not_tell_is_not_assumed(read: Read) -> None:
    unknown = read("2.6.1", anomalib_pre_processor_config={"transform": None})
    assert (unknown.image_size, unknown.mean, unknown.std) == (None, None, None)
    assert read("2.6.1").mean is None
    switched_off = read("2.6.1", anomalib_components_enabled={"pre_processor": False})
    assert (switched_off.image_size, switched_off.mean, switched_off.std) == (None, (0.0,) * 3, (1.0,) * 3)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "_orig_mod.module."])
@pytest.mark.parametrize("key", ["model", "state_dict", None])
def test_wrapped_state_dicts_are_taken(tmp_path: Path, save_anomalib: Save, prefix: str, key: str | None) -> None:
    save_anomalib(tmp_path / "m", kernels=(3,), hidden=2)
    state = torch.load(tmp_path / "m", weights_only=True)["state_dict"]
    plan = ImportPlan("anomalib-1.x")
    expected = read_foreign(tmp_path / "m", plan).flow.state_dict()
    for outer in ("", "model."):
        wrapped = {f"{prefix}{name.removeprefix(outer)}": value for name, value in state.items()}
        torch.save({key: wrapped} if key else wrapped, tmp_path / "wrapped")
        found = read_foreign(tmp_path / "wrapped", plan).flow.state_dict()
        assert all(torch.equal(found[name], value) for name, value in expected.items())
    torch.save({**state, **wrapped, **{f"{prefix}{name}": value for name, value in state.items()}}, tmp_path / "twice")
    with pytest.raises(ImportRefused, match="twice"):
        read_foreign(tmp_path / "twice", plan)


@pytest.fixture
def whole_model(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A model of a class that csflow does not list, whose method Lightning binds to each callback."""

    def write(_: Any) -> None:
        """Pickled by its name."""

    module: Any = types.ModuleType("elsewhere")
    module.Whole = type("Whole", (torch.nn.Linear,), {"__module__": "elsewhere", "write": write})
    monkeypatch.setitem(sys.modules, "elsewhere", module)
    return module.Whole(1, 1)


@pytest.mark.parametrize("custom", [True, False])
def test_a_refused_checkpoint_is_imported_from_the_copy_that_the_refusal_describes(
    tmp_path: Path,
    save_anomalib: Save,
    anomalib_2: Any,
    whole_model: Any,
    monkeypatch: pytest.MonkeyPatch,
    custom: bool,
) -> None:
    monkeypatch.chdir(tmp_path)
    save_anomalib(tmp_path / "m", kernels=(3,), hidden=2, lightning="2.5.0")
    processor = anomalib_2.PreProcessor()
    if custom:
        processor.transform = transform(v2.Normalize([0.1, 0.2, 0.3], [0.4, 0.5, 0.6]))
    processor.log = whole_model.write
    settings = {"clamp": 2, "pre_processor": processor if custom else True, "post_processor": processor}
    torch.save({**torch.load("m", weights_only=True), "hyper_parameters": settings}, "model.ckpt")
    with pytest.raises(ImportRefused, match=r"'elsewhere\.Whole', which no CS-Flow model needs") as caught:
        read_foreign(tmp_path / "model.ckpt", ImportPlan())
    assert "\n" not in str(caught.value)
    said = re.search(r'python -c "(.*)"; then import small.ckpt', str(caught.value))
    assert said
    exec(said[1], {})
    found = read_foreign(tmp_path / "small.ckpt", ImportPlan())
    assert (found.origin, found.flow.config.clamp) == ("anomalib-1.x", 2.0)
    assert (found.image_size, found.mean) == ((512, (0.1, 0.2, 0.3)) if custom else (256, BackboneConfig.mean))
    guide = Path(__file__).parents[3] / "docs" / "import.md"
    # The guide breaks the line.
    assert "".join(said[1].split()) in "".join(guide.read_text().split())


def test_thresholds_of_1_2_and_of_cdf_normalisation(read: Read) -> None:
    named = {
        f"normalization_metrics.{kind}.{end}": torch.tensor(v)
        for kind, low in (("anomaly_maps", 7.0), ("pred_scores", 1.0))
        for end, v in (("min", low), ("max", low + 4))
    }
    found = read(more={**named, "image_threshold.value": torch.tensor(2.0)}).thresholds
    assert (found.low, found.high) == (1.0, 5.0)
    names = (
        "image_threshold.value",
        "pixel_threshold.value",
        "normalization_metrics.image_mean",
        "normalization_metrics.image_std",
    )
    found = read("1.9.5", dict(zip(names, map(torch.tensor, (1.5, 0.3, 0.2, 0.5)), strict=True))).thresholds
    # Standardised there: (log(raw) - mean) / std.
    assert (math.log(found.image) - 0.2) / 0.5 == pytest.approx(1.5)
    assert math.isnan(found.pixel)
