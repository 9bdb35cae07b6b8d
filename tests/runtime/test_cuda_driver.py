"""CUDA drivers under one contract: NVIDIA's bindings over a libcuda of malloc, pycuda over a module of its names."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from csflow.runtime import cuda
from csflow.runtime.cuda.api import CudaDriver, CudaError
from csflow.runtime.cuda.fake import FakeDriver, Fault
from csflow.runtime.cuda.pycuda_driver import PycudaDriver
from csflow.runtime.cuda.session import Session
from csflow.runtime.errors import BackendUnavailable, ConfigError

HERE = Path(__file__).parent

# What every driver must do, as a program: the real bindings run it in a process of their own, which loads the fake
# libcuda. It prints the bytes that came back from the GPU.
CONTRACT = """
def run(driver, mapped):
    assert driver.start() == 1
    context = driver.retain(0)
    driver.push(context)
    stream, event = driver.make_stream(), driver.make_event()
    block, memory = driver.host_alloc(16, mapped), driver.malloc(16)
    assert block.array.shape == (16,) and bool(block.device) is mapped
    block.array[:] = range(16)
    driver.copy_to_device(memory, block, 8, stream)
    back = driver.host_alloc(16, False)
    back.array[:] = 0
    driver.copy_to_host(back, memory, 8, stream)
    driver.record(event, stream)
    driver.wait(event)
    copied = back.array.tolist()
    if not driver.no_capture:
        driver.begin_capture(stream)
        graph = driver.end_capture(stream)
        driver.launch(graph, stream)
        driver.destroy_graph(graph)
    for each in (block, back):
        driver.host_free(each)
    driver.free(memory)
    driver.destroy_event(event)
    driver.destroy_stream(stream)
    driver.pop()
    driver.release(0, context)
    return copied
"""
COPIED = [0, 1, 2, 3, 4, 5, 6, 7] + [0] * 8
run_contract: dict[str, Any] = {}
exec(CONTRACT, run_contract)


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
    program = f"{CONTRACT}\nimport json\nfrom csflow.runtime.cuda.bindings_driver import BindingsDriver\n"
    program += (
        f"from csflow.runtime.cuda.api import CudaError\nfrom csflow.runtime.errors import BackendUnavailable\n{body}"
    )
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
    with pytest.raises(BackendUnavailable, match=r"^pycuda does not load .*csflow\[pycuda\]"):
        cuda.open_driver("pycuda")
    monkeypatch.setenv("CSFLOW_CUDA", "opencl")
    with pytest.raises(ConfigError, match="CSFLOW_CUDA='opencl': choose one of auto, cuda-bindings, pycuda"):
        cuda.open_driver()


class FakeError(Exception):
    """pycuda.driver.Error."""


class FakeMemoryError(FakeError, MemoryError):
    """pycuda.driver.MemoryError."""


def fake_pycuda(calls: list[str]) -> ModuleType:
    """`pycuda.driver` as far as csflow uses it (names read in pycuda 2026.1's wrap_cudadrv.cpp), over malloc."""
    module: Any = ModuleType("pycuda.driver")
    module.Error, module.MemoryError = FakeError, FakeMemoryError
    module.device_attribute = int
    module.host_alloc_flags = SimpleNamespace(DEVICEMAP=2)
    module.event_flags = SimpleNamespace(BLOCKING_SYNC=1, DISABLE_TIMING=2)

    class Context:
        def push(self) -> None:
            calls.append("push")

        @staticmethod
        def pop() -> None:
            calls.append("pop")

        def detach(self) -> None:
            calls.append("detach")

    class Device:
        def __init__(self, number: int) -> None:
            assert number == 0

        @staticmethod
        def count() -> int:
            return 1

        def get_attribute(self, number: int) -> int:
            return number

        def retain_primary_context(self) -> Context:
            calls.append("retain_primary_context")
            return Context()

    class Allocation:
        def __init__(self, size: int) -> None:
            self._memory = (ctypes.c_uint8 * size)()

        def __int__(self) -> int:
            return ctypes.addressof(self._memory)

        get_device_pointer = __int__

        def free(self) -> None:
            calls.append("free")

    class Stream:
        handle = 0x200

        def __init__(self, flags: int = 0) -> None:
            assert flags == 1

    class Event:
        def __init__(self, flags: int) -> None:
            assert flags == 3

        def record(self, stream: Stream) -> None:
            assert isinstance(stream, Stream)

        def synchronize(self) -> None:
            calls.append("synchronize")

    class Array(np.ndarray[Any, Any]):
        base: Any = None

    def mem_alloc(size: int) -> Allocation:
        if size > 1 << 40:
            raise FakeMemoryError("cuMemAlloc failed: out of memory")
        return Allocation(size)

    def pagelocked_empty(shape: int, dtype: Any, order: str = "C", mem_flags: int = 0) -> Any:
        calls.append(f"pagelocked_empty {order} {mem_flags}")
        array = np.zeros(shape, dtype).view(Array)
        return SimpleArray(array, Allocation(shape))

    def memcpy_htod_async(dest: int, src: Any, stream: Stream) -> None:
        assert isinstance(stream, Stream)
        ctypes.memmove(dest, bytes(src), len(src))

    def memcpy_dtoh_async(dest: Any, src: int, stream: Stream) -> None:
        assert isinstance(stream, Stream)
        dest[:] = np.frombuffer(ctypes.string_at(src, len(dest)), np.uint8)

    module.Context, module.Device, module.Stream, module.Event = Context, Device, Stream, Event
    module.mem_alloc, module.pagelocked_empty = mem_alloc, pagelocked_empty
    module.memcpy_htod_async, module.memcpy_dtoh_async = memcpy_htod_async, memcpy_dtoh_async
    module.init = lambda: calls.append("init")
    return module


class SimpleArray:
    """An array whose `base` is the allocation, as pycuda's are; numpy's own `base` cannot be set."""

    def __init__(self, array: Any, base: Any) -> None:
        self.array, self.base, self.shape = array, base, array.shape

    def __getitem__(self, where: Any) -> Any:
        return self.array[where]

    def __setitem__(self, where: Any, value: Any) -> None:
        self.array[where] = value

    def tolist(self) -> Any:
        return self.array.tolist()


@pytest.fixture
def pycuda(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., tuple[CudaDriver, list[str]]]]:
    """`pycuda(capture=False)`: the driver over the fake module, with cuda-bindings beside it or not; and its calls."""

    def make(capture: bool = False) -> tuple[CudaDriver, list[str]]:
        calls: list[str] = []
        package: Any = ModuleType("pycuda")
        package.VERSION_TEXT, package.__path__ = "2026.1", []
        monkeypatch.setitem(sys.modules, "pycuda", package)
        monkeypatch.setitem(sys.modules, "pycuda.driver", fake_pycuda(calls))
        if not capture:
            monkeypatch.setitem(sys.modules, "cuda.bindings.driver", None)
        return PycudaDriver(), calls

    yield make
    assert "pycuda.autoinit" not in sys.modules


@pytest.mark.parametrize("mapped", [False, True])
def test_pycuda_keeps_the_contract(pycuda: Callable[..., Any], mapped: bool) -> None:
    driver, calls = pycuda()
    assert run_contract["run"](driver, mapped) == COPIED
    assert calls[:3] == ["init", "retain_primary_context", "push"]
    assert calls[3] == f"pagelocked_empty C {2 * mapped}"
    assert calls[-5:] == ["free", "free", "free", "pop", "detach"]
    assert driver._kept == {}, "streams and events end with their objects"


def test_pycuda_captures_by_nvidias_bindings_or_says_that_it_cannot(pycuda: Callable[..., Any]) -> None:
    alone, _ = pycuda()
    assert alone.no_capture == "pycuda has no CUDA graphs: pip install cuda-bindings beside it"
    with pytest.raises(CudaError, match="pycuda has no CUDA graphs"):
        alone.begin_capture(0x200)


def test_errors_of_pycuda_are_translated(pycuda: Callable[..., Any]) -> None:
    driver, _ = pycuda()
    with pytest.raises(CudaError, match=r"mem_alloc says cuMemAlloc failed: out of memory \(2\)") as caught:
        driver.malloc(1 << 50)
    assert caught.value.step.startswith("close other programs")


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
