"""Plans by the real TensorRT for RTX and by fakes with the surface of 10.3 to 11.4: what is built, what is refused."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from onnx import TensorProto, helper

from csflow.export.plans.plan import BuiltPlan, build_plan
from csflow.runtime.engines.tensorrt.library import Library, load_library
from csflow.runtime.engines.tensorrt.plan_header import HEADER_BYTES, PlanHeader, parse_plan_header
from csflow.runtime.engines.tensorrt.plan_record import BuildOptions
from csflow.runtime.errors import BackendUnavailable, ConfigError, EngineError
from csflow.runtime.machine.install import pip_install
from csflow.runtime.machine.machine import Machine

GraphBytes = Callable[..., bytes]


def quiet(_share: float, _phase: str) -> None:
    return None


def build(library: Library, onnx: bytes, name: str = "backbone", **options: Any) -> BuiltPlan:
    return build_plan(library, name, onnx, BuildOptions(**options), quiet)


def header_of(plan: BuiltPlan) -> PlanHeader:
    return parse_plan_header(bytes(plan.data[:HEADER_BYTES]), plan.data.nbytes, "plan")


def one_node(operator: str, *inputs: str, domain: str = "", half: tuple[str, ...] = ()) -> bytes:
    """A graph of one node with the inputs' types mixed as `half` says."""
    kinds = {name: TensorProto.FLOAT16 if name in half else TensorProto.FLOAT for name in inputs}
    ports = [helper.make_tensor_value_info(name, kind, ["batch", 4, 4]) for name, kind in kinds.items()]
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    node = helper.make_node(operator, list(inputs), ["y"], name="the_node", domain=domain)
    graph = helper.make_graph([node], "g", ports, [result])
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("other", 1)]
    data: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()
    return data


@pytest.mark.parametrize("backbone", [True, False])
def test_rtx_builds_both_graphs_strongly_typed(rtx: Library, graph_bytes: GraphBytes, backbone: bool) -> None:
    built = build(rtx, graph_bytes(backbone=backbone))
    assert header_of(built).flavour == "tensorrt-rtx"
    assert header_of(built).version_text == rtx.version
    assert built.source == "build log"
    convolutions = {node for layer in built.layers for node in layer.nodes if node.startswith("conv")}
    assert convolutions == {"conv0", "conv1", "conv2", "conv3"}


def test_rtx_builds_for_the_gpus_that_are_asked_for(rtx: Library, graph_bytes: GraphBytes) -> None:
    built = build(rtx, graph_bytes(), compute_capabilities=("7.5", "8.6"))
    assert header_of(built).compute_capabilities == ("7.5", "8.6")
    with pytest.raises(ConfigError, match=r"nothing for compute capability 8\.7; it builds for 7\.5, 8\.0, 8\.6"):
        build(rtx, graph_bytes(), compute_capabilities=("8.7",))


@pytest.mark.parametrize(("batch", "frames"), [((3, 3, 3), 3), ((1, 2, 4), 1)])
def test_rtx_takes_a_batch_or_a_range(
    rtx: Library, graph_bytes: GraphBytes, batch: tuple[int, int, int], frames: int
) -> None:
    built = build(rtx, graph_bytes(backbone=False), batch=batch)
    # Of a range, the log writes the batch as -1, which counts as one.
    assert {tensor.elements for layer in built.layers for tensor in layer.inputs} >= {frames * 4 * 8 * 8}


def test_rtx_refuses_what_is_not_typed(rtx: Library) -> None:
    # Weakly typed networks would convert; a strongly typed one says which node mixes types.
    with pytest.raises(EngineError, match=r"node 'the_node' \(Add\).*Float and Half"):
        build(rtx, one_node("Add", "a", "b", half=("b",)))


@pytest.mark.parametrize(
    ("onnx", "message"),
    [
        (b"not an ONNX file", "it is no ONNX model, or cut off"),
        (one_node("Det", "a"), r"node 'the_node' \(Det\): TensorRT has no such operator"),
        (one_node("Frobnicate", "a", domain="other"), r"node 'the_node' \(Frobnicate\): TensorRT has no such operator"),
    ],
)
def test_rtx_says_node_reason_and_next_step(rtx: Library, onnx: bytes, message: str) -> None:
    with pytest.raises(EngineError, match=message) as caught:
        build(rtx, onnx)
    assert "TensorRT for RTX 1." in str(caught.value)
    assert "csflow export --fp16" in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hardware_compatible": "ampere-plus"}, "choose their GPUs by --compute-capability"),
        ({"version_compatible": True}, "leave --version-compatible out"),
        ({"dla_core": 0}, "leave --dla out"),
    ],
)
def test_rtx_refuses_what_it_would_ignore(
    rtx: Library, graph_bytes: GraphBytes, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        build(rtx, graph_bytes(), **options)


def test_ctrl_c_ends_the_build(rtx: Library, graph_bytes: GraphBytes) -> None:
    shares: list[float] = []

    def interrupt_once(share: float, _phase: str) -> None:
        shares.append(share)
        if len(shares) == 3:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        build_plan(rtx, "backbone", graph_bytes(), BuildOptions(), interrupt_once)
    assert max(shares) < 1


def test_progress_rises_from_nothing_and_ends_where_it_should(rtx: Library, graph_bytes: GraphBytes) -> None:
    shares: list[float] = []
    build_plan(rtx, "flow", graph_bytes(backbone=False), BuildOptions(), lambda share, _: shares.append(share))
    assert shares == sorted(shares)
    assert (shares[0], shares[-1] > 0.8) == (0, True)


def test_a_closed_terminal_does_not_reach_tensorrt(rtx: Library, graph_bytes: GraphBytes) -> None:
    def broken(_share: float, _phase: str) -> None:
        raise BrokenPipeError

    assert build_plan(rtx, "backbone", graph_bytes(), BuildOptions(), broken).data.nbytes > HEADER_BYTES


VERSIONS = ("10.3", "10.13", "11.4")
by_version = pytest.mark.parametrize("version", VERSIONS)


@by_version
def test_full_tensorrt_goes_the_same_way(
    full_tensorrt: Callable[..., Any], graph_bytes: GraphBytes, version: str, tmp_path: Path
) -> None:
    module = full_tensorrt(version)
    library = load_library("tensorrt")
    built = build(library, graph_bytes(), workspace=1 << 30, optimization_level=2)
    network, config = module.built[0]
    assert network._flags == 1 << int(module.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    assert network.get_input(0).shape == (1, 8, 8, 3)
    assert config._limits == {module.MemoryPoolType.WORKSPACE: 1 << 30}
    assert config.builder_optimization_level == 2
    assert config._flags == []
    assert (built.source, header_of(built).flavour) == ("engine inspector", "tensorrt")
    assert {layer.nodes[0]: layer.constants[0].type for layer in built.layers}["conv0"] == "half"
    (timings,) = (tmp_path / "cache" / "tensorrt").iterdir()
    assert timings.name == f"tensorrt-{library.version}-sm8.7-Orin-nvgpu.timing"
    assert timings.read_bytes() == b"timings"


@by_version
def test_timings_are_used_again_and_damaged_ones_dropped(
    full_tensorrt: Callable[..., Any], graph_bytes: GraphBytes, version: str, tmp_path: Path
) -> None:
    module = full_tensorrt(version)
    for left, taken in ((b"timings", b"timings"), (b"damaged", b"")):
        build(load_library(), graph_bytes())
        (timings,) = (tmp_path / "cache" / "tensorrt").iterdir()
        timings.write_bytes(left)
        build(load_library(), graph_bytes())
        assert module.built[-1][1]._cache._data == taken


@by_version
def test_a_range_of_batches_is_a_profile(
    full_tensorrt: Callable[..., Any], graph_bytes: GraphBytes, version: str
) -> None:
    module = full_tensorrt(version)
    build(load_library(), graph_bytes(backbone=False), "flow", batch=(1, 4, 8))
    (profile,) = module.built[0][1]._profiles
    assert profile._shapes == {"features_0": ((1, 4, 8, 8), (4, 4, 8, 8), (8, 4, 8, 8))}


@by_version
def test_flags_by_name_whatever_their_number(
    full_tensorrt: Callable[..., Any], graph_bytes: GraphBytes, version: str
) -> None:
    module = full_tensorrt(version, dla_cores=2)
    build(load_library(), graph_bytes(), version_compatible=True, dla_core=1, hardware_compatible="ampere-plus")
    config = module.built[0][1]
    assert config._flags == [int(module.BuilderFlag.VERSION_COMPATIBLE), int(module.BuilderFlag.GPU_FALLBACK)]
    assert (config.default_device_type, config.DLA_core) == (module.DeviceType.DLA, 1)
    assert config.hardware_compatibility_level == module.HardwareCompatibilityLevel.AMPERE_PLUS
    build(load_library(), graph_bytes(backbone=False), "flow", dla_core=1)
    assert module.built[1][1]._flags == []


def test_what_a_version_lacks_is_refused(full_tensorrt: Callable[..., Any], graph_bytes: GraphBytes) -> None:
    full_tensorrt("10.3")
    with pytest.raises(ConfigError, match=r"TensorRT 10\.9 or newer"):
        build(load_library(), graph_bytes(), hardware_compatible="same-compute-capability")
    with pytest.raises(ConfigError, match="this machine has 0"):
        build(load_library(), graph_bytes(), dla_core=0)
    with pytest.raises(ConfigError, match="only TensorRT for RTX"):
        build(load_library(), graph_bytes(), compute_capabilities=("8.6",))
    full_tensorrt("11.4")
    assert build(load_library(), graph_bytes(), hardware_compatible="same-compute-capability").data.nbytes


@pytest.mark.parametrize(
    ("said", "step"),
    [
        ("Error Code 2: OutOfMemory (Requested size was 1 bytes.)", "give a smaller --workspace"),
        ("Error Code 10: Could not find any implementation for node conv0.", "report it"),
        ("no tactics within workspace limit", "give a larger --workspace"),
    ],
)
def test_a_failed_build_says_what_tensorrt_said(
    full_tensorrt: Callable[..., Any], graph_bytes: GraphBytes, said: str, step: str
) -> None:
    full_tensorrt("10.3").fail = said
    with pytest.raises(EngineError, match=step) as caught:
        build(load_library(), graph_bytes())
    assert said in str(caught.value)


def test_cuda_is_asked_before_tensorrt_is_touched(full_tensorrt: Callable[..., Any]) -> None:
    full_tensorrt("11.4", device=None)
    with pytest.raises(BackendUnavailable, match=r"on the GPU that runs them, and there is none here \(libcuda"):
        load_library("tensorrt")


NOTHING = Machine(root=Path("/nonexistent"), module=lambda _: None)


def test_what_auto_takes(full_tensorrt: Callable[..., Any]) -> None:
    installed = Machine(module=lambda name: Path("x") if name.startswith("tensorrt") else None)
    full_tensorrt("10.3")
    assert load_library("auto", installed).flavour == "tensorrt"
    full_tensorrt("10.3", device=None)
    pytest.importorskip("tensorrt_rtx", reason="TensorRT for RTX is not installed")
    assert load_library("auto", installed).flavour == "tensorrt-rtx"


def test_no_tensorrt_at_all(full_tensorrt: Callable[..., Any], tmp_path: Path) -> None:
    full_tensorrt("10.3", device=None)
    with pytest.raises(BackendUnavailable, match=r"run there: csflow export --fp16, or install it: pip install "):
        load_library("auto", NOTHING)
    full_tensorrt("10.3")
    with pytest.raises(BackendUnavailable, match=re.escape(pip_install("tensorrt"))):
        load_library("auto", NOTHING)
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "nv_tegra_release").write_text("# R36 (release), REVISION: 4.0")
    with pytest.raises(BackendUnavailable, match="sudo apt install python3-libnvinfer") as caught:
        load_library("auto", replace(NOTHING, root=tmp_path))
    assert "pip" not in str(caught.value)
    with pytest.raises(BackendUnavailable, match="does not run on a Jetson"):
        load_library("tensorrt-rtx", replace(NOTHING, root=tmp_path))


def test_an_unknown_target() -> None:
    with pytest.raises(ConfigError, match="choose one of: auto, tensorrt, tensorrt-rtx"):
        load_library("cuda")
