"""The model repository of a Triton server: what stands in it, in words that NVIDIA's own schema reads."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from csflow.export.cli.export import export
from csflow.export.graphs.resize_graph import write_resizes
from csflow.export.triton import repository
from csflow.export.triton.repository import Written, model_name, write_repository
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.engines.tensorrt.plan_record import BuildOptions, PlanAudit, PlanRecord, plan_path, record_path
from csflow.runtime.engines.triton.engine import PRECISION, WEIGHTS
from csflow.runtime.errors import BundleError, ConfigError

from ...large_files import with_large_files_shared  # noqa: TID252 - tests are no package that could be named
from ..conftest import graph_file  # noqa: TID252 - tests are no package that could be named

pytest.importorskip("tritonclient", reason="needs the extra triton")


@pytest.fixture
def bundle(half_bundle: Bundle) -> Bundle:
    return half_bundle.update(
        {f"graphs/fp32/{name}.onnx": graph_file(False, name == "backbone") for name in ("backbone", "flow")}
    )


def parsed(config: Path) -> Any:
    """A configuration as Triton's schema understands it: unknown fields and wrong types are errors."""
    from google.protobuf import text_format
    from tritonclient.grpc import model_config_pb2

    return text_format.Parse(config.read_text(), model_config_pb2.ModelConfig())


def tensors(ports: Any) -> dict[str, tuple[str, list[int]]]:
    return {port.name: (str(port.data_type), list(port.dims)) for port in ports}


UINT8, FP32 = "2", "11"
"""Of model_config.proto's DataType."""


def test_the_ensemble_takes_frames_and_gives_score_and_map(bundle: Bundle, tmp_path: Path) -> None:
    written = write_repository(bundle, tmp_path / "r", "fp32", "part7")
    config = parsed(tmp_path / "r" / "part7" / "config.pbtxt")

    assert written == (Written("part7", 1, new=True, backend="onnxruntime"),)
    assert (config.name, config.platform, config.max_batch_size) == ("part7", "ensemble", 8)
    assert list(config.version_policy.specific.versions) == [1]
    assert tensors(config.input) == {"frame": (UINT8, [8, 8, 3])}
    assert tensors(config.output) == {"score": (FP32, [1]), "anomaly_map": (FP32, [8, 8])}
    assert config.parameters[WEIGHTS].string_value == bundle.weights_sha256
    assert config.parameters[PRECISION].string_value == "fp32"


def test_each_graph_is_a_model_named_by_its_content(bundle: Bundle, tmp_path: Path) -> None:
    write_repository(bundle, tmp_path, "fp32", "part7")

    backbone, flow = parsed(tmp_path / "part7" / "config.pbtxt").ensemble_scheduling.step
    for step, graph in ((backbone, "backbone"), (flow, "flow")):
        data = bundle.read(f"graphs/fp32/{graph}.onnx")
        assert step.model_name == f"part7_{graph}_{hashlib.sha256(data).hexdigest()[:12]}"
        assert (tmp_path / step.model_name / "1" / "model.onnx").read_bytes() == data
        config = parsed(tmp_path / step.model_name / "config.pbtxt")
        assert (config.backend, config.default_model_filename) == ("onnxruntime", "model.onnx")
        assert config.HasField("dynamic_batching")
        assert [group.count for group in config.instance_group] == [1]
        assert set(config.model_warmup[0].inputs) == set(step.input_map)
    # What the backbone gives is what the flow takes.
    assert flow.input_map["features_0"] == backbone.output_map["features_0"]
    (score,) = (port for port in parsed(tmp_path / flow.model_name / "config.pbtxt").output if port.name == "score")
    assert (list(score.dims), score.HasField("reshape"), list(score.reshape.shape)) == ([1], True, [])


def test_a_camera_format_is_an_ensemble_of_its_own(bundle: Bundle, tmp_path: Path) -> None:
    write_resizes(bundle, [(480, 640)], "fp32")

    written = write_repository(Bundle.open(bundle.path), tmp_path / "r", "fp32", "part7")

    assert [model.model for model in written] == ["part7", "part7_640x480"]
    config = parsed(tmp_path / "r" / "part7_640x480" / "config.pbtxt")
    resize, backbone, _ = config.ensemble_scheduling.step
    assert tensors(config.input) == {"frame": (UINT8, [480, 640, 3])}
    assert resize.input_map["frame"] == "frame"
    assert backbone.input_map["frame"] == resize.output_map["resized"]


def test_the_same_bundle_again_changes_nothing_and_another_is_a_new_version(bundle: Bundle, tmp_path: Path) -> None:
    folder = tmp_path / "r"
    write_repository(bundle, folder, "fp32", "part7")
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}

    (again,) = write_repository(bundle, folder, "fp32", "part7")
    assert (again.version, again.new) == (1, False)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before

    first = (folder / "part7" / "config.pbtxt").read_bytes()
    changed = bundle.update({"graphs/fp32/flow.onnx": graph_file(True, False)})
    (other,) = write_repository(changed, folder, "fp32", "part7")
    assert (other.version, other.new) == (2, True)
    assert list(parsed(folder / "part7" / "config.pbtxt").version_policy.specific.versions) == [2]
    # What version 1 was stands beside it, with its graphs: going back is one copy.
    assert (folder / "part7" / "1" / "config.pbtxt").read_bytes() == first
    assert len([path for path in folder.iterdir() if path.name.startswith("part7_flow_")]) == 2


@pytest.mark.parametrize("killed", range(6))
def test_killed_at_any_write_the_ensemble_is_the_old_one(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed: int
) -> None:
    folder = tmp_path / "in" / "r"
    write_repository(bundle, folder, "fp32", "part7")
    old = (folder / "part7" / "config.pbtxt").read_bytes()
    changed = bundle.update({f"graphs/fp32/{g}.onnx": graph_file(True, g == "backbone") for g in ("backbone", "flow")})
    real, left = repository.write_atomic, iter(range(killed))

    def write(path: Path, data: bytes) -> None:
        if next(left, None) is None:
            raise OSError(28, "No space left on device")
        real(path, data)

    monkeypatch.setattr(repository, "write_atomic", write)
    with pytest.raises(OSError, match="No space"):
        write_repository(changed, folder, "fp32", "part7")

    assert (folder / "part7" / "config.pbtxt").read_bytes() == old
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["r"]
    for model in folder.iterdir():
        parsed(model / "config.pbtxt")
    monkeypatch.setattr(repository, "write_atomic", real)
    (written,) = write_repository(changed, folder, "fp32", "part7")
    assert written.new


def _planned(bundle: Bundle, graph: str, **changed: Any) -> None:
    plan = plan_path(bundle.path, "tensorrt", "fp16", graph)
    plan.parent.mkdir(parents=True, exist_ok=True)
    plan.write_bytes(f"plan of {graph}".encode())
    record = PlanRecord(
        graph=graph,
        precision="fp16",
        onnx_sha256=bundle.manifest.files[f"graphs/fp16/{graph}.onnx"].sha256,
        plan_sha256=hashlib.sha256(plan.read_bytes()).hexdigest(),
        plan_size=plan.stat().st_size,
        flavour="tensorrt",
        version="10.3.0.26",
        gpu="Orin",
        compute_capabilities=("8.7",),
        machine="aarch64",
        options=BuildOptions(batch=(1, 2, 4)),
        audit=PlanAudit(1.0, 1.0, "engine inspector"),
        build_s=1.0,
        created_utc="2026-01-01T00:00:00+00:00",
    )
    record_path(plan).write_bytes(replace(record, **changed).to_bytes())


def test_plans_of_tensorrt_are_taken_where_every_graph_has_one(half_bundle: Bundle, tmp_path: Path) -> None:
    _planned(half_bundle, "backbone")
    (half,) = write_repository(half_bundle, tmp_path / "r", "fp16", "part7")
    _planned(half_bundle, "flow")
    (whole,) = write_repository(half_bundle, tmp_path / "r", "fp16", "part7")

    assert (half.backend, whole.backend) == ("onnxruntime", "tensorrt")
    config = parsed(tmp_path / "r" / "part7" / "config.pbtxt")
    assert config.max_batch_size == 4
    for step in config.ensemble_scheduling.step:
        stage = parsed(tmp_path / "r" / step.model_name / "config.pbtxt")
        assert (stage.backend, stage.max_batch_size) == ("tensorrt", 4)
        assert (tmp_path / "r" / step.model_name / "1" / "model.plan").read_bytes().startswith(b"plan of")


@pytest.mark.parametrize("field", ["onnx_sha256", "plan_sha256"])
def test_a_plan_of_another_graph_is_refused(half_bundle: Bundle, tmp_path: Path, field: str) -> None:
    _planned(half_bundle, "backbone")
    _planned(half_bundle, "flow", **{field: "0" * 64})

    with pytest.raises(BundleError, match="was not built from"):
        write_repository(half_bundle, tmp_path / "r", "fp16", "part7")
    assert not (tmp_path / "r").exists()


def test_without_graphs_nothing_is_written(half_bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"no graphs/fp32/backbone.onnx: run csflow export first"):
        write_repository(half_bundle, tmp_path / "r", "fp32", "part7")
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("name", ["", "a b", "../x", 'x"y', "x" * 65, "-x", "é"])
def test_names_that_a_server_or_a_path_would_not_bear(name: str) -> None:
    with pytest.raises(ConfigError, match="--triton-model"):
        model_name(Path("model.csflow"), name)


def test_the_name_is_the_bundles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert model_name(Path("part7.csflow")) == "part7"
    (tmp_path / "part9.csflow").mkdir()
    monkeypatch.chdir(tmp_path / "part9.csflow")
    assert model_name(Path(".")) == "part9"


@pytest.mark.usefixtures("graphs_of_before")
def test_the_command_writes_what_the_engine_asks_for(
    exported_half: tuple[Bundle, dict[str, Any]], tmp_path: Path, run_json: Callable[..., dict[str, Any]]
) -> None:
    bundle = with_large_files_shared(exported_half[0].path, tmp_path / "part7.csflow")

    said = run_json("--bundle", str(bundle), "--triton", str(tmp_path / "r"))

    assert said["triton"] == [{"model": "part7", "version": 1, "new": True, "backend": "onnxruntime"}]
    config = parsed(tmp_path / "r" / "part7" / "config.pbtxt")
    assert config.parameters[WEIGHTS].string_value == Bundle.open(bundle).weights_sha256
    assert [step.model_name.split("_")[1] for step in config.ensemble_scheduling.step] == ["backbone", "flow"]


@pytest.fixture
def run_json() -> Callable[..., dict[str, Any]]:
    """The export command with these arguments; what it said as JSON."""

    def run(*arguments: str) -> dict[str, Any]:
        result = CliRunner().invoke(export, [*arguments, "--json"])
        assert result.exit_code == 0, result.output
        said: dict[str, Any] = json.loads(result.stdout)
        return said

    return run


def test_a_bad_name_is_refused_before_anything_is_exported(bundle: Bundle, tmp_path: Path) -> None:
    before = sorted(bundle.path.rglob("*"))
    arguments = ["--bundle", str(bundle.path), "--triton", str(tmp_path / "r")]

    result = CliRunner().invoke(export, [*arguments, "--triton-model", "a b"])

    assert result.exit_code == 1
    assert "--triton-model 'a b'" in result.output
    assert sorted(bundle.path.rglob("*")) == before
    result = CliRunner().invoke(export, ["--bundle", str(bundle.path), "--triton-model", "part7"])
    assert (result.exit_code, "--triton-model is for" in result.output) == (2, True)
