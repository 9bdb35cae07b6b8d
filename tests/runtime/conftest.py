"""A machine for doctor to examine, described by the test; a fake GPU with a fake TensorRT on it; a pipe."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.engines.cuda.fake import FakeDriver
from csflow.runtime.machine import probes
from csflow.runtime.machine.machine import Answer, Machine

from . import fake_trt as fake

NO_LIBRARY = Answer({"code": -1}, "libcuda.so.1: cannot open shared object file")
REQUIREMENTS = (
    "click>=8.1",
    'opencv-python-headless>=4.8; extra == "camera"',
    'openvino>=2024.6; extra == "openvino"',
    'csflow[camera]; extra == "openvino"',
    'torch>=2.9; extra == "train"',
    'csflow[train]; extra == "export"',
    "onnx>=1.17; extra == 'export'",
)


class Fake:
    """Builds a `Machine` over a folder; everything not stated is absent."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def __call__(
        self,
        files: Mapping[str, str] | None = None,
        answers: Mapping[str, Answer] | None = None,
        versions: Mapping[str, str] | None = None,
        modules: Mapping[str, str] | None = None,
        **other: Any,
    ) -> Machine:
        for name, text in (files or {}).items():
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            (self.root / name).write_text(text)
        known = {"cuda": NO_LIBRARY, **(answers or {})}
        paths = {name: Path(path) for name, path in (modules or {}).items()}
        parts: dict[str, Any] = {
            "root": self.root,
            "ask": lambda *question: known[" ".join(question)],
            "version": (versions or {}).get,
            "module": paths.get,
            "requirements": lambda: REQUIREMENTS,
            "which": lambda _: None,
            "usable": lambda _: True,
            "cores": lambda: 2,
            "disk_free": lambda _: 10**12,
        }
        return Machine(**{**parts, **other})


@pytest.fixture
def machine(tmp_path: Path) -> Callable[..., Machine]:
    """`machine(files, answers, versions, modules, **parts)` over an empty folder."""
    return Fake(tmp_path / "root")


Install = Callable[..., Any]


@pytest.fixture(scope="session")
def fake_trt() -> ModuleType:
    """The module tests/runtime/fake_trt.py."""
    return fake


@pytest.fixture
def stage(fake_trt: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Install:
    """`stage(driver, version="10.3")` puts a fake TensorRT on a fake GPU; gives its `Stage`."""

    def install(driver: FakeDriver | None = None, version: str = "10.3") -> Any:
        made = fake_trt.make_stage(driver or FakeDriver(), version)
        monkeypatch.setitem(sys.modules, "tensorrt", made.module)
        monkeypatch.setattr(probes, "cuda", lambda: {"code": 0, "devices": [fake_trt.GPU]})
        return made

    return install


@pytest.fixture
def trt_bundle(calibrated_bundle: Bundle, fake_trt: ModuleType) -> Bundle:
    """The calibrated bundle with graphs that the fake TensorRT runs."""
    made: Bundle = fake_trt.with_graphs(calibrated_bundle)
    return made


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Both ends, reading and writing; what a test leaves open is closed."""
    ends = os.pipe()
    yield ends
    for descriptor in ends:
        with contextlib.suppress(OSError):
            os.close(descriptor)
