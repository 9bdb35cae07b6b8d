"""Plans of a bundle: all in place with their records, or the bundle as it was; and the command that makes them."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from csflow.export.facts.inspection import inspect_path
from csflow.export.graphs.resize_graph import write_resizes
from csflow.export.plans.build.log import Report
from csflow.export.plans.build.memory import available_memory, needed_memory
from csflow.export.plans.engines import build_engines
from csflow.export.plans.plan import build_plan
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.manifest import CS_FLOW_GRAPHS
from csflow.runtime.engines.tensorrt.library import Library, load_library
from csflow.runtime.engines.tensorrt.plan_record import BuildOptions, plan_path, read_plan, read_record
from csflow.runtime.errors import BundleError, ConfigError, EngineError, EngineMismatch, SinkError
from csflow.runtime.machine.machine import Machine

Silent = Callable[[str], Any]


def contents(root: Path) -> dict[str, bytes]:
    """Everything in a bundle, empty folders too."""
    return {str(p.relative_to(root)): p.read_bytes() if p.is_file() else b"" for p in sorted(root.rglob("*"))}


def onnx_hash(bundle: Bundle, name: str) -> str:
    return hashlib.sha256(bundle.read(f"graphs/fp16/{name}.onnx")).hexdigest()


def test_plans_and_records(rtx: Library, half_bundle: Bundle, silent: Silent) -> None:
    records = build_engines(half_bundle, rtx, "fp16", BuildOptions(compute_capabilities=("8.6", "8.9")), silent)
    assert [record.graph for record in records] == list(CS_FLOW_GRAPHS)
    for record in records:
        plan = plan_path(half_bundle.path, "tensorrt-rtx", "fp16", record.graph)
        assert read_record(plan) == record
        assert (record.version, record.gpu) == (rtx.version, None)
        assert record.compute_capabilities == ("8.6", "8.9")
        here = {"flavour": "tensorrt-rtx", "library_version": rtx.version, "gpu_cc": "8.6"}
        _, data = read_plan(plan, onnx_sha256=onnx_hash(half_bundle, record.graph), **here)  # type: ignore[arg-type]
        assert (len(data), data[:4]) == (record.plan_size, b"vtrt")
        with pytest.raises(EngineMismatch, match="another graph"):
            read_plan(plan, onnx_sha256="0" * 64, **here)  # type: ignore[arg-type]


def test_float32_products_for_turing_are_refused_before_the_first_build(
    rtx: Library, half_bundle: Bundle, silent: Silent
) -> None:
    files = {f"graphs/fp32/{name}.onnx": half_bundle.read(f"graphs/fp16/{name}.onnx") for name in CS_FLOW_GRAPHS}
    write_resizes(half_bundle.update(files), [(48, 64)], "fp16")
    write_resizes(Bundle.open(half_bundle.path), [(48, 64)], "fp32")
    bundle, turing = Bundle.open(half_bundle.path), BuildOptions(compute_capabilities=("7.5", "8.6"))
    assert [r.compute_capabilities for r in build_engines(bundle, rtx, "fp16", turing, silent)] == [("7.5", "8.6")] * 3
    with pytest.raises(ConfigError, match=r"resize_48x64\.onnx has 2, the first 'resize_48x64/resize_columns'"):
        build_engines(bundle, rtx, "fp32", turing, never_asked)
    # That it still refuses them: where it no longer does, this check can go.
    with pytest.raises(EngineError, match="turing"):
        build_plan(rtx, "resize", bundle.read("graphs/fp32/resize_48x64.onnx"), turing, lambda *_: None)


def never_asked(name: str) -> Any:
    raise AssertionError(f"{name} is being built")


def test_a_bundle_with_or_without_plans_opens(
    rtx: Library, half_bundle: Bundle, silent: Silent, tmp_path: Path
) -> None:
    before = contents(half_bundle.path)
    build_engines(half_bundle, rtx, "fp16", BuildOptions(), silent)
    assert set(contents(half_bundle.path)) - set(before) == {
        "engines",
        "engines/tensorrt-rtx",
        "engines/tensorrt-rtx/fp16",
        *(f"engines/tensorrt-rtx/fp16/{name}.plan{end}" for name in CS_FLOW_GRAPHS for end in ("", ".json")),
    }
    Bundle.open(half_bundle.path).verify()
    copy = shutil.copytree(half_bundle.path, tmp_path / "copy", ignore=shutil.ignore_patterns("engines"))
    Bundle.open(copy).verify()


def test_inspect_shows_plans_and_whether_they_belong(rtx: Library, half_bundle: Bundle, silent: Silent) -> None:
    build_engines(half_bundle, rtx, "fp16", BuildOptions(batch=(1, 2, 4)), silent)
    name = "engines/tensorrt-rtx/fp16/flow.plan"
    text = "\n".join(inspect_path(half_bundle.path).lines)
    assert f"{name}: TensorRT for RTX {rtx.version}" in text
    assert "batch 1 to 4, tuned for 2, 100.0% of products in half precision (build log)" in text
    assert "of another" not in text
    assert "without a GPU" in "\n".join(inspect_path(half_bundle.path / name).lines)
    half_bundle.update({"graphs/fp16/flow.onnx": b"changed"})
    assert "of another graphs/fp16/flow.onnx: run 'csflow export' again" in "\n".join(
        inspect_path(half_bundle.path).lines
    )
    (half_bundle.path / f"{name}.json").write_text("{}")
    assert "flow.plan.json: graph: missing" in "\n".join(inspect_path(half_bundle.path).lines)
    (half_bundle.path / f"{name}.json").unlink()
    assert "; without record" in "\n".join(inspect_path(half_bundle.path).lines)


@contextmanager
def interrupting(name: str) -> Iterator[Report]:
    told = iter(range(1000))
    yield lambda _share, _phase: os.kill(os.getpid(), signal.SIGINT) if name == "flow" and next(told) == 2 else None


def out_of_space(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("again", [False, True], ids=["first build", "rebuild"])
@pytest.mark.parametrize("trouble", ["full disk", "interrupted", "refused", "damaged graph", "rename"])
def test_whatever_fails_leaves_the_bundle_as_it_was(
    rtx: Library,
    half_bundle: Bundle,
    silent: Silent,
    monkeypatch: pytest.MonkeyPatch,
    graph_bytes: Callable[..., bytes],
    trouble: str,
    again: bool,
) -> None:
    if trouble == "refused":
        half_bundle = half_bundle.update({"graphs/fp16/flow.onnx": graph_bytes(half=False, backbone=False)})
    if again:
        monkeypatch.setattr("csflow.export.plans.engines.require_half_graph", lambda *_: None)
        build_engines(half_bundle, rtx, "fp16", BuildOptions(), silent)
        monkeypatch.undo()
    if trouble == "damaged graph":
        size = half_bundle.manifest.files["graphs/fp16/flow.onnx"].size
        (half_bundle.path / "graphs" / "fp16" / "flow.onnx").write_bytes(b"x" * size)
    before = contents(half_bundle.path)
    if trouble == "full disk":
        monkeypatch.setattr(os, "fsync", out_of_space)
    if trouble == "rename":
        real = os.rename
        to_engines = f"engines{os.sep}tensorrt-rtx"
        monkeypatch.setattr(
            os,
            "rename",
            lambda a, b: out_of_space() if Path(a).name == "plans" and to_engines in str(b) else real(a, b),
        )
    report = interrupting if trouble == "interrupted" else silent
    with pytest.raises((OSError, KeyboardInterrupt, EngineError, BundleError)):
        build_engines(half_bundle, rtx, "fp16", BuildOptions(), report)
    after = contents(half_bundle.path)
    assert {name for name in after if not name.startswith("engines")} == {
        n for n in before if not n.startswith("engines")
    }
    assert {name: data for name, data in after.items() if data} == {name: data for name, data in before.items() if data}
    assert not list(half_bundle.path.glob(".engines.*"))


def test_what_a_killed_build_left_is_removed(rtx: Library, half_bundle: Bundle, silent: Silent) -> None:
    (half_bundle.path / ".engines.abc" / "plans").mkdir(parents=True)
    build_engines(half_bundle, rtx, "fp16", BuildOptions(), silent)
    assert not list(half_bundle.path.glob(".engines.*"))


def test_a_killed_build_leaves_a_bundle_that_opens(rtx: Library, half_bundle: Bundle) -> None:
    code = f"""
import os, signal
from csflow.export.graphs.resize_graph import write_resizes
from csflow.export.plans.engines import build_engines
from csflow.export.plans.plan import build_plan
from csflow.runtime.engines.tensorrt.library import load_library
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.engines.tensorrt.plan_record import BuildOptions
import contextlib
@contextlib.contextmanager
def report(name):
    yield lambda share, phase: os.kill(os.getpid(), signal.SIGKILL) if name == "flow" else None
build_engines(Bundle.open({str(half_bundle.path)!r}), load_library("tensorrt-rtx"), "fp16", BuildOptions(), report)
"""
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == -signal.SIGKILL
    Bundle.open(half_bundle.path).verify()
    assert not (half_bundle.path / "engines").exists()
    assert rtx.flavour == "tensorrt-rtx"


def test_a_read_only_bundle_fails_before_the_build(
    rtx: Library, half_bundle: Bundle, silent: Silent, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(**_: object) -> str:
        raise PermissionError(errno.EACCES, "Permission denied", str(half_bundle.path))

    monkeypatch.setattr("tempfile.mkdtemp", denied)
    monkeypatch.setattr("csflow.export.plans.engines.build_plan", lambda *_: pytest.fail("it was built all the same"))
    with pytest.raises(PermissionError):
        build_engines(half_bundle, rtx, "fp16", BuildOptions(), silent)


def test_memory_and_disk_are_asked_before_the_build(
    rtx: Library, half_bundle: Bundle, silent: Silent, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("csflow.export.plans.engines.build_plan", lambda *_: pytest.fail("it was built all the same"))
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "meminfo").write_text("MemTotal: 900000 kB\nMemAvailable:   90000 kB\nSwapFree:  10000 kB\n")
    machine = Machine(root=tmp_path)
    assert available_memory(machine) == 100_000 * 1024
    with pytest.raises(EngineError, match=r"the backbone plan needs about 0\.4 GB .* 0\.1 GB are free: close other"):
        build_engines(half_bundle, rtx, "fp16", BuildOptions(), silent, machine)
    cgroup = tmp_path / "sys" / "fs" / "cgroup"
    cgroup.mkdir(parents=True)
    (cgroup / "memory.max").write_text("1000000\n")
    (cgroup / "memory.current").write_text("400000\n")
    assert available_memory(machine) == 600_000
    (cgroup / "memory.max").write_text("max\n")
    assert available_memory(machine) == 100_000 * 1024
    with pytest.raises(SinkError, match="0 MB are free: free space"):
        build_engines(half_bundle, rtx, "fp16", BuildOptions(), silent, replace(Machine(), disk_free=lambda _: 10))


def test_a_jetson_counts_the_workspace_too(full_tensorrt: Callable[..., Any]) -> None:
    full_tensorrt("10.3")
    library = load_library()
    assert needed_memory(0, library, 1 << 30) - needed_memory(0, library, None) == 1 << 30


@pytest.mark.parametrize("version", ["10.3", "11.4"])
def test_full_tensorrt_writes_the_same_records(
    full_tensorrt: Callable[..., Any], half_bundle: Bundle, silent: Silent, version: str
) -> None:
    full_tensorrt(version)
    first, _ = build_engines(half_bundle, load_library(), "fp16", BuildOptions(), silent)
    assert (first.flavour, first.gpu, first.compute_capabilities) == ("tensorrt", "Orin (nvgpu)", ("8.7",))
    assert first.audit.source == "engine inspector"
    plan = plan_path(half_bundle.path, "tensorrt", "fp16", "backbone")
    graph = onnx_hash(half_bundle, "backbone")
    read_plan(plan, flavour="tensorrt", library_version=first.version, gpu_cc="8.7", onnx_sha256=graph)
    full_tensorrt(version, layer_type="float")
    before = contents(half_bundle.path)
    with pytest.raises(EngineError, match="in float"):
        build_engines(half_bundle, load_library(), "fp16", BuildOptions(), silent)
    assert contents(half_bundle.path) == before


def test_a_bundle_without_graphs(rtx: Library, make_bundle: Callable[..., Bundle], silent: Silent) -> None:
    with pytest.raises(BundleError, match=r"has no graphs/fp16/backbone\.onnx: run 'csflow export --fp16'"):
        build_engines(make_bundle(), rtx, "fp16", BuildOptions(), silent)
