"""Names that programs of users import: those of the embedding page, and what earlier documentation gave."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from csflow.runtime.moved import MOVED

NAMES = [
    ("csflow.runtime", "Detector"),
    ("csflow.runtime.stream", "run_stream"),
    ("csflow.runtime.sinks.background", "BackgroundSink"),
    ("csflow.runtime.sinks.overlay", "OverlaySink"),
    ("csflow.runtime.sink", "ResultSink"),
    ("csflow.runtime.source", "FrameSource"),
    ("csflow.runtime.errors", "CSFlowError"),
    ("csflow.runtime.decision", "load_calibration"),
    ("csflow.runtime.doctor", "examine"),
    ("csflow.runtime.machine", "Machine"),
    ("csflow.runtime.synthetic", "render_part"),
    ("csflow.runtime.plan", "read_plan_header"),
    ("csflow.runtime.plan_record", "read_record"),
    ("csflow.runtime.tensorrt_library", "load_library"),
    ("csflow.runtime.preprocess", "preprocess"),
]


@pytest.mark.parametrize(("module", "name"), NAMES)
def test_a_name_that_users_import_is_there_in_a_fresh_interpreter(module: str, name: str) -> None:
    code = f"from {module} import {name}; print({name}.__name__)"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, name), done.stderr


@pytest.mark.parametrize("old", MOVED)
def test_an_old_name_is_the_same_module_and_not_a_copy(old: str) -> None:
    assert importlib.import_module(old) is importlib.import_module(MOVED[old])
    module = importlib.import_module(MOVED[old])
    assert module.__spec__ is not None
    assert module.__name__ == module.__spec__.name == MOVED[old]
