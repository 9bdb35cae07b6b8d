"""`csflow bench --profile`: every layer of the graphs, what it takes, and the sums by kind."""

import dataclasses
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from csflow.runtime import schema
from csflow.runtime.bundle.calibration import load_calibration
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.cli.bench import bench
from csflow.runtime.detector import Detector
from csflow.runtime.doctor.layers import Profile, profile
from csflow.runtime.engine import Layer
from csflow.runtime.errors import BackendUnavailable

LAYERS = (
    Layer("backbone", "a", "Convolution", "fast", 0.003),
    Layer("backbone", "b", "Reorder", "slow", 0.001),
    Layer("backbone", "c", "Convolution", "fast", 0.004),
    Layer("flow", "d", "Convolution", "fast", 0.002),
)


def test_operations_that_are_alike_are_summed_and_the_slowest_come_first() -> None:
    found = Profile("openvino-fp32", LAYERS)
    assert [row[:4] for row in found.kinds()] == [
        ("backbone", "Convolution", "fast", 2),
        ("flow", "Convolution", "fast", 1),
        ("backbone", "Reorder", "slow", 1),
    ]
    assert [layer.name for layer in found.slowest()] == ["c", "a", "d", "b"]
    assert found.total_s == pytest.approx(0.01)
    lines = found.lines()
    assert lines[0] == "layers     4 of openvino-fp32, 10 ms together"
    assert lines[2].split() == ["backbone", "Convolution", "fast", "2", "7.00", "70.0%"]
    assert lines[-1].split() == ["backbone", "b", "Reorder", "1.00", "10.0%"]
    assert [fact["seconds"] for fact in found.facts()] == [layer.seconds for layer in LAYERS]


def test_an_engine_without_layers_says_so(calibrated_bundle: Bundle) -> None:
    with (
        Detector.open(calibrated_bundle.path, "fake") as detector,
        pytest.raises(BackendUnavailable, match="engine fake does not tell its layers apart"),
    ):
        profile(detector)


def test_the_layers_of_both_graphs_are_told(trained_copy: Path, calibrated_bundle: Bundle) -> None:
    pytest.importorskip("openvino", reason="the extra openvino is not installed")
    thresholds, bundle = load_calibration(calibrated_bundle), Bundle.open(trained_copy)
    assert thresholds is not None
    thresholds = dataclasses.replace(thresholds, weights_sha256=bundle.weights_sha256)
    bundle.write_calibration(schema.dump_json(schema.to_mapping(thresholds)))
    words = ["--bundle", str(trained_copy), "--backend", "openvino-fp32", "--pictures", "1", "--profile", "--json"]
    result = CliRunner().invoke(bench, words)
    assert result.exit_code == 0, result.output
    layers = json.loads(result.stdout)["layers"]
    assert {layer["graph"] for layer in layers} == {"backbone", "flow"}
    assert any(layer["kind"] == "Convolution" and "f32" in layer["how"] for layer in layers)
    assert all(layer["seconds"] > 0 for layer in layers)
