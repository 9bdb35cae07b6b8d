"""libcsflow for other compilers and languages: aarch64, C#, a PLC's C interface."""

from __future__ import annotations

import re
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from csflow.runtime.bundle.directory import Bundle

from .conftest import UNITY

NATIVE = Path(__file__).resolve().parents[2] / "runtime" / "native"
AARCH64 = 183
IEC_BYTES = {"BOOL": 1, "BYTE": 1, "UINT": 2, "UDINT": 4, "DINT": 4, "LREAL": 8, "ULINT": 8}
Run = Callable[..., str]
Build = Callable[..., Path]

PLC_MAIN = """
#include "csflow_inspect.h"
#include <stddef.h>
#include <stdio.h>
#include <string.h>
static uint8_t pixels[9 * 9 * 3];
int main(int count, char **words) {
    csflow_inspect block;
    csflow_image image;
    memset(&image, 0, sizeof image);
    memset(pixels, 100, sizeof pixels);
    image.struct_size = sizeof image;
    image.format = CSFLOW_FORMAT_RGB8;
    image.width = image.height = 9;
    image.row_stride = 27;
    image.data = pixels;
    printf("%zu %zu %zu\\n", offsetof(csflow_inspect, verdict_code), offsetof(csflow_inspect, detector), sizeof block);
    const int32_t status = csflow_inspect_open(&block, "/nonexistent", "fake");
    printf("%d %d\\n", (int)status, block.fault);
    csflow_inspect_cycle(&block, &image);
    printf("%d %d %d\\n", block.fault, block.error, block.verdict_code == CSFLOW_CODE_OK);
    if (count < 2 || csflow_inspect_open(&block, words[1], "fake") != CSFLOW_OK) return 1;
    block.req = 1;
    do csflow_inspect_cycle(&block, &image); while (block.busy);
    printf("%d %d %d %x\\n", block.done, block.error, block.fault, block.verdict_code);
    csflow_inspect_close(&block);
    return 0;
}
"""


def test_the_plc_block(built: Path, calibrated_bundle: Bundle, run: Run, tmp_path: Path) -> None:
    folder = NATIVE / "examples" / "plc"
    (tmp_path / "main.c").write_text(PLC_MAIN)
    sources = (tmp_path / "main.c", folder / "csflow_inspect.c")
    flags = ("-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", f"-I{folder}", f"-I{NATIVE / 'include'}")
    run("cc", *flags, *sources, f"-L{built}", "-lcsflow", f"-Wl,-rpath,{built}", "-o", tmp_path / "plc")
    text = (folder / "inspect.st").read_text().partition("END_FUNCTION_BLOCK")[0]
    sizes = [IEC_BYTES[kind] for kind in re.findall(r": (\w+);", text)]
    said = run(tmp_path / "plc", calibrated_bundle.path).splitlines()
    assert said == [f"6 {sum(sizes[:-1])} {sum(sizes)}", "-4 1", "1 1 0", "1 0 0 5aa5"]


@pytest.mark.skipif(shutil.which("mcs") is None or shutil.which("mono") is None, reason="mono-mcs is not installed")
def test_csharp(built: Path, binding: ModuleType, calibrated_bundle: Bundle, run: Run, tmp_path: Path) -> None:
    program = tmp_path / "Csflow.exe"
    run("mcs", "-warnaserror", f"-out:{program}", NATIVE / "examples" / "Csflow.cs")
    layouts = {
        f"{name}.{field} {getattr(structure, field).offset} {getattr(structure, field).size}"
        for name, structure in binding.STRUCTURES.items()
        for field, *_ in structure._fields_
    }
    shown = run("mono", program, "--layout").splitlines()
    assert len(shown) == 36
    assert set(shown) < layouts
    np.full((7, 9, 3), 51, np.uint8).tofile(tmp_path / "dark")
    command = ("mono", program, calibrated_bundle.path, "fake", 9, 7, tmp_path / "dark")
    verdict, score = run(*command, LD_LIBRARY_PATH=str(built)).split()
    assert (verdict, np.float32(score)) == ("accept", np.float32(0.2))


@pytest.fixture
def for_aarch64(build: Build) -> Callable[..., Path]:
    """`for_aarch64(*targets) -> folder`, compiled by Debian's cross compiler."""
    if shutil.which("aarch64-linux-gnu-g++") is None:
        pytest.skip("g++-aarch64-linux-gnu is not installed")
    tools = [
        f"-DCMAKE_{language}_COMPILER=aarch64-linux-gnu-{tool}" for language, tool in (("C", "gcc"), ("CXX", "g++"))
    ]
    system = (
        "-DCMAKE_SYSTEM_NAME=Linux",
        "-DCMAKE_SYSTEM_PROCESSOR=aarch64",
        "-DCMAKE_BUILD_TYPE=Debug",
        "-DCMAKE_CXX_FLAGS_DEBUG=-O1",
    )
    headers = ("-DCSFLOW_JSON_INCLUDE=/usr/include", "-DCSFLOW_STB_INCLUDE=/usr/include/stb")
    emulator = "-DCMAKE_CROSSCOMPILING_EMULATOR=qemu-aarch64;-L;/usr/aarch64-linux-gnu"
    return lambda *targets: build("aarch64", *system, *tools, *headers, emulator, *UNITY, targets=targets)


@pytest.mark.slow
def test_it_compiles_for_aarch64(for_aarch64: Callable[..., Path]) -> None:
    head = (for_aarch64("csflow") / "libcsflow.so").resolve().read_bytes()[:20]
    assert head[:5] == b"\x7fELF\x02"
    assert struct.unpack_from("<H", head, 18) == (AARCH64,)


@pytest.mark.soak
@pytest.mark.skipif(shutil.which("qemu-aarch64") is None, reason="qemu-user is not installed")
def test_it_works_on_aarch64(for_aarch64: Callable[..., Path], run: Run) -> None:
    said = run("ctest", "--test-dir", for_aarch64(), "--output-on-failure", CSFLOW_TEST_EMULATED="1")
    assert "100% tests passed" in said
