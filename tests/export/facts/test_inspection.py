"""What inspect says of bundles whole and damaged, of plans, and of files that are none of its kinds."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from csflow.export.cli.inspect import inspect
from csflow.export.facts.bundle_facts import BundleFacts, bundle_facts
from csflow.export.facts.inspection import inspect_path
from csflow.export.facts.plan_facts import size_text
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.golden import GoldenFrame, write_golden
from csflow.runtime.engines.tensorrt.plan_header import PLAN_TAGS
from csflow.runtime.errors import BundleError, ConfigError
from csflow.runtime.machine.install import pip_install

PLAN = b"ftrt" + bytes(20) + bytes([10, 3, 0, 26]) + bytes(36)


@pytest.mark.parametrize("data", [b"", b"\0" * 100, b"not an ONNX at all", b"\x08\x0a"])
def test_no_onnx(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.onnx"
    path.write_bytes(data)
    with pytest.raises(ConfigError, match="is no ONNX model"):
        inspect_path(path)


def test_a_truncated_onnx(conv: Path) -> None:
    conv.write_bytes(conv.read_bytes()[:-40])
    with pytest.raises(ConfigError, match="is no ONNX model"):
        inspect_path(conv)


def test_damaged_graphs_are_shown_or_refused_in_words(conv: Path) -> None:
    data, rng = conv.read_bytes(), random.Random(1)
    frame = [i for i in range(len(data)) if i < 90 or i > len(data) - 120]
    for _ in range(1000):
        damaged = bytearray(data)
        for place in rng.choices(frame, k=rng.randint(1, 3)):
            damaged[place] = rng.randrange(256)
        conv.write_bytes(damaged)
        done = invoke(conv, "--json")
        assert done.exit_code == 0 or done.stderr.startswith("Error: "), bytes(damaged)
        assert done.exception is None or isinstance(done.exception, SystemExit), bytes(damaged)


@pytest.fixture
def whole(calibrated_bundle: Bundle) -> Bundle:
    """A bundle with thresholds, a golden frame, a graph, and a plan that only the device knows of."""
    picture = (np.zeros((64, 64, 3), np.uint8), GoldenFrame("00.png", "good", 0.25, ((1.0, 1.0), (1.0, 1.0))))
    bundle = calibrated_bundle.update({**write_golden([picture]), "graphs/fp32/flow.onnx": b"x"})
    (bundle.path / "engines").mkdir()
    (bundle.path / "engines" / "flow.plan").write_bytes(PLAN)
    return bundle


def states(facts: BundleFacts) -> dict[str, str]:
    return {file.name: file.state for file in facts.files}


def test_a_bundle(whole: Bundle) -> None:
    facts = bundle_facts(whole.path)
    assert set(states(facts)) == set(whole.manifest.files)
    assert set(states(facts).values()) == {"verified"}
    assert facts.problems == ()
    assert facts.thresholds is not None
    assert (facts.thresholds.warn, facts.thresholds.reject, facts.thresholds.parts) == (0.5, 0.6, 59)
    assert facts.golden == (GoldenFrame("00.png", "good", 0.25, ((1.0, 1.0), (1.0, 1.0))),)
    assert "TensorRT 10.3.0.26" in facts.plans["engines/flow.plan"]
    assert facts.weights_sha256 == whole.weights_sha256


def test_a_damaged_file_is_named_unless_hashing_is_off(whole: Bundle) -> None:
    name = "weights/flow.safetensors"
    (whole.path / name).write_bytes(b"y")
    assert states(bundle_facts(whole.path))[name] == "damaged"
    assert inspect_path(whole.path).damaged == (name,)
    assert set(states(bundle_facts(whole.path, verify=False)).values()) == {"not checked"}


def test_damaged_golden_frames_and_thresholds_are_problems(whole: Bundle) -> None:
    (whole.path / "golden" / "golden.json").write_bytes(b" " * whole.manifest.files["golden/golden.json"].size)
    (whole.path / "calibration.json").write_text("{}")
    facts = bundle_facts(whole.path, verify=False)
    assert facts.thresholds is None
    assert facts.golden == ()
    assert len(facts.problems) == 2


def test_a_bundle_that_does_not_open(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="is not a csflow bundle"):
        inspect_path(tmp_path)


@pytest.mark.parametrize("name", ["x.plan", "x.engine", "x", "x.onnx"])
def test_a_plan_is_known_by_its_first_bytes(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(PLAN)
    found = inspect_path(tmp_path / name)
    assert found.kind == "plan"
    assert "TensorRT 10.3.0.26" in found.lines[1]


def test_nothing_and_something_else(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no file or folder"):
        inspect_path(tmp_path / "none")
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(ConfigError, match="can inspect those three"):
        inspect_path(tmp_path / "notes.txt")


@pytest.mark.parametrize(
    ("size", "text"),
    [(999, "999 bytes"), (1000, "1.0 kB"), (1_234_567, "1.2 MB"), (2 * 10**9, "2.0 GB")],
)
def test_sizes(size: int, text: str) -> None:
    assert size_text(size) == text


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(inspect, [*map(str, arguments)])


def test_the_command_on_each_kind(whole: Bundle, conv: Path) -> None:
    plan = whole.path / "engines" / "flow.plan"
    for path, kind in ((whole.path, "bundle"), (conv, "graph"), (plan, "plan")):
        text, report = invoke(path), json.loads(invoke(path, "--json").stdout)
        assert text.exit_code == 0
        assert str(path) in text.stdout
        assert (report["kind"], report["path"]) == (kind, str(path))


def test_a_damaged_bundle_is_shown_and_ends_with_3(whole: Bundle) -> None:
    (whole.path / "weights" / "flow.safetensors").write_bytes(b"y")
    done = invoke(whole.path)
    assert done.exit_code == 3
    assert "thresholds" in done.stdout
    assert done.stderr.startswith("Error: ")
    assert "weights/flow.safetensors" in done.stderr
    assert invoke(whole.path, "--no-verify").exit_code == 0


def test_without_onnx_graphs_name_the_extra_and_the_rest_works(
    whole: Bundle, conv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("csflow.export.facts.inspection.find_spec", lambda _: None)
    done = invoke(conv)
    assert done.exit_code == 4
    assert pip_install("export") in done.stderr
    assert invoke(whole.path).exit_code == 0


def test_a_cut_off_plan(tmp_path: Path) -> None:
    for tag in PLAN_TAGS:
        (tmp_path / "x.plan").write_bytes(tag + b"\0\0")
        done = invoke(tmp_path / "x.plan")
        assert done.exit_code == 4
        assert "is cut off" in done.stderr
