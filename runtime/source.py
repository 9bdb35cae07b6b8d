"""Sources of frames: the protocol, and the one grammar that selects a source."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from csflow.runtime.types import Frame

__all__ = ["FrameSource"]


@runtime_checkable
class FrameSource(Protocol):
    """Delivers frames. One thread calls `read`."""

    name: str
    """What the user asked for: the path or URI, without credentials."""
    live: bool
    """True where frames come at their own pace (cameras): late readers want the newest, not every frame."""

    def read(self, timeout_s: float) -> Frame | None:
        """The next frame, or None when none came within `timeout_s` seconds.

        Raises EndOfStream after the last frame, SourceLost when a working source failed, SourceError otherwise.
        """

    def close(self) -> None:
        """Release the device. May be called twice."""

    def __enter__(self) -> FrameSource: ...

    def __exit__(self, *exc: object) -> None: ...
