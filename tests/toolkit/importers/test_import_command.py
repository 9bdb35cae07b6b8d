"""From a foreign file to a bundle that calibrates, exports, verifies and runs like any other."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import Tensor, nn
from torch.nn import functional

from csflow.calibration.calibrate import calibrate
from csflow.export.gate.report import gate_files
from csflow.export.gate.staged import StagedBundle
from csflow.export.gate.write_graphs import pass_gate
from csflow.export.graphs.onnx_export import make_graphs
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.golden import load_golden
from csflow.runtime.cli.main import main
from csflow.runtime.detector import Detector
from csflow.runtime.engines.golden_check import check_golden
from csflow.runtime.engines.opening import open_engine
from csflow.runtime.picture.images import read_image
from csflow.runtime.types import Frame

Save = Callable[..., Any]


def run(*arguments: object) -> Any:
    return CliRunner().invoke(main, ["import", *map(str, arguments)])


@pytest.fixture
def checkpoint(tmp_path: Path, save_anomalib: Save, torchvision_b5: nn.Module) -> tuple[Path, dict[str, Tensor]]:
    """A checkpoint of anomalib 1.x as training writes it, backbone and all, and its flow's tensors."""
    path = tmp_path / "model.ckpt"
    state = save_anomalib(
        path,
        304,
        4,
        (3, 3),
        backbone=dict(torchvision_b5.state_dict()),
        more={"post_processor._image_threshold": torch.tensor(1.5)},
        side=128,
    )
    return path, state


@pytest.mark.slow
def test_an_anomalib_bundle_scores_as_its_origin_and_runs_like_any_other(
    tmp_path: Path,
    checkpoint: tuple[Path, dict[str, Tensor]],
    torchvision_b5: Any,
    transcription: Any,
    drawn: Any,
    product_line: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CSFLOW_CACHE", str(tmp_path / "cache"))
    path, state = checkpoint
    target = tmp_path / "model.csflow"
    result = run(path, "--bundle", target)
    assert result.exit_code == 0, result.output
    assert "pictures of 128 px" in result.output
    assert "from anomalib_pre_processor_config" in result.output
    assert "image threshold is 1.5 in raw score units" in result.output
    assert "csflow calibrate" in result.output

    bundle = Bundle.open(target)
    bundle.verify()
    assert {(len(g.anomaly_map), g.cell) for _, g in load_golden(bundle)} == {(4, 32)}
    picture = read_image(sorted((product_line / "test").glob("*/*"))[0])
    x = torch.from_numpy(picture).float().permute(2, 0, 1)[None] / 255
    x = (x - torch.tensor([0.485, 0.456, 0.406])[:, None, None]) / torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    with torch.inference_mode():
        levels = [functional.interpolate(x, size=(128 >> i, 128 >> i)) for i in range(3)]
        z = transcription(state, drawn["anomalib-1.x"](2, 304), [torchvision_b5.features[:7](v) for v in levels])
        score = float((torch.cat([v.flatten() for v in z]) ** 2 / 2).mean())
        maps = [functional.interpolate((v**2).mean(1, keepdim=True), size=(128, 128), mode="bilinear") for v in z]
        expected = (maps[0] * maps[1] * maps[2])[0, 0].numpy()
    with open_engine(bundle, "torch") as engine:
        (got,) = engine.infer([Frame(picture)])
        assert got.score == pytest.approx(score, rel=1e-5)
        np.testing.assert_allclose(got.anomaly_map, expected, rtol=1e-4)
        calibrate(bundle, [product_line / "calibration" / "good"], engine, 0.2, 0.9)

    pytest.importorskip("openvino", reason="the extra openvino is not installed")
    graphs = make_graphs(bundle)
    staged = StagedBundle.of(bundle, graphs)
    report = pass_gate(staged)
    assert report.records["openvino-fp32"].figures.map_error_max < 1e-3
    bundle.update({**graphs, **gate_files(staged, report)})
    with Detector.open(target, "openvino-fp32") as detector:
        seen = detector.detect(picture)
    assert seen.score == pytest.approx(score, rel=1e-3)
    assert seen.anomaly_map.shape == (128, 128)
    row, column = np.unravel_index(np.argmax(expected), expected.shape)
    assert seen.peak_xy == (column, row)


def test_a_reference_bundle_takes_weights_from_a_file_and_records_everything(
    tmp_path: Path, save_reference: Save, torchvision_b5: nn.Module
) -> None:
    save_reference(tmp_path / "model", 304, 4, (3,), 128)
    torch.save(torchvision_b5.state_dict(), tmp_path / "b5.pth")
    target = tmp_path / "model.csflow"
    result = run(tmp_path / "model", "--backbone-weights", tmp_path / "b5.pth", "--bundle", target)
    assert result.exit_code == 0, result.output
    assert "padding lm071 is assumed" in result.output
    bundle = Bundle.open(target)
    manifest = bundle.manifest
    assert manifest.preprocessing.image_size == 128
    assert manifest.definitions.anomaly_map == "scale0-mean-z2"
    assert manifest.model["backbone"]["padding"] == "lm071"
    assert manifest.provenance["imported"]["origin"] == "reference"
    assert manifest.provenance["imported"]["permutations"] == "legacy, stored"
    assert len(manifest.provenance["backbone_weights"]["fingerprint"]) == 64
    with open_engine(bundle, "torch") as engine:
        check = check_golden(engine, load_golden(bundle), None)
    assert check.frames == 8
    assert max(check.score_error, check.map_error) < 1e-6


@pytest.mark.parametrize(
    ("channels", "options", "word"),
    [
        (512, [], "block index 36"),
        (8, [], "another feature extractor"),
        (304, ["--image-size", "256"], "contradicts the file"),
        (304, ["--from", "anomalib"], "not of anomalib"),
        (304, ["--backbone-weights", "none.pth"], "No such file"),
    ],
)
def test_what_cannot_be_imported_exactly_is_refused_and_leaves_nothing(
    tmp_path: Path, save_reference: Save, channels: int, options: list[str], word: str
) -> None:
    save_reference(tmp_path / "model", channels, 2, (1,), 128)
    result = run(tmp_path / "model", *options, "--bundle", tmp_path / "model.csflow")
    assert result.exit_code == 1
    assert word in result.output
    assert result.output.startswith("Error: ")
    assert result.output.count("\n") == 1
    assert not (tmp_path / "model.csflow").exists()


def test_backbone_weights_that_are_no_numbers_are_refused(
    tmp_path: Path, save_anomalib: Save, torchvision_b5: nn.Module
) -> None:
    weights = dict(torchvision_b5.state_dict())
    name = "features.1.0.block.0.1.running_var"
    weights[name] = weights[name].index_fill(0, torch.tensor([0]), float("nan"))
    save_anomalib(tmp_path / "m", 304, 2, (1,), backbone=weights, side=128)
    result = run(tmp_path / "m", "--bundle", tmp_path / "model.csflow")
    assert result.exit_code == 1
    assert re.search("backbone weights: .*running_var holds NaN", result.output)
    assert not (tmp_path / "model.csflow").exists()


def test_options_may_not_contradict_a_checkpoint(tmp_path: Path, checkpoint: tuple[Path, Any]) -> None:
    for options, word in (
        (["--padding", "lm071"], "'symmetric'"),
        (["--backbone-weights", "hub"], "its own"),
        (["--image-size", "256"], "has 128"),
        (["--mean", "0.5,0.5,0.5"], "--mean 0.5,0.5,0.5 contradicts the file, which has 0.485,0.456,0.406"),
    ):
        result = run(checkpoint[0], *options, "--bundle", tmp_path / "model.csflow")
        assert result.exit_code == 1
        assert word in result.output


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    result = run(tmp_path / "none", "--bundle", tmp_path / "model.csflow")
    assert result.exit_code == 1
    assert "No such file" in result.output
    assert result.output.count("\n") == 1


def test_where_the_file_is_silent_size_mean_and_deviation_must_be_stated(
    tmp_path: Path, save_anomalib: Save, torchvision_b5: nn.Module
) -> None:
    save_anomalib(tmp_path / "m", 304, 2, (1,), "2.6.1", dict(torchvision_b5.state_dict()))
    target = tmp_path / "model.csflow"
    result = run(tmp_path / "m", "--image-size", 128, "--bundle", target)
    assert result.exit_code == 1
    assert "state --mean, --std as its training had them" in result.output
    assert not target.exists()
    result = run(tmp_path / "m", *"--image-size 128 --mean 0.5,0.4,0.3 --std 0.2,0.3,0.4 --bundle".split(), target)
    assert result.exit_code == 0, result.output
    assert "(--image-size, --mean, --std as you state)" in result.output
    made = Bundle.open(target).manifest
    assert made.preprocessing.image_size == 128
    assert (made.model["backbone"]["mean"], made.model["backbone"]["std"]) == ([0.5, 0.4, 0.3], [0.2, 0.3, 0.4])
