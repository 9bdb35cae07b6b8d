"""The pycuda driver under the contract of every driver, over a module with pycuda's names."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from csflow.runtime.engines.cuda.api import CudaDriver, CudaError
from csflow.runtime.engines.cuda.pycuda_driver import PycudaDriver

from .cuda_contract import COPIED, run_contract


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
