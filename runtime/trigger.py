"""Triggers: somebody asks for a verdict, and every request gets exactly one result. The grammar of --trigger:

stdin                    one request a line; the line is its id
http://127.0.0.1:8500    POST /trigger?id=...; the answer is the result as JSON
gpio:/dev/gpiochip0:17   one request an edge of a digital input        extra: gpio
camera:Line1             the input of a genicam: or pylon: camera exposes; every picture is one request
pipe:  pipe:3,4          messages of a supervisor, over standard input and output or inherited descriptors
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, cast, runtime_checkable

from csflow.runtime.errors import ConfigError, CSFlowError
from csflow.runtime.types import Frame, Identity, Result

__all__ = ["TRIGGERS", "Request", "SupervisedTrigger", "Trigger", "no_trigger", "open_trigger", "trigger_kind"]

TRIGGERS = {
    "gpio": ("csflow.runtime.triggers.gpio", "GpioTrigger"),
    "http": ("csflow.runtime.triggers.http", "open_http"),
    "pipe": ("csflow.runtime.triggers.pipe", "open_pipe"),
    "stdin": ("csflow.runtime.triggers.lines", "open_stdin"),
}
"""Kind of trigger: (module, what opens it)."""


@dataclass(frozen=True)
class Request:
    """One wish for a verdict."""

    id: str
    since_ns: int
    """`time.monotonic_ns()` when it arrived: only frames captured later answer it, and its deadline runs from here."""
    part: str = ""
    """The asker's own name for the part; empty where it gave none."""
    deadline_s: float | None = None
    """Longest time in seconds from `since_ns` to the result; None is the run's (`StreamPolicy.deadline_s`)."""
    missed: bool = False
    """Too many were waiting: it is answered with ERROR."""


@runtime_checkable
class Trigger(Protocol):
    """Gives requests and takes their results. One thread calls `next`, `exposed` and `answer`."""

    name: str
    """What the user asked for."""

    def next(self, timeout_s: float) -> Request | None:
        """The next request, or None when none came within `timeout_s` seconds.

        Raises EndOfStream when none will come, SourceLost where what gave them is gone.
        """

    def exposed(self, request: Request, frame: Frame) -> None:
        """The picture for `request` is taken: its part may move. At most once a request, before its answer."""

    def answer(self, request: Request, result: Result) -> None:
        """Take the one result of `request`."""

    def close(self) -> None:
        """Ask for nothing more. May be called twice."""

    def __enter__(self) -> Trigger: ...

    def __exit__(self, *exc: object) -> None: ...


@runtime_checkable
class SupervisedTrigger(Trigger, Protocol):
    """A trigger whose asker watches over this process."""

    def hold(self) -> None:
        """The golden frames passed: wait until the camera may be opened. Raises SourceLost where it never may."""

    def ready(self, identity: Identity, self_test: Callable[[], None]) -> None:
        """The golden frames passed; `self_test` scores them again, in the thread that calls it, or raises."""

    def watch(self, away: Callable[[], str]) -> None:
        """Take what tells why the camera is away; empty text while it is there."""

    def failed(self, error: CSFlowError) -> None:
        """This process ends, and why."""


def open_trigger(text: str) -> Trigger:
    """Open what `text` names; the module docstring has the grammar.

    Raises:
        ConfigError: it names no trigger, or one of its options is wrong.
        SourceError: what it names is not there, or another program has it.
        BackendUnavailable: a library is missing; the message names the extra.
    """
    module, name = TRIGGERS[trigger_kind(text)]
    return cast(Trigger, getattr(importlib.import_module(module), name)(text))


def trigger_kind(text: str) -> str:
    """Which of `TRIGGERS` the string selects; an address without a scheme is one of HTTP. Raises ConfigError."""
    kind, colon, _ = text.partition(":")
    if not colon and kind != "stdin":
        raise no_trigger(text)
    return kind if kind in TRIGGERS else "http"


def no_trigger(text: str) -> ConfigError:
    """The error for a string that names no trigger."""
    return ConfigError(
        f"no trigger {text!r}: expected stdin, http://127.0.0.1:8500, gpio:/dev/gpiochip0:17, camera or pipe:"
    )
