"""What `csflow doctor` asks in child processes: each probe prints one line of JSON, `problem` saying what failed.

These load drivers and libraries that may hang or crash, so only `csflow.runtime.machine.machine.ask_child` runs them.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import sys
from collections.abc import Callable
from typing import Any

from csflow.runtime.machine.telemetry import without_telemetry

__all__ = ["cuda", "main", "opencv", "openvino", "tensorrt"]

# CUdevice_attribute of cuda.h; the numbers are ABI.
ATTRIBUTES = {"major": 75, "minor": 76, "multiprocessors": 16, "integrated": 18}


def cuda() -> dict[str, Any]:
    """The CUDA driver and its devices through libcuda.so.1: `cuda` as 1000 major + 10 minor, memory in bytes.

    `code` is 0, a CUresult, or -1 where the library does not load.
    """
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        return {"code": -1, "problem": str(error)}
    if code := driver.cuInit(0):
        return {"code": code, "problem": f"cuInit says {_error_name(driver, code)}"}
    version, count = ctypes.c_int(), ctypes.c_int()
    driver.cuDriverGetVersion(ctypes.byref(version))
    driver.cuDeviceGetCount(ctypes.byref(count))
    return {"code": 0, "cuda": version.value, "devices": [_device(driver, i) for i in range(count.value)]}


def _error_name(driver: Any, code: int) -> str:
    name = ctypes.c_char_p()
    driver.cuGetErrorName(code, ctypes.byref(name))
    return f"{(name.value or b'unknown error').decode()} ({code})"


def _device(driver: Any, ordinal: int) -> dict[str, Any]:
    handle, name, memory = ctypes.c_int(), ctypes.create_string_buffer(256), ctypes.c_size_t()
    driver.cuDeviceGet(ctypes.byref(handle), ordinal)
    driver.cuDeviceGetName(name, len(name), handle)
    driver.cuDeviceTotalMem_v2(ctypes.byref(memory), handle)
    values = {key: _attribute(driver, number, handle) for key, number in ATTRIBUTES.items()}
    return {"name": name.value.decode(errors="replace"), "memory": memory.value, **values}


def _attribute(driver: Any, number: int, handle: ctypes.c_int) -> int:
    value = ctypes.c_int()
    driver.cuDeviceGetAttribute(ctypes.byref(value), number, handle)
    return value.value


def tensorrt(module: str) -> dict[str, Any]:
    """Version of `tensorrt` or `tensorrt_rtx` as its library says it."""
    # TensorRT may crash where CUDA was not initialised first.
    cuda()
    return {"version": str(importlib.import_module(module).__version__)}


def openvino() -> dict[str, Any]:
    """OpenVINO's version and, by device, full name and capabilities."""
    with without_telemetry():
        import openvino as library

    core = library.Core()
    devices = {
        name: {
            "name": str(core.get_property(name, "FULL_DEVICE_NAME")).strip(),
            "capabilities": sorted(map(str, core.get_property(name, "OPTIMIZATION_CAPABILITIES"))),
        }
        for name in core.available_devices
    }
    return {"version": library.__version__, "devices": devices}


def opencv() -> dict[str, Any]:
    """OpenCV's version and the text of its build information."""
    import cv2

    return {"version": cv2.__version__, "build": cv2.getBuildInformation()}


PROBES: dict[str, Callable[..., dict[str, Any]]] = {
    "cuda": cuda,
    "opencv": opencv,
    "openvino": openvino,
    "tensorrt": tensorrt,
}


def main() -> None:
    """Run the probe that the arguments name and print its answer."""
    _, name, *arguments = sys.argv
    try:
        values = PROBES[name](*arguments)
    except (ImportError, OSError) as error:
        # The loader's own words are what a user can search for.
        values = {"problem": " ".join(f"{type(error).__name__}: {error}".split())}
    print(json.dumps(values))
