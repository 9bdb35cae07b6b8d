"""Opens what a run looks at; a camera that is not there, or goes away, is waited for."""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from csflow.runtime import source as sources
from csflow.runtime.errors import ConfigError, SourceError
from csflow.runtime.source import FrameSource, TriggeredSource
from csflow.runtime.sources.opencv import redact
from csflow.runtime.sources.reconnect import Reconnecting
from csflow.runtime.sources.strip import Strip
from csflow.runtime.sources.v4l2 import bound_uri
from csflow.runtime.sources.warm_up import WARM_UP_S, WarmingUp

__all__ = ["CameraPolicy", "open_cameras", "warm_up_left_s"]

FILES = ("files", "synthetic", "video", "watch")
"""Kinds of source that are there or not; all others are waited for."""
_SECRET = re.compile(r"(\w+)://[^@\s]*@")


@dataclass(frozen=True)
class CameraPolicy:
    """How long a run waits for its cameras."""

    timeout_s: float = 5.0
    """Longest time in seconds that one may take to open or to answer."""
    reconnect_s: float = float("inf")
    """How long in seconds one that is not there, or was lost, is tried again; 0 ends the run at once."""
    warm_up_s: float | None = None
    """Pictures of so many seconds after each opening are not judged; None is by kind of source (`WARM_UP_S`)."""
    strip: tuple[int, int] | None = None
    """(height, overlap) in rows of the pieces that a line camera's strip is cut into; None takes pictures as they
    come."""


def open_cameras(uris: Sequence[str], policy: CameraPolicy, stack: contextlib.ExitStack) -> list[FrameSource]:
    """Open every source into `stack`; one camera that is absent does not keep the others from working.

    Raises as `open_source` does for what is not waited for, and ConfigError where a source is named twice or a camera
    would be called silent while it warms up.
    """
    if len(set(uris)) < len(uris):
        raise ConfigError("a camera is named twice: name each once")
    if policy.warm_up_s is not None and policy.warm_up_s >= policy.timeout_s:
        raise ConfigError(f"a warm-up of {policy.warm_up_s:g} s is a silence: raise --timeout above it")
    opened = [stack.enter_context(_open(uri, policy)) for uri in uris]
    _tell_apart(opened)
    return opened


def _tell_apart(opened: Sequence[FrameSource]) -> None:
    """Number cameras whose names differ in what is not shown alone, as channels of one recorder: each is compared with
    itself, counted and shown."""
    same, given = Counter(source.name for source in opened), Counter[str]()
    for source in opened:
        name = source.name
        if same[name] > 1:
            given[name] += 1
            source.name = f"{name} ({given[name]})"


def warm_up_left_s(sources: Sequence[FrameSource]) -> float:
    """Seconds until the pictures of every camera that is there are judged."""
    inner = (source.source if isinstance(source, Reconnecting) else source for source in sources)
    return max((source.left_s for source in inner if isinstance(source, WarmingUp)), default=0.0)


def _open(uri: str, policy: CameraPolicy) -> FrameSource:
    kind = sources.source_kind(uri)
    opener = _opener(uri, kind, policy)
    if kind in FILES or not policy.reconnect_s:
        return opener()
    patience = (policy.timeout_s, policy.reconnect_s)
    try:
        source = opener()
    except SourceError as error:
        return Reconnecting(opener, *patience, absent=(_name(uri, kind), str(error)))
    return Reconnecting(opener, *patience, source) if source.live else source


def _opener(uri: str, kind: str, policy: CameraPolicy) -> Callable[[], FrameSource]:
    bound: list[str] = []

    def opened() -> FrameSource:
        # Bound to the device once it was there: its index may go to another camera while it is away.
        name = bound[0] if bound else bound_uri(uri)
        source = sources.open_source(name, policy.timeout_s)
        bound[:] = [name]
        seconds = WARM_UP_S.get(kind, 0.0) if policy.warm_up_s is None else policy.warm_up_s
        told = isinstance(source, TriggeredSource) and source.waits  # its first picture is a part
        if policy.strip is not None:
            source = Strip(source, *policy.strip)
        return WarmingUp(source, seconds) if seconds and source.live and not told else source

    return opened


def _name(uri: str, kind: str) -> str:
    """What a source that is not there is called: its name without credentials and settings."""
    if kind == "camera":
        device = uri.partition("?")[0]
        return f"/dev/video{device}" if device.isdecimal() else device
    return _SECRET.sub(r"\1://***@", uri) if kind == "gst" or "://" not in uri else redact(uri)
