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

from csflow.toolkit.config import BackboneConfig
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
    assert read(transform=None).image_size is None
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
    assert (found.image_size, found.mean) == ((512, (0.1, 0.2, 0.3)) if custom else (None, BackboneConfig.mean))
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
