"""The results that wait for the controller, and the registers of the one it reads."""

from __future__ import annotations

import math
from collections import deque
from typing import Any

from csflow.runtime.plc.events import Finished
from csflow.runtime.plc.process_image import NO_SHARE, Control

__all__ = ["BUFFERED", "Results", "result_block"]

BUFFERED = 8
"""Results that may wait under BUFFER_RESULTS; else one."""


class Results:
    """A short queue; the oldest is shown until it is acknowledged, and nothing is shown while RESULT_ACK is 1 after."""

    def __init__(self) -> None:
        self._waiting: deque[dict[str, Any]] = deque()
        self._acknowledged = False
        self.sequence = 0
        """Counts the changes of what is shown."""
        self.toggle = False
        """Changes with each result that is shown."""

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def shown(self) -> dict[str, Any]:
        """The registers of the result that is to be read, by name; empty where there is none."""
        return self._waiting[0] if self._waiting and not self._acknowledged else {}

    def full(self, control: Control) -> bool:
        """Whether no further result may come before one is acknowledged."""
        return len(self._waiting) >= (BUFFERED if control & Control.BUFFER_RESULTS else 1)

    def add(self, block: dict[str, Any]) -> None:
        """One more result waits."""
        self._waiting.append(block)
        if len(self._waiting) == 1 and not self._acknowledged:
            self._show()

    def acknowledge(self, control: Control, rose: Control) -> None:
        """Follow RESULT_ACK: its rising edge takes the result away, its fall shows the next one."""
        if rose & Control.RESULT_ACK and self.shown:
            self._waiting.popleft()
            self.sequence += 1
            self._acknowledged = True
        if not control & Control.RESULT_ACK and self._acknowledged:
            self._acknowledged = False
            if self._waiting:
                self._show()

    def clear(self) -> None:
        """Forget all of them."""
        self.sequence += bool(self.shown)
        self._waiting.clear()
        self._acknowledged = False

    def _show(self) -> None:
        self.sequence += 1
        self.toggle = not self.toggle


def result_block(done: Finished, boot_id: int, recipe: int, recipe_crc: int) -> dict[str, Any]:
    """The registers of a result that was made under a boot id and a recipe, by name."""
    finding = done.finding
    peak_x, peak_y = (v if 0 <= v < NO_SHARE else NO_SHARE for v in finding.peak_xy)
    return {
        "verdict": finding.verdict.code,
        "result_trigger_id": done.trigger_id,
        "result_id": done.result_id,
        "quality": finding.quality,
        "reason": finding.reason,
        "score": finding.score,
        "threshold": finding.threshold,
        "ratio_x1000": _share(finding.score / finding.threshold if finding.threshold > 0 else math.nan, 1000),
        "p_x10000": _share(finding.p_value, 10000),
        "recipe_used": recipe,
        "recipe_crc_used": recipe_crc,
        "acquisition_ms": _milliseconds(finding.acquisition_ms),
        "processing_ms": _milliseconds(finding.processing_ms),
        "total_ms": _milliseconds(finding.acquisition_ms + finding.processing_ms),
        "frame_age_ms": _milliseconds(finding.frame_age_ms),
        "peak_x": peak_x,
        "peak_y": peak_y,
        "result_part_id": done.part_id,
        "result_boot_id": boot_id,
    }


def _share(value: float, scale: int) -> int:
    return min(round(value * scale), NO_SHARE - 1) if math.isfinite(value) and value >= 0 else NO_SHARE


def _milliseconds(value: float) -> int:
    return min(round(value), NO_SHARE) if math.isfinite(value) and value >= 0 else NO_SHARE
