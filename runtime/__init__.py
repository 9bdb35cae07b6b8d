"""csflow's runtime: a bundle, an engine, a source of frames, verdicts. Needs numpy, Pillow and click alone.

Names are imported on first use, so that `csflow --help` answers at once.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from csflow.runtime.moved import install

if TYPE_CHECKING:
    from csflow.runtime.bundle.directory import Bundle
    from csflow.runtime.detector import Detector
    from csflow.runtime.engine import Engine
    from csflow.runtime.engines.opening import open_engine
    from csflow.runtime.errors import CSFlowError, EndOfStream
    from csflow.runtime.sink import ResultSink
    from csflow.runtime.source import FrameSource, open_source
    from csflow.runtime.types import Frame, Prediction, Result, Verdict

_HOME = {
    "Bundle": "bundle.directory",
    "CSFlowError": "errors",
    "Detector": "detector",
    "EndOfStream": "errors",
    "Engine": "engine",
    "Frame": "types",
    "FrameSource": "source",
    "Prediction": "types",
    "Result": "types",
    "ResultSink": "sink",
    "Verdict": "types",
    "open_engine": "engines.opening",
    "open_source": "source",
}

__all__ = [
    "Bundle",
    "CSFlowError",
    "Detector",
    "EndOfStream",
    "Engine",
    "Frame",
    "FrameSource",
    "Prediction",
    "Result",
    "ResultSink",
    "Verdict",
    "open_engine",
    "open_source",
]

install()


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
