"""Makes tensorrt_api.json: names and numbers of TensorRT's Python API by version, as far as csflow may use them.

    make_tensorrt_api.py 10.3=tensorrt_cu12_bindings-10.3.0-*.whl rtx-1.7=tensorrt_rtx_cu13_bindings-1.7*.whl ...
    make_tensorrt_api.py --dumps ../shared/data/tensorrt_api

Wheels of the bindings come from pip (`pip download --no-deps tensorrt-cu12-bindings==10.3.0`) and must fit this Python.
They import without NVIDIA's libraries: functions that those would give are compiled here as stubs (needs cc), which is
enough to list names. A dump is such a list as a text file, one 'Class.name' or 'Class.NAME=number' a line.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

TABLE = Path(__file__).with_name("tensorrt_api.json")
CLASSES = re.compile(
    r"Builder|BuilderFlag|ComputeCapability|CudaGraphStrategy|DataType|DeviceType|EngineInspector|EngineValidity|ErrorCode"
    r"|ExecutionContextAllocationStrategy|HardwareCompatibilityLevel|IBuilderConfig|ICudaEngine|IExecutionContext"
    r"|IHostMemory|ILogger|INetworkDefinition|IOptimizationProfile|IProgressMonitor|IRuntimeCache|IRuntimeConfig|ITensor"
    r"|ITimingCache|LayerInformationFormat|MemoryPoolType|NetworkDefinitionCreationFlag|OnnxParser|OnnxParserFlag"
    r"|ParserError|ProfilingVerbosity|Runtime|SerializationFlag|TensorIOMode|TensorLocation"
)
DUMPS = {"10.3": "api_trt_10.3", "10.13": "api_trt_10.13", "11.4": "api_trt_11.4", "rtx-1.7": "api_rtx_1.7"}
UNUSED = ("INetworkDefinitionadd_",)
"""csflow adds no layers: parsers do."""
STUBS = (
    "createInferBuilder_INTERNAL createInferRefitter_INTERNAL createInferRuntime_INTERNAL createNvOnnxParser_INTERNAL "
    "createNvOnnxParserRefitter_INTERNAL getBuilderPluginRegistry getNvOnnxParserVersion getPluginRegistry "
    "initLibNvInferPlugins"
).split()


def listed(module: ModuleType) -> Iterator[str]:
    """Names and numbers of a module's classes, as a dump has them."""
    for owner, value in vars(module).items():
        if isinstance(value, type):
            numbers = getattr(value, "__members__", None)
            for name in dir(value) if numbers is None else numbers:
                yield f"{owner}.{name}" if numbers is None else f"{owner}.{name}={int(numbers[name])}"


def reduced(lines: Iterable[str]) -> dict[str, Any]:
    """By class: sorted names, or for an enumeration its names and numbers. Private names are dropped."""
    classes: dict[str, Any] = {}
    for line in lines:
        owner, _, rest = line.strip().partition(".")
        name, _, number = rest.partition("=")
        if not CLASSES.fullmatch(owner) or name.startswith("_") or owner + name[:4] in UNUSED:
            continue
        if number:
            classes.setdefault(owner, {})[name] = int(number)
        else:
            classes.setdefault(owner, set()).add(name)
    return {owner: names if isinstance(names, dict) else sorted(names) for owner, names in sorted(classes.items())}


def list_module(path: Path) -> None:
    """Print what a bindings module (.so) holds; its libraries are found by LD_LIBRARY_PATH."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    print("\n".join(listed(module)))


def of_wheel(wheel: Path) -> dict[str, Any]:
    """The table of a bindings wheel."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        zipfile.ZipFile(wheel).extractall(folder)
        (module,) = folder.glob("*_bindings/tensorrt*.so")
        needed = re.findall(
            r"lib\w*(?:nvinfer|nvonnxparser|tensorrt)[\w]*\.so\.\d+", module.read_bytes().decode("latin-1")
        )
        stubs = folder / "stubs.c"
        stubs.write_text("\n".join(f"void* {function}(void) {{ return 0; }}" for function in STUBS))
        for library in sorted(set(needed)):
            subprocess.run(["cc", "-shared", "-fPIC", "-o", folder / library, stubs], check=True)
        command = [sys.executable, __file__, "--list", str(module)]
        environment = {"LD_LIBRARY_PATH": str(folder)}
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
        return reduced(done.stdout.splitlines())


def of_dumps(folder: Path) -> dict[str, Any]:
    """The whole table from dumps."""
    return {label: reduced((folder / f"{file}.txt").read_text().splitlines()) for label, file in DUMPS.items()}


def dumped(table: dict[str, Any]) -> str:
    """JSON with one class a line, so that a difference is one line."""
    versions = []
    for label, classes in table.items():
        lines = [
            f"  {json.dumps(owner)}: {json.dumps(names, separators=(',', ':'))}" for owner, names in classes.items()
        ]
        versions.append(f"{json.dumps(label)}: {{\n" + ",\n".join(lines) + "\n}")
    return "{\n" + ",\n".join(versions) + "\n}\n"


def main() -> None:
    """Replace the versions that are given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheels", nargs="*", metavar="LABEL=WHEEL")
    parser.add_argument("--dumps", type=Path, metavar="DIR")
    parser.add_argument("--list", type=Path, metavar="FILE", help="print the names of one bindings module (.so)")
    given = parser.parse_args()
    if given.list:
        list_module(given.list)
        return
    table = json.loads(TABLE.read_text()) if TABLE.exists() else {}
    table |= of_dumps(given.dumps) if given.dumps else {}
    for label, wheel in (each.split("=", 1) for each in given.wheels):
        table[label] = of_wheel(Path(wheel))
    TABLE.write_text(dumped(dict(sorted(table.items()))))


if __name__ == "__main__":
    main()
