"""An edge box has numpy, Pillow and click: the runtime and every --help must work there (docs/architecture.md)."""

from __future__ import annotations

import subprocess
import sys

import pytest

from csflow.runtime import __all__ as runtime_names
from csflow.runtime.cli.main import COMMANDS

HEAVY = [
    "torch",
    "torchvision",
    "timm",
    "onnx",
    "onnxscript",
    "onnxruntime",
    "tensorrt",
    "tensorrt_rtx",
    "pycuda",
    "cuda",
    "openvino",
    "cv2",
    "simplejpeg",
    "sklearn",
    "scipy",
    "matplotlib",
    "safetensors",
    "jinja2",
    "tqdm",
    "genicam",
    "gpiod",
    "harvesters",
    "paho",
    "pypylon",
    "starlette",
    "uvicorn",
    "prometheus_client",
    "snap7",
    "asyncua",
    "cryptography",
    "ray",
]
BLOCKER = f"""
import importlib.abc, sys
HEAVY = {HEAVY!r}
class Blocker(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.split(".")[0] in HEAVY:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocker())
"""


def without_heavy(code: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-c", BLOCKER + code]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def help_of(*arguments: str) -> subprocess.CompletedProcess[str]:
    call = f"main({[*arguments, '--help']!r}, prog_name='csflow')"
    return without_heavy(f"from csflow.runtime.cli.main import main; {call}")


def test_the_blocker_blocks() -> None:
    code = """
for name in HEAVY:
    try:
        __import__(name)
    except ModuleNotFoundError:
        print(name)
"""
    assert without_heavy(code).stdout.split() == HEAVY


def test_every_public_name_of_the_runtime() -> None:
    done = without_heavy(f"import csflow.runtime as r\nfor n in {runtime_names!r}: print(getattr(r, n))")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == len(runtime_names)


def test_help_of_the_group_names_every_command() -> None:
    done = help_of()
    assert done.returncode == 0, done.stderr
    for command in COMMANDS:
        assert f"  {command} " in done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command(command: str) -> None:
    done = help_of(command)
    assert done.returncode == 0, done.stderr
    assert f"csflow {command}" in done.stdout


def test_a_missing_backend_is_one_line_that_names_the_extra() -> None:
    code = """
import tempfile
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.engines.opening import open_engine
from csflow.runtime.errors import BackendUnavailable
from csflow.runtime.bundle.manifest import Definitions, Manifest, Preprocessing
with tempfile.TemporaryDirectory() as folder:
    bundle = Bundle.create(folder, Manifest(Preprocessing(64), Definitions(), {}, {}, {}), {})
    for backend in ("openvino", "torch"):
        try:
            open_engine(bundle, backend)
        except BackendUnavailable as error:
            print(error)
"""
    done = without_heavy(code)
    assert done.returncode == 0, done.stderr
    assert "[openvino]'" in done.stdout
    assert "[train]'" in done.stdout
    assert len(done.stdout.splitlines()) == 2
