"""Drawn metal parts as a camera: synthetic://?defects=0.1&fps=10&seed=1&frames=100&size=256x256."""

from __future__ import annotations

import math
import sys
import time
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from csflow.runtime.errors import ConfigError, EndOfStream
from csflow.runtime.options import Option, read_options, size_option
from csflow.runtime.synthetic.product import part_at
from csflow.runtime.types import Frame

__all__ = ["SyntheticOptions", "SyntheticSource", "open_synthetic"]


@dataclass(frozen=True)
class SyntheticOptions:
    """What synthetic:// understands after its question mark."""

    defects: float = 0.1
    """Share of defective parts, 0..1."""
    fps: float = 10.0
    """Frames a second, at their own pace as from a camera; 0 gives the next part whenever it is asked for."""
    seed: int = 1
    """The same seed draws the same parts in the same order."""
    frames: int | None = None
    """The stream ends after so many frames; None never ends."""
    size: tuple[int, int] = (256, 256)
    """Width and height in pixels, 64 to 8192."""

    def __post_init__(self) -> None:
        if not 0.0 <= self.defects <= 1.0:
            raise ValueError("defects must lie in 0..1")
        if not (0.0 <= self.fps <= 1000.0):
            raise ValueError("fps must lie in 0..1000")
        if self.seed < 0 or (self.frames is not None and self.frames < 1):
            raise ValueError("seed must be at least 0 and frames at least 1")
        if not all(64 <= side <= 8192 for side in self.size):
            raise ValueError("size must be WIDTHxHEIGHT, each side from 64 to 8192")


class SyntheticSource:
    """An endless or counted stream of drawn parts.

    `Frame.source` is the URI, '#', the index, '-', and what is true of the part: 'good' or the defect's name.
    """

    def __init__(self, name: str, options: SyntheticOptions) -> None:
        self.name = name
        self.live = options.fps > 0
        self._options = options
        self._last = sys.maxsize if options.frames is None else options.frames
        self._next = 0
        self._start_ns = time.monotonic_ns()
        self._closed = False

    def read(self, timeout_s: float) -> Frame | None:
        """The next part; in a live stream those that passed while nobody read are gone, but for the last."""
        if self._closed or self._next >= self._last:
            raise EndOfStream
        if self.live:
            # A late reader still gets the last part, whose index shows how many it missed.
            self._next = min(max(self._next, self._passed()), self._last - 1)
        if self.live and not self._wait(timeout_s):
            return None
        index, self._next = self._next, self._next + 1
        return self._draw(index)

    def _passed(self) -> int:
        return math.floor((time.monotonic_ns() - self._start_ns) / 1e9 * self._options.fps)

    def _wait(self, timeout_s: float) -> bool:
        due_s = self._next / self._options.fps - (time.monotonic_ns() - self._start_ns) / 1e9
        time.sleep(max(0.0, min(due_s, timeout_s)))
        return due_s <= timeout_s

    def _draw(self, index: int) -> Frame:
        captured_ns = time.monotonic_ns()
        width, height = self._options.size
        part = part_at(self._options.seed, index, self._options.defects, (width, height))
        return Frame(part.image, index, captured_ns, f"{self.name}#{index}-{part.defect or 'good'}")

    def close(self) -> None:
        """Deliver no more parts."""
        self._closed = True

    def __enter__(self) -> SyntheticSource:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def open_synthetic(uri: str, timeout_s: float) -> SyntheticSource:  # noqa: ARG001 - every opener has the same signature
    """The source for a synthetic:// URI. Raises ConfigError for an unknown option or a value out of range."""
    parts = urlsplit(uri)
    if parts.netloc or parts.path.strip("/") or parts.fragment:
        raise ConfigError(f"{uri!r}: expected synthetic://?option=value&..., with " + ", ".join(_OPTIONS))
    return SyntheticSource(uri, _options(uri, parts.query))


def _options(uri: str, query: str) -> SyntheticOptions:
    try:
        return replace(SyntheticOptions(), **read_options(uri, query, _OPTIONS))
    except ValueError as error:
        raise ConfigError(f"{uri!r}: {error}") from None


_OPTIONS: dict[str, Option] = {
    "defects": (float, "0.1"),
    "fps": (float, "10"),
    "seed": (int, "1"),
    "frames": (int, "100"),
    "size": (size_option, "640x480"),
}
