"""A fake GPU with a fake TensorRT on it."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from csflow.runtime import probes
from csflow.runtime.cuda.fake import FakeDriver

Install = Callable[..., Any]


@pytest.fixture(scope="session")
def fake_trt() -> ModuleType:
    """The module tests/runtime/fake_trt.py."""
    spec = importlib.util.spec_from_file_location("fake_trt", Path(__file__).parent / "fake_trt.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def stage(fake_trt: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Install:
    """`stage(driver, version="10.3")` puts a fake TensorRT on a fake GPU; gives its `Stage`."""

    def install(driver: FakeDriver | None = None, version: str = "10.3") -> Any:
        made = fake_trt.make_stage(driver or FakeDriver(), version)
        monkeypatch.setitem(sys.modules, "tensorrt", made.module)
        monkeypatch.setattr(probes, "cuda", lambda: {"code": 0, "devices": [fake_trt.GPU]})
        return made

    return install
