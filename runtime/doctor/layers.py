"""Where the time of a frame goes inside the engine: by kind of operation, and the operations that take most of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from csflow.runtime.detector import Detector
from csflow.runtime.engine import Layer, ProfiledEngine
from csflow.runtime.errors import BackendUnavailable
from csflow.runtime.types import Frame

__all__ = ["Profile", "profile"]

ROUNDS = 10
TOP = 12
"""Operations that are named one by one."""


@dataclass(frozen=True)
class Profile:
    """The operations of an engine, in running order."""

    engine: str
    layers: tuple[Layer, ...]

    @property
    def total_s(self) -> float:
        """Seconds of all together."""
        return sum(layer.seconds for layer in self.layers)

    def kinds(self) -> list[tuple[str, str, str, int, float]]:
        """(graph, kind, how, count, seconds) of operations that are alike, the slowest first."""
        seconds: dict[tuple[str, str, str], list[float]] = defaultdict(list)
        for layer in self.layers:
            seconds[layer.graph, layer.kind, layer.how].append(layer.seconds)
        return sorted(((*what, len(s), sum(s)) for what, s in seconds.items()), key=lambda row: -row[-1])

    def slowest(self) -> list[Layer]:
        """The operations that take most of the time."""
        return sorted(self.layers, key=lambda layer: -layer.seconds)[:TOP]

    def facts(self) -> list[dict[str, object]]:
        """For programs: all operations, times in seconds."""
        return [asdict(layer) for layer in self.layers]

    def lines(self) -> list[str]:
        """For people."""
        rows = [("graph", "kind", "how", "count", "ms", "share")]
        rows += [(g, kind, how, str(n), *self._time(s)) for g, kind, how, n, s in self.kinds()]
        top = [("graph", "operation", "kind", "", "ms", "share")]
        top += [(x.graph, x.name, x.kind, "", *self._time(x.seconds)) for x in self.slowest()]
        head = f"layers     {len(self.layers)} of {self.engine}, {self.total_s * 1e3:.3g} ms together"
        return [head, *_table(rows), "", *_table(top)]

    def _time(self, seconds: float) -> tuple[str, str]:
        return f"{seconds * 1e3:.2f}", f"{seconds / self.total_s:.1%}" if self.total_s else "-"


def profile(detector: Detector, rounds: int = ROUNDS) -> Profile:
    """Time the operations of a detector's engine on drawn noise.

    Raises BackendUnavailable where the engine does not tell them apart, InferenceError as the engine does.
    """
    engine = detector.engine
    if not isinstance(engine, ProfiledEngine):
        raise BackendUnavailable(f"engine {engine.name} does not tell its layers apart: name an openvino-... engine")
    side = detector.bundle.manifest.preprocessing.image_size
    noise = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    return Profile(engine.name, tuple(engine.profile(Frame(noise), rounds)))


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
