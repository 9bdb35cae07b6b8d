"""Models of format 1, as the last csflow that wrote it made them, load and score as they did."""

import tarfile
from pathlib import Path

import pytest
import torch

from csflow.export.graphs.onnx_export import make_graphs
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.golden import load_golden
from csflow.runtime.engines.opening import open_engine
from csflow.toolkit.model import Model

OLD = Path(__file__).parents[1] / "fixtures" / "format1" / "trained.tar.xz"
IDENTITY = "3507461e68bde26bb447a124763deb3587e2f4e495406211cb5de915c3969c61"


@pytest.fixture
def old(tmp_path: Path) -> Bundle:
    with tarfile.open(OLD) as archive:
        archive.extractall(tmp_path, filter="data")
    return Bundle.open(tmp_path / "trained.csflow")


def test_a_model_of_format_1_scores_its_golden_frames_as_it_did(old: Bundle) -> None:
    model = Model.load(old)
    assert (model.config.method, model.graphs, model.shapes) == ("cs-flow", ("backbone", "flow"), ((192, 2, 2),))
    golden = load_golden(old)
    assert len(golden) == 8
    for frame, expected in golden:
        (prediction,) = model.predict(torch.from_numpy(frame.image[None]))
        assert prediction.score == pytest.approx(expected.score, rel=1e-5)


def test_its_graphs_are_exported_and_its_identity_and_format_stay(
    old: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino", reason="OpenVINO is not installed")
    monkeypatch.setenv("CSFLOW_CACHE", str(tmp_path / "cache"))
    assert old.weights_sha256 == IDENTITY
    updated = old.update(make_graphs(old))
    assert {"graphs/fp32/backbone.onnx", "graphs/fp32/flow.onnx"} <= updated.manifest.files.keys()
    assert Bundle.open(updated.path).manifest.format_version == 1
    assert updated.weights_sha256 == IDENTITY
    with open_engine(updated, "openvino-fp32") as engine:
        assert engine.name == "openvino-fp32"
