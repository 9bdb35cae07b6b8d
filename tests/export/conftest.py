"""Models whose every fold has something to do, graphs known by hand, and TensorRTs real and faked."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper

from csflow.calibration.calibrate import calibrate
from csflow.export.cli.export import export
from csflow.export.plans.build.log import Report
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.manifest import Definitions, Manifest, Preprocessing
from csflow.runtime.engines.opening import open_engine
from csflow.runtime.engines.tensorrt.library import Library, load_library
from csflow.runtime.machine import probes
from csflow.toolkit.backbones.backbone import Backbone
from csflow.toolkit.backbones.config import BackboneConfig
from csflow.toolkit.backbones.networks import build_backbone
from csflow.toolkit.methods.flow.config import FlowConfig
from csflow.toolkit.methods.flow.flow import CrossScaleFlow, Standardise
from csflow.toolkit.methods.flow.whiten import Whiten
from csflow.toolkit.methods.method import Shapes

from ..conftest import MakeOnce  # noqa: TID252 - tests are no package that could be named
from ..large_files import with_large_files_shared  # noqa: TID252 - tests are no package that could be named
from . import fake_tensorrt

MakeFlow = Callable[..., tuple[CrossScaleFlow, Shapes]]
MakeBackbone = Callable[..., Backbone]

ORIN = {"name": "Orin (nvgpu)", "major": 8, "minor": 7, "memory": 60 << 30, "integrated": 1, "multiprocessors": 16}
NO_DRIVER = {"code": -1, "problem": "libcuda.so.1: cannot open shared object file"}


def _weights(kind: type, *shape: int) -> np.ndarray:
    values: np.ndarray = (np.arange(np.prod(shape)).reshape(shape) % 7 - 3).astype(kind) / 16
    return values


def graph_file(half: bool, backbone: bool, islands: int = 0) -> bytes:
    """Frames or features through four convolutions of 3 x 3; the last `islands` of them in float32."""
    node, kinds = helper.make_node, (np.float16 if half else np.float32, np.float32)
    entry = "frame" if backbone else "features_0"
    nodes = [node("Cast", [entry], ["c"], to=TensorProto.FLOAT, name="cast")]
    nodes += [node("Transpose", ["c"], ["x0"], perm=[0, 3, 1, 2], name="nchw")] if backbone else []
    held, stored, channels = ("x0" if backbone else "c"), [], 3 if backbone else 4
    for i in range(4):
        kind = kinds[0] if i < 4 - islands else kinds[1]
        stored.append(numpy_helper.from_array(_weights(kind, 4, channels, 3, 3), f"w{i}"))
        to = TensorProto.FLOAT16 if kind is np.float16 else TensorProto.FLOAT
        nodes += [
            node("Cast", [held], [f"h{i}"], to=to, name=f"to{i}"),
            node("Conv", [f"h{i}", f"w{i}"], [f"y{i}"], pads=[1, 1, 1, 1], name=f"conv{i}"),
        ]
        held, channels = f"y{i}", 4
    value = helper.make_tensor_value_info
    if backbone:
        ports = [value("frame", TensorProto.UINT8, ["batch", 8, 8, 3])]
        results = [value("features_0", TensorProto.FLOAT, ["batch", 4, 8, 8])]
        nodes.append(node("Cast", [held], ["features_0"], to=TensorProto.FLOAT, name="out"))
    else:
        ports = [value("features_0", TensorProto.FLOAT, ["batch", 4, 8, 8])]
        results = [
            value("score", TensorProto.FLOAT, ["batch"]),
            value("anomaly_map", TensorProto.FLOAT, ["batch", 8, 8]),
        ]
        stored.append(numpy_helper.from_array(np.array([1], np.int64), "one"))
        stored.append(numpy_helper.from_array(np.array([1, 2, 3], np.int64), "all"))
        nodes += [
            node("Cast", [held], ["z"], to=TensorProto.FLOAT, name="z"),
            node("Mul", ["z", "z"], ["z2"], name="square"),
            node("ReduceMean", ["z2", "one"], ["anomaly_map"], keepdims=0, name="map"),
            node("ReduceMean", ["z2", "all"], ["score"], keepdims=0, name="score"),
        ]
    graph = helper.make_graph(nodes, "g", ports, results, stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString()
    return data


@pytest.fixture
def graph_bytes() -> Callable[..., bytes]:
    """`graph_bytes(half=True, backbone=True, islands=0)`."""
    return lambda half=True, backbone=True, islands=0: graph_file(half, backbone, islands)


@pytest.fixture
def half_bundle(tmp_path: Path) -> Bundle:
    """A bundle with tiny graphs of half precision."""
    manifest = Manifest(Preprocessing(64), Definitions(), {}, {}, {})
    files = {f"graphs/fp16/{name}.onnx": graph_file(True, name == "backbone") for name in ("backbone", "flow")}
    return Bundle.create(tmp_path / "model.csflow", manifest, {**files, "weights/flow.safetensors": b"x"})


@pytest.fixture
def calibrated(trained_copy: Path, product_line: Path) -> Bundle:
    """A copy of the trained bundle with thresholds from its product line."""
    bundle = Bundle.open(trained_copy)
    with open_engine(bundle, "torch") as engine:
        calibrate(bundle, [product_line / "calibration" / "good"], engine, 0.2, 0.9)
    return bundle


@pytest.fixture(scope="session")
def exported_half(trained: Path, made_once: MakeOnce) -> tuple[Bundle, dict[str, Any]]:
    """A copy of the trained bundle after `csflow export --fp16 --no-engines --json`, and what the command said."""

    def make(folder: Path) -> None:
        path = with_large_files_shared(trained, folder / "model.csflow")
        result = CliRunner().invoke(export, ["--bundle", str(path), "--fp16", "--no-engines", "--json"])
        assert result.exit_code == 0, result.output
        (folder / "said.json").write_text(result.stdout)

    folder = made_once("exported half", make)
    return Bundle.open(folder / "model.csflow"), json.loads((folder / "said.json").read_text())


@pytest.fixture
def graphs_of_before(exported_half: tuple[Bundle, dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    """An export of the trained bundle takes the graphs of `exported_half`: what else it does is tested."""
    bundle, _ = exported_half

    def made(_bundle: Bundle, precisions: Sequence[str]) -> dict[str, bytes]:
        names = [f"graphs/{precision}/{graph}.onnx" for precision in precisions for graph in bundle.manifest.graphs]
        return {name: bundle.read(name) for name in names}

    monkeypatch.setattr("csflow.export.gate.write_graphs.make_graphs", made)


@pytest.fixture(scope="session")
def trained_half_graphs(exported_half: tuple[Bundle, dict[str, Any]]) -> dict[str, bytes]:
    """Its graphs in half precision; exporting them takes seconds, so it is done once."""
    bundle, _ = exported_half
    return {name: bundle.read(name) for name in bundle.manifest.files if name.startswith("graphs/fp16/")}


@pytest.fixture
def rtx() -> Library:
    """The real TensorRT for RTX; skips where it is not installed."""
    pytest.importorskip("tensorrt_rtx", reason="TensorRT for RTX is not installed")
    return load_library("tensorrt-rtx")


@pytest.fixture
def silent() -> Callable[[str], Any]:
    """A BuildReport that shows nothing."""

    @contextmanager
    def report(_name: str) -> Iterator[Report]:
        yield lambda _share, _phase: None

    return report


@pytest.fixture(scope="session")
def faker() -> ModuleType:
    """The module tests/export/fake_tensorrt.py."""
    return fake_tensorrt


@pytest.fixture
def full_tensorrt(faker: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Any]:
    """`full_tensorrt("10.3", device=ORIN, ...)` makes `import tensorrt` give a fake on a machine with that GPU."""
    monkeypatch.setenv("CSFLOW_CACHE", str(tmp_path / "cache"))

    def install(version: str, device: dict[str, Any] | None = ORIN, **how: Any) -> Any:
        module = faker.fake_module(version, **how)
        monkeypatch.setitem(sys.modules, "tensorrt", module)
        monkeypatch.setattr(probes, "cuda", lambda: {"code": 0, "devices": [device]} if device else NO_DRIVER)
        return module

    return install


@pytest.fixture
def make_flow() -> MakeFlow:
    """`make_flow(scales=3, kernels=(3, 5), hidden=16, standardise=True)`: float32, gamma and statistics random."""

    def make(
        scales: int = 3,
        kernels: tuple[int, ...] = (3, 5),
        hidden: int = 16,
        standardise: bool = True,
        whiten: bool = False,
        score_power: int = 1,
    ) -> tuple[CrossScaleFlow, Shapes]:
        torch.manual_seed(7)
        side = 1 << scales if whiten else 0
        config = FlowConfig(
            12, scales, kernels, hidden, standardise=standardise, whiten=whiten, score_power=score_power, side=side
        )
        flow = CrossScaleFlow(config).eval().requires_grad_(False)
        for name, parameter in flow.named_parameters():
            if name.endswith("gamma"):
                parameter.uniform_(0.5, 1.5)
        if isinstance(first := flow.layers[0], Standardise):
            first.get_buffer("mean").normal_()
            first.get_buffer("std").uniform_(0.5, 2.0)
        if isinstance(first, Whiten):
            for name, buffer in first.named_buffers():
                if not name.startswith("log_det"):
                    buffer += 0.2 * torch.randn(buffer.shape)
        return flow, tuple((12, (1 << scales) >> i, (1 << scales) >> i) for i in range(scales))

    return make


@pytest.fixture
def make_backbone() -> MakeBackbone:
    """`make_backbone(name, padding="timm", scales=2)`: batch norms' statistics, weights and biases random."""

    def make(name: str = "tf_efficientnet_lite0", padding: str = "timm", scales: int = 2) -> Backbone:
        torch.manual_seed(8)
        backbone = build_backbone(BackboneConfig(name, scales, padding=padding))
        for module in backbone.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.get_buffer("running_mean").normal_(0.0, 0.2)
                module.get_buffer("running_var").uniform_(0.5, 1.5)
                module.weight.data.uniform_(0.7, 1.3)
                module.bias.data.normal_(0.0, 0.2)
        return backbone

    return make


@pytest.fixture
def conv(tmp_path: Path) -> Path:
    """3 -> 8 channels, 3 x 3, half the size, with bias; then a Relu."""
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Relu", ["c"], ["y"]),
    ]
    weights = {"w": np.zeros((8, 3, 3, 3), np.float32), "b": np.zeros(8, np.float32)}
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 16, 16])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 8, 8, 8])
    stored = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "g", [x], [y], stored)
    path = tmp_path / "conv.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path
