"""What OpenVINO can compute a bundle in on this processor."""

from __future__ import annotations

from typing import Any

from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.engines.name import EngineName
from csflow.runtime.engines.openvino.core import VERSION, has_bf16, new_core
from csflow.runtime.engines.openvino.engine import OpenVINOEngine
from csflow.runtime.engines.stages import OPENVINO, stages
from csflow.runtime.machine.machine import processor_instructions

__all__ = ["OpenVINOVariants"]


class OpenVINOVariants:
    """`csflow.runtime.engines.precision.Variants` of OpenVINO: those of `OPENVINO` that processor and bundle have."""

    backend = "openvino"

    def __init__(self, bundle: Bundle, mode: str = "latency", threads: int | None = None) -> None:
        """Ask the processor; mode and threads are those of `OpenVINOEngine`."""
        core = new_core()
        first, *others = OPENVINO
        self.precisions = (first, *(p for p in others if _runs(bundle, p, has_bf16(core))))
        self.setting: dict[str, Any] = {
            "openvino": VERSION,
            "processor": core.get_property("CPU", "FULL_DEVICE_NAME"),
            "instructions": processor_instructions(),
            "mode": mode,
            "threads": threads,
        }
        self._bundle, self._mode, self._threads = bundle, mode, threads

    def open(self, precision: str) -> OpenVINOEngine:
        """An engine of that precision; raises as `OpenVINOEngine` does."""
        return OpenVINOEngine(self._bundle, precision, self._mode, self._threads)


def _runs(bundle: Bundle, precision: str, bf16: bool) -> bool:
    parts = precision.split("+")
    if len(parts) not in (1, len(bundle.manifest.graphs)) or ("bf16" in parts and not bf16):
        return False
    return all(bundle.has(stage.file) for stage in stages(bundle.manifest, EngineName("openvino", precision)))
