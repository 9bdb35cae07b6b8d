"""CUDA drivers under one contract: NVIDIA's bindings over a libcuda of malloc, pycuda over a module of its names."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from csflow.runtime.engines import cuda
from csflow.runtime.engines.cuda.api import CudaError
from csflow.runtime.engines.cuda.fake import FakeDriver, Fault
from csflow.runtime.engines.cuda.session import Session
from csflow.runtime.errors import BackendUnavailable, ConfigError

from .cuda_contract import CONTRACT, COPIED, run_contract

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def libcuda(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the fake libcuda.so.1; skips without a compiler or NVIDIA's bindings."""
    pytest.importorskip("cuda.bindings.driver", reason="cuda-bindings is not installed")
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler")
    folder = tmp_path_factory.mktemp("libcuda")
    source = HERE / "fake_libcuda.c"
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", folder / "libcuda.so.1", source], check=True
    )
    return folder


def by_bindings(libcuda: Path | None, body: str, fail: str = "") -> tuple[Any, list[str]]:
    """What `body` prints as JSON in a process whose driver is the fake one, and the driver's calls."""
    log = (libcuda or Path(".")) / "calls"
    log.unlink(missing_ok=True)
    program = f"{CONTRACT}\nimport json\nfrom csflow.runtime.engines.cuda.bindings_driver import BindingsDriver\n"
    program += "from csflow.runtime.engines.cuda.api import CudaError\n"
    program += f"from csflow.runtime.errors import BackendUnavailable\n{body}"
    environment = {**os.environ, "FAKE_CUDA_LOG": str(log), "FAKE_CUDA_FAIL": fail}
    environment["LD_LIBRARY_PATH"] = str(libcuda) if libcuda else ""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), log.read_text().split() if log.exists() else []


@pytest.mark.parametrize("mapped", [False, True])
def test_nvidias_bindings_keep_the_contract(libcuda: Path, mapped: bool) -> None:
    copied, calls = by_bindings(libcuda, f"print(json.dumps(run(BindingsDriver(), {mapped})))")
    assert copied == COPIED
    pointer = ["cuMemHostGetDevicePointer"] if mapped else []
    begin = "cuInit cuDeviceGetCount cuDevicePrimaryCtxRetain cuCtxPushCurrent cuStreamCreate cuEventCreate".split()
    copies = "cuMemAlloc cuMemcpyHtoDAsync cuMemHostAlloc cuMemcpyDtoHAsync cuEventRecord cuEventSynchronize".split()
    graph = "cuStreamBeginCapture cuStreamEndCapture cuGraphInstantiateWithFlags cuGraphDestroy cuGraphLaunch".split()
    frees = "cuGraphExecDestroy cuMemFreeHost cuMemFreeHost cuMemFree cuEventDestroy cuStreamDestroy".split()
    end = ["cuCtxPopCurrent", "cuDevicePrimaryCtxRelease"]
    assert calls == [*begin, "cuMemHostAlloc", *pointer, *copies, *graph, *frees, *end]


def test_an_error_of_the_driver_is_named(libcuda: Path) -> None:
    body = """
driver = BindingsDriver()
try:
    run(driver, True)
except CudaError as error:
    print(json.dumps([str(error), error.code, driver.attribute(0, 18)]))
"""
    told, calls = by_bindings(libcuda, body, fail="cuMemHostGetDevicePointer")
    assert told == ["cuMemHostGetDevicePointer says CUDA_ERROR_ILLEGAL_ADDRESS (700)", 700, 180]
    assert calls[-2:] == ["cuMemFreeHost", "cuDeviceGetAttribute"], "what was allocated is given back"
    told, calls = by_bindings(libcuda, body, fail="cuGraphInstantiateWithFlags")
    assert told[0].startswith("cuGraphInstantiate says")
    assert "cuGraphDestroy" in calls


def test_no_driver_is_one_clear_error() -> None:
    pytest.importorskip("cuda.bindings.driver", reason="cuda-bindings is not installed")
    body = """
try:
    count = BindingsDriver().start()
except BackendUnavailable as error:
    count = str(error)
print(json.dumps(count))
"""
    told, _ = by_bindings(None, body)
    if isinstance(told, int):
        pytest.skip("this machine has a CUDA driver")
    assert told.startswith("CUDA does not start (cuInit says ")
    assert told.endswith("'csflow doctor' says what is missing")


def test_absent_libraries_are_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("cuda.bindings.driver", "pycuda", "pycuda.driver"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(
        BackendUnavailable, match=r"cuda-bindings does not load \(.*\): pip .*, or pycuda does not load"
    ):
        cuda.open_driver()
    with pytest.raises(BackendUnavailable, match=r"^cuda-bindings does not load"):
        cuda.open_driver("cuda-bindings")
    with pytest.raises(BackendUnavailable, match=r"^pycuda does not load .*\[pycuda\]'"):
        cuda.open_driver("pycuda")
    monkeypatch.setenv("CSFLOW_CUDA", "opencl")
    with pytest.raises(ConfigError, match="CSFLOW_CUDA='opencl': choose one of auto, cuda-bindings, pycuda"):
        cuda.open_driver()


def test_the_fake_keeps_the_contract() -> None:
    assert run_contract["run"](driver := FakeDriver(), False) == COPIED
    assert driver.live == {}
    assert run_contract["run"](FakeDriver(integrated=True), True) == COPIED


def test_a_session_that_cannot_start_holds_nothing() -> None:
    for at in range(6):
        driver = FakeDriver(fault=Fault(at, 2, sticky=False))
        with pytest.raises(CudaError):
            Session(driver)
        assert (driver.live, driver.lost, driver.depth()) == ({}, [], 0)


def test_the_driver_is_chosen_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "_library", lambda choice: FakeDriver(name=choice, devices=int(choice != "pycuda")))
    assert cuda.open_driver().name == "auto"
    monkeypatch.setenv("CSFLOW_CUDA", "cuda-bindings")
    assert cuda.open_driver().name == "cuda-bindings"
    with pytest.raises(BackendUnavailable, match="pycuda lists no GPU"):
        cuda.open_driver("pycuda")
