"""Models of format 1, as the last csflow that wrote it made them, load and score as they did."""

import tarfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load, save

from csflow.export.graphs.onnx_export import make_graphs
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.golden import load_golden
from csflow.runtime.engines.opening import open_engine
from csflow.runtime.errors import BundleCorrupted
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
        # Another processor sums in another order: one with AMX was off by 1.1e-5.
        assert prediction.score == pytest.approx(expected.score, rel=1e-4)


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


def test_weights_that_do_not_fit_are_told_tensor_by_tensor(old: Bundle) -> None:
    file = "weights/backbone.safetensors"
    tensors = load(old.read(file))
    first, second, *others = tensors
    del tensors[second]
    tensors[first] = torch.zeros(2, 3)
    tensors["of_another_network"] = torch.zeros(1)
    with pytest.raises(BundleCorrupted) as refused:
        Model.load(old.update({file: save(tensors)}))
    told = str(refused.value)
    assert file in told
    assert f"1 tensor missing: {second};" in told
    assert f"1 tensor of another shape: {first} is 2x3 and not " in told
    assert "1 tensor too many: of_another_network)" in told
    assert "state_dict" not in told
    for name in others[:5]:
        del tensors[name]
    with pytest.raises(BundleCorrupted, match=r"6 tensors missing: [^ ]+, [^ ]+, [^ ]+ and 3 more;"):
        Model.load(old.update({file: save(tensors)}))


def test_a_file_that_holds_no_tensors_is_told(old: Bundle) -> None:
    with pytest.raises(BundleCorrupted, match="holds no tensors that can be read: train again"):
        Model.load(old.update({"weights/flow.safetensors": b"no tensors"}))
