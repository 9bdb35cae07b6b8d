"""`csflow adapt`: another bundle with its backbone in int8 and its head fitted to that; the old one stays."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from csflow.calibration.pictures import refuse_seen
from csflow.runtime.bundle.calibration import load_calibration
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.golden import load_golden
from csflow.runtime.engines.opening import open_engine
from csflow.runtime.errors import CalibrationError, ConfigError
from csflow.toolkit.adapting.adapt import Adaptation, adapt
from csflow.toolkit.backbones.int8.quantized import is_quantized
from csflow.toolkit.cli.adapt import adapt as command
from csflow.toolkit.combine import Combination, combine
from csflow.toolkit.data.dataset import Dataset, load_dataset
from csflow.toolkit.methods.flow.flow import FlowHead
from csflow.toolkit.methods.reporter import Silent
from csflow.toolkit.model import Model

Quick = Callable[[str], Bundle]
INT8 = Adaptation("int8")


class Told(Silent):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture(scope="module")
def dataset(product_line: Path) -> Dataset:
    """Eight good pictures: as many as a fit needs, and soon read."""
    found = load_dataset(product_line)
    return dataclasses.replace(found, train=found.train[:8])


@pytest.fixture(scope="module")
def adapted(quick_bundle: Quick, dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Mahalanobis on an int8 backbone."""
    target = tmp_path_factory.mktemp("adapted") / "int8.csflow"
    return adapt(quick_bundle("mahalanobis"), dataset, target, INT8, Silent())


def files_of(bundle: Bundle) -> dict[str, bytes]:
    return {str(p.relative_to(bundle.path)): p.read_bytes() for p in bundle.path.rglob("*") if p.is_file()}


def test_a_closed_form_is_fitted_to_the_rounded_features(quick_bundle: Quick, adapted: Bundle) -> None:
    old = quick_bundle("mahalanobis")
    assert adapted.weights_sha256 != old.weights_sha256
    assert adapted.manifest.model["backbone"]["precision"] == "int8"
    assert is_quantized(Model.load(adapted).backbone)
    assert load_calibration(adapted) is None
    assert adapted.manifest.provenance["adapted_from"]["identity"] == old.weights_sha256
    assert adapted.manifest.provenance["backbone_weights"] == old.manifest.provenance["backbone_weights"]
    with open_engine(adapted, "torch") as engine:
        assert engine.name == "torch-fp32"
    assert load_golden(adapted).spread != load_golden(old).spread


def test_a_flow_goes_on_with_its_weights_on_features_standardised_anew(
    quick_bundle: Quick, dataset: Dataset, tmp_path: Path
) -> None:
    old, told = quick_bundle("cs-flow"), Told()
    # A step so small that the weights stay: what else changes is the adaptation itself.
    still = Adaptation("int8", epochs=1, learning_rate=1e-12)
    made = adapt(old, dataset, tmp_path / "int8.csflow", still, told)
    assert any("for 1 epochs" in line for line in told.lines)
    was, now = Model.load(old).head, Model.load(made).head
    assert isinstance(was, FlowHead)
    assert isinstance(now, FlowHead)
    moved = {
        name for name, x in now.state_dict().items() if not torch.allclose(x, was.state_dict()[name], atol=1e-9, rtol=0)
    }
    assert moved == {"flow.layers.0.mean", "flow.layers.0.std"}
    assert made.manifest.provenance["training"]["epochs"] == 1
    assert made.manifest.provenance["training"]["batch_size"] == old.manifest.provenance["training"]["batch_size"]
    assert set(made.manifest.provenance["fit"]) == {"loss"}


def test_a_rounded_backbone_is_kept_as_it_is_and_pictures_of_both_fits_are_known(
    adapted: Bundle, dataset: Dataset, tmp_path: Path, product_line: Path
) -> None:
    before = files_of(adapted)
    twice = adapt(adapted, dataset, tmp_path / "twice.csflow", Adaptation(hold_out=0.25), Silent())
    assert files_of(adapted) == before
    backbone = "weights/backbone.safetensors"
    assert twice.read(backbone) == adapted.read(backbone)
    assert twice.weights_sha256 != adapted.weights_sha256
    assert twice.manifest.provenance["training"]["held_out"] == 2
    with pytest.raises(CalibrationError, match="24 of 24 pictures were used in training"):
        refuse_seen(twice, sorted((product_line / "train" / "good").iterdir()))


def test_what_does_not_fit_is_refused_before_any_work(
    quick_bundle: Quick, adapted: Bundle, dataset: Dataset, tmp_path: Path
) -> None:
    old, target = quick_bundle("mahalanobis"), tmp_path / "made.csflow"
    with pytest.raises(ConfigError, match="is the bundle that is adapted"):
        adapt(old, dataset, old.path, INT8, Silent())
    with pytest.raises(ConfigError, match="is fitted in one pass: leave --epochs out"):
        adapt(old, dataset, target, Adaptation("int8", epochs=3), Silent())
    with pytest.raises(ConfigError, match="has its backbone in int8 alone"):
        adapt(adapted, dataset, target, Adaptation("fp32"), Silent())
    both = combine([old, quick_bundle("padim")], tmp_path / "both.csflow", Combination(), Silent())
    with pytest.raises(ConfigError, match="adapt the bundles that it was made from"):
        adapt(both, dataset, target, INT8, Silent())
    with pytest.raises(ConfigError, match="patches are read in float32"):
        adapt(quick_bundle("patches"), dataset, target, INT8, Silent())
    assert not target.exists()


def test_the_command_says_what_comes_next(quick_bundle: Quick, product_line: Path, tmp_path: Path) -> None:
    target = tmp_path / "int8.csflow"
    words = [str(quick_bundle("mahalanobis").path), str(product_line), "--backbone-precision", "int8"]
    result = CliRunner().invoke(command, [*words, "--bundle", str(target)])
    assert result.exit_code == 0, result.output
    assert "adapted mahalanobis to 24 good pictures" in result.output
    assert f"wrote {target} without thresholds" in result.output
    assert "csflow calibrate" in result.output
