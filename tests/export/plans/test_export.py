"""`csflow export` and engines: options, what is said where none can be built, and a trained model from end to end."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner, Result

from csflow.export.cli import export as cli
from csflow.export.cli.export import _ready
from csflow.export.facts.graph_facts import graph_facts
from csflow.export.plans import export as engine_export
from csflow.export.plans.build.options import EngineChoice, build_options, parse_batch, parse_capabilities, parse_size
from csflow.export.plans.export import export_engines, prepare_engines
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.manifest import CS_FLOW_GRAPHS
from csflow.runtime.engines.tensorrt.library import Library
from csflow.runtime.engines.tensorrt.plan_record import plan_path, read_record
from csflow.runtime.errors import BackendUnavailable, ConfigError
from csflow.runtime.machine.install import pip_install


@pytest.mark.parametrize(
    ("text", "batch"), [("1", (1, 1, 1)), ("4", (4, 4, 4)), ("1,4,8", (1, 4, 8)), ("1, 2, 64", (1, 2, 64))]
)
def test_batches(text: str, batch: tuple[int, int, int]) -> None:
    assert parse_batch(text) == batch


@pytest.mark.parametrize("text", ["", "0", "65", "1,2", "4,2,8", "1,8,4", "x", "-1", "1.5", "1,2,3,4", "99999"])
def test_batches_that_are_none(text: str) -> None:
    with pytest.raises(ConfigError, match="--batch"):
        parse_batch(text)


@pytest.mark.parametrize(
    ("text", "size"), [("1", 1), ("800M", 800 << 20), ("2g", 2 << 30), ("1.5G", 3 << 29), ("4 GiB", 4 << 30)]
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "0", "G", "-1G", "2T", "1e9", "0.1"])
def test_sizes_that_are_none(text: str) -> None:
    with pytest.raises(ConfigError, match="--workspace"):
        parse_size(text)


def test_compute_capabilities() -> None:
    assert parse_capabilities("75,8.6, 120,86") == ("7.5", "8.6", "12.0")
    assert parse_capabilities("") == ()
    with pytest.raises(ConfigError, match="--compute-capability 'sm86'"):
        parse_capabilities("86,sm86")


def test_options_out_of_range_are_one_line() -> None:
    with pytest.raises(ConfigError, match="0 to 5"):
        build_options(optimization_level=7)


def invoke(bundle: Path, *arguments: str) -> Result:
    return CliRunner().invoke(cli.export, ["--bundle", str(bundle), *arguments])


@pytest.fixture
def no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device: the command does not find torch."""
    monkeypatch.setattr("csflow.export.export.find_spec", lambda name: None if name == "torch" else object())


@pytest.mark.usefixtures("no_torch", "rtx")
def test_without_torch_the_graphs_of_the_bundle_are_built(half_bundle: Bundle) -> None:
    before = half_bundle.manifest
    done = invoke(half_bundle.path, "--fp16", "--target", "tensorrt-rtx", "--compute-capability", "86")
    assert done.exit_code == 0, done.output
    assert "the graphs stay as they are: writing them needs torch" in done.output
    for name in CS_FLOW_GRAPHS:
        assert f"engines/tensorrt-rtx/fp16/{name}.plan: " in done.output
        record = read_record(plan_path(half_bundle.path, "tensorrt-rtx", "fp16", name))
        assert record.compute_capabilities == ("8.6",)
    assert Bundle.open(half_bundle.path).manifest == before


@pytest.mark.usefixtures("no_torch", "rtx")
def test_json(half_bundle: Bundle) -> None:
    done = invoke(half_bundle.path, "--fp16", "--target", "tensorrt-rtx", "--json")
    report = json.loads(done.stdout)
    assert [engine["graph"] for engine in report["engines"]] == list(CS_FLOW_GRAPHS)
    assert report["engines"][0]["audit"] == {"half_in_graph": 1.0, "half_in_plan": 1.0, "source": "build log"}
    assert report["no_engines"] == ""


@pytest.mark.usefixtures("no_torch")
@pytest.mark.parametrize("arguments", [(), ("--fp16", "--no-engines"), ("--no-engines",)])
def test_without_torch_and_without_engines_nothing_is_left_to_do(
    half_bundle: Bundle, arguments: tuple[str, ...]
) -> None:
    done = invoke(half_bundle.path, *arguments)
    assert done.exit_code == BackendUnavailable.exit_code
    assert pip_install("export") in done.output


def test_where_no_tensorrt_builds_the_command_says_where_one_does(
    half_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unavailable(_target: str) -> Library:
        raise BackendUnavailable("there is none: copy the bundle to the device and run there: csflow export --fp16")

    monkeypatch.setattr(engine_export, "load_library", unavailable)
    made = SimpleNamespace(facts=dict, lines=lambda: ["graphs: written"], report=None)
    monkeypatch.setattr("csflow.export.export._write_graphs", lambda *_: made)
    done = invoke(half_bundle.path, "--fp16")
    assert done.exit_code == 0
    assert done.output.startswith("graphs: written\nno engines were built: there is none")
    last, ready = done.output.splitlines()[-2:]
    assert last.endswith("run there: csflow export --fp16")
    assert "is ready but for its thresholds; next: csflow calibrate" in ready
    named = invoke(half_bundle.path, "--fp16", "--target", "tensorrt")
    assert named.exit_code == BackendUnavailable.exit_code
    assert "graphs" not in named.output
    monkeypatch.setattr("csflow.export.export.find_spec", lambda _: None)
    neither = invoke(half_bundle.path, "--fp16")
    assert neither.exit_code == BackendUnavailable.exit_code
    assert "export needs torch" in neither.output
    assert "run there: csflow export --fp16" in neither.output


@pytest.mark.usefixtures("no_torch")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--batch", "0"), "--batch '0'"),
        (("--workspace", "much"), "--workspace 'much'"),
        (("--compute-capability", "sm"), "--compute-capability 'sm'"),
        (("--no-engines", "--batch", "2"), "exclude each other"),
        (("--no-engines", "--target", "tensorrt"), "exclude each other"),
    ],
)
def test_options_that_cannot_be(half_bundle: Bundle, arguments: tuple[str, ...], message: str) -> None:
    done = invoke(half_bundle.path, "--fp16", *arguments)
    assert done.exit_code == ConfigError.exit_code
    assert message in done.output
    assert len(done.output.splitlines()) == 1


def test_engines_of_float_graphs_are_built_for_a_named_target_only(
    rtx: Library, make_bundle: Callable[..., Bundle], graph_bytes: Callable[..., bytes]
) -> None:
    graphs = {
        f"graphs/fp32/{name}.onnx": graph_bytes(half=False, backbone=name == "backbone") for name in CS_FLOW_GRAPHS
    }
    bundle = make_bundle().update(graphs)
    assert prepare_engines("fp32", EngineChoice()).library is None
    choice = EngineChoice("tensorrt-rtx")
    built = export_engines(bundle, "fp32", choice, prepare_engines("fp32", choice), quiet=True)
    assert [record.audit.half_in_plan for record in built.records] == [0.0, 0.0]
    assert rtx.version == built.records[0].version


@pytest.mark.usefixtures("no_torch", "rtx")
def test_both_precisions_are_built_for_a_named_target(half_bundle: Bundle, graph_bytes: Callable[..., bytes]) -> None:
    half_bundle.update(
        {f"graphs/fp32/{n}.onnx": graph_bytes(half=False, backbone=n == "backbone") for n in CS_FLOW_GRAPHS}
    )
    both = ("--fp16", "--fp32", "--compute-capability", "86")
    done = invoke(half_bundle.path, *both, "--target", "tensorrt-rtx", "--json")
    assert done.exit_code == 0, done.output
    built = [(record["precision"], record["graph"]) for record in json.loads(done.stdout)["engines"]]
    assert sorted(built) == sorted((precision, name) for precision in ("fp16", "fp32") for name in CS_FLOW_GRAPHS)


@pytest.mark.usefixtures("no_torch", "rtx")
def test_an_option_that_the_target_lacks_is_refused_before_anything_is_made(half_bundle: Bundle) -> None:
    done = invoke(half_bundle.path, "--fp16", "--target", "tensorrt-rtx", "--dla", "0")
    assert done.exit_code == ConfigError.exit_code
    assert "leave --dla out" in done.output
    assert not (half_bundle.path / "engines").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("rtx")
def test_plans_of_a_trained_model(trained_copy: Path, trained_half_graphs: dict[str, bytes]) -> None:
    bundle = Bundle.open(trained_copy).update(trained_half_graphs)
    choice = EngineChoice("tensorrt-rtx")
    for record in export_engines(bundle, "fp16", choice, prepare_engines("fp16", choice), quiet=True).records:
        assert record.audit.half_in_graph >= 0.99
        assert (record.audit.half_in_plan or 0) >= 0.99
        facts = graph_facts(bundle.path / "graphs" / "fp16" / f"{record.graph}.onnx")
        assert "FLOAT" not in facts.convolutions
    Bundle.open(bundle.path).verify()


def test_options_for_engines_that_nobody_builds_are_refused(half_bundle: Bundle) -> None:
    done = invoke(half_bundle.path, "--batch", "4")
    assert done.exit_code == ConfigError.exit_code
    assert "go with --fp16, or with a --target" in done.output


def test_what_skipped_the_gate_is_not_called_ready(calibrated_bundle: Bundle) -> None:
    assert _ready(str(calibrated_bundle.path), skipped=True).endswith(
        f"csflow verify --bundle {calibrated_bundle.path}"
    )
    assert "is ready; next: csflow run" in _ready(str(calibrated_bundle.path), skipped=False)
