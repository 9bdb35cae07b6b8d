"""The CUDA probe against a driver library that is compiled here: good, refusing, crashing, hanging."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from csflow.runtime.machine.machine import Answer, ask_child

# The signatures of cuda.h. Each attribute has its own number as value, each device the handle ordinal + 7.
DRIVER = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
int cuInit(unsigned flags) {
    const char *mode = getenv("FAKE_CUDA");
    if (!strcmp(mode, "crash")) abort();
    if (!strcmp(mode, "hang")) for (;;) sleep(1);
    return flags ? 1 : atoi(mode);
}
int cuGetErrorName(int code, const char **name) { *name = code == 803 ? "CUDA_ERROR_MISMATCH" : 0; return 0; }
int cuDriverGetVersion(int *version) { *version = 12060; return 0; }
int cuDeviceGetCount(int *count) { *count = 2; return 0; }
int cuDeviceGet(int *device, int ordinal) { *device = ordinal + 7; return 0; }
int cuDeviceGetName(char *name, int length, int device) { snprintf(name, length, "Fake %d", device); return 0; }
int cuDeviceTotalMem_v2(size_t *bytes, int device) { *bytes = ((size_t)device) << 40; return 0; }
int cuDeviceGetAttribute(int *value, int attribute, int device) { *value = attribute; return device < 7; }
"""


@pytest.fixture(scope="module")
def driver_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("there is no C compiler")
    folder = tmp_path_factory.mktemp("driver")
    (folder / "driver.c").write_text(DRIVER)
    command = [compiler, "-shared", "-fPIC", "-o", folder / "libcuda.so.1", folder / "driver.c"]
    subprocess.run(command, check=True, timeout=60)
    return folder


@pytest.fixture
def _driver(driver_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [str(driver_folder), *filter(None, [os.environ.get("LD_LIBRARY_PATH")])]
    monkeypatch.setenv("LD_LIBRARY_PATH", ":".join(paths))


@pytest.mark.usefixtures("_driver")
def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_CUDA", "0")
    known = {"major": 75, "minor": 76, "multiprocessors": 16, "integrated": 18}
    devices = [{"name": f"Fake {handle}", "memory": handle << 40, **known} for handle in (7, 8)]
    assert ask_child("cuda") == Answer({"code": 0, "cuda": 12060, "devices": devices})


@pytest.mark.usefixtures("_driver")
@pytest.mark.parametrize(
    ("mode", "values", "problem"),
    [
        ("803", {"code": 803}, "cuInit says CUDA_ERROR_MISMATCH (803)"),
        ("4242", {"code": 4242}, "cuInit says unknown error (4242)"),
        ("crash", {}, "crashed with SIGABRT"),
    ],
)
def test_a_driver_that_does_not_start(
    monkeypatch: pytest.MonkeyPatch, mode: str, values: dict[str, int], problem: str
) -> None:
    monkeypatch.setenv("FAKE_CUDA", mode)
    assert ask_child("cuda") == Answer(values, problem)


@pytest.mark.usefixtures("_driver")
def test_a_driver_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_CUDA", "hang")
    assert ask_child("cuda", timeout_s=3) == Answer(problem="gave no answer within 3 s")
