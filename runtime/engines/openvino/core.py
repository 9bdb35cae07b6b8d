"""OpenVINO's entry, made so that it leaves the caller's signal stack alone."""

from __future__ import annotations

import contextlib
import ctypes
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openvino

__all__ = ["has_bf16", "new_core", "return_free_memory"]


def new_core() -> Any:
    """An `openvino.Core` with its CPU plugin loaded.

    The plugin gives the thread that loads it an alternate signal stack and unmaps it when it is unloaded. Of two
    cores released in the order of their making, the second one puts back the first one's stack, which is gone by
    then: the next signal that Python handles there, Ctrl-C for one, ends the process with a segmentation fault (seen
    with OpenVINO 2026.4). So a thread that ends at once loads it.
    """
    with ThreadPoolExecutor(1, "csflow-openvino") as pool:
        return pool.submit(_load).result()


def has_bf16(core: Any) -> bool:
    """Whether the processor computes in bfloat16; elsewhere OpenVINO takes float32 in silence."""
    return "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def return_free_memory() -> None:
    """Give what compiling needed and freed back to the system.

    glibc keeps it for the process otherwise: a quarter of what stays resident (docs/benchmarks.md). Other C libraries
    have no such function, and need none.
    """
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def _load() -> Any:
    core = openvino.Core()
    core.get_property("CPU", "FULL_DEVICE_NAME")
    return core
