"""A supervisor as trigger: messages over a pipe each way (`csflow.runtime.triggers.pipe_message`).

pipe:        standard input and output; what else is printed goes to standard error
pipe:3,4     two inherited file descriptors: read 3, write 4
pipe:3,4?hold    the same, and the camera stays closed until the supervisor says Open
"""

from __future__ import annotations

import contextlib
import math
import os
import queue
import re
import select
import sys
import threading
import time
from collections.abc import Callable
from importlib.metadata import version

from csflow.runtime.errors import (
    BundleError,
    CalibrationError,
    ConfigError,
    CSFlowError,
    EndOfStream,
    EngineError,
    EngineMismatch,
    InferenceError,
    SinkError,
    SourceError,
    SourceLost,
)
from csflow.runtime.faults import Reason, quality_of, reason_of
from csflow.runtime.trigger import Request
from csflow.runtime.triggers.pending import MAX_PENDING, short
from csflow.runtime.triggers.pipe_message import (
    FROM_SUPERVISOR,
    PROTOCOL,
    Answer,
    Ask,
    Decoder,
    Encoder,
    Exposed,
    Failed,
    Held,
    Hello,
    Message,
    Open,
    Ping,
    Pong,
    Ready,
    SelfTest,
)
from csflow.runtime.types import Frame, Identity, Result

__all__ = ["PipeTrigger", "open_pipe"]

CHUNK = 65536
ATOMIC = 4096
"""Bytes that a pipe which is ready takes without waiting (pipe(7), PIPE_BUF)."""
WRITE_S = 2.0
"""Longest time in seconds in which the supervisor reads nothing."""
REASONS = (
    (BundleError, Reason.BUNDLE),
    (CalibrationError, Reason.NOT_CALIBRATED),
    (ConfigError, Reason.CONFIGURATION),
    (InferenceError, Reason.INFERENCE),
    (EngineError, Reason.ENGINE),
    (SourceError, Reason.CAMERA_LOST),
    (SinkError, Reason.DISK),
    (CSFlowError, Reason.INTERNAL),
)
"""What a process that ends with an error calls it; the first that fits."""


class PipeTrigger:
    """Takes `Ask` messages, answers each with `Exposed` and `Answer`; ends when the supervisor closes its pipe."""

    def __init__(self, reading: int, writing: int, name: str = "pipe:", holding: bool = False) -> None:
        """Take over two file descriptors and say hello; `holding` makes `hold` wait."""
        self.name = name
        self._reading, self._writing = reading, writing
        self._encoder, self._decoder = Encoder(), Decoder(FROM_SUPERVISOR)
        self._holding = holding
        self._queue: queue.SimpleQueue[Request | Ping | SelfTest | Open | Exception] = queue.SimpleQueue()
        self._ready: Ready | None = None
        self._failed = False
        self._self_test: Callable[[], None] = lambda: None
        self._away: Callable[[], str] = lambda: ""
        self._stopped, self._stop = os.pipe()
        self._send(Hello(PROTOCOL, version("csflow"), os.getpid()))
        self._thread = threading.Thread(target=self._read, name="csflow-trigger", daemon=True)
        self._thread.start()

    def hold(self) -> None:
        """Where the pipe says so: tell that the golden frames passed, and wait until the camera may be opened.

        Raises SourceLost where the supervisor is gone, or has changed its mind, meanwhile.
        """
        if not self._holding:
            return
        self._send(Held())
        while not isinstance(item := self._queue.get(), Open):
            if isinstance(item, Ping):
                self._send(Pong(item.number, ""))
            elif isinstance(item, Exception):
                self._queue.put(item)
                raise SourceLost(f"{self.name}: the supervisor has left before the camera was opened")

    def ready(self, identity: Identity, self_test: Callable[[], None]) -> None:
        """Say that the golden frames passed; `self_test` scores them again and raises where they do not."""
        self._self_test = self_test
        self._ready = _ready(identity)
        self._send(self._ready)

    def watch(self, away: Callable[[], str]) -> None:
        """Take what tells why the camera is away, and empty text while it is there, for `Pong`."""
        self._away = away

    def failed(self, error: CSFlowError) -> None:
        """Say why this process ends: once, and not where the supervisor is gone itself."""
        reason = next(reason for kind, reason in REASONS if isinstance(error, kind))
        self._fail(reason, error)

    def _fail(self, reason: Reason, error: CSFlowError) -> None:
        if not self._failed:
            self._failed = True
            with contextlib.suppress(SourceLost):
                self._send(Failed(reason, str(error)))

    def next(self, timeout_s: float) -> Request | None:
        """The next `Ask`; other messages are answered on the way."""
        end_s = time.monotonic() + timeout_s
        while True:
            try:
                item = self._queue.get(timeout=max(0.0, end_s - time.monotonic()))
            except queue.Empty:
                return None
            if isinstance(item, Exception):
                self._queue.put(item)
                raise item
            if isinstance(item, Request):
                return item
            if not isinstance(item, Open):
                self._respond(item)

    def _respond(self, message: Ping | SelfTest) -> None:
        if isinstance(message, Ping):
            self._send(Pong(message.number, self._away()))
            return
        try:
            self._self_test()
        except EngineMismatch as error:
            self._fail(Reason.SELF_TEST, error)
            raise
        if self._ready is not None:
            self._send(self._ready)

    def exposed(self, request: Request, frame: Frame) -> None:
        """Tell the supervisor that the part may move."""
        self._send(Exposed(request.id, frame.captured_ns))

    def answer(self, request: Request, result: Result) -> None:
        """Tell the supervisor the verdict."""
        self._send(_answer(request, result))

    def _read(self) -> None:
        try:
            self._read_to_the_end()
        except SourceLost as error:
            self._queue.put(error)
        except OSError as error:
            self._queue.put(SourceLost(f"{self.name} cannot be read ({error.strerror}): start the supervisor again"))
        else:
            self._queue.put(EndOfStream())

    def _read_to_the_end(self) -> None:
        waiting = select.poll()
        for descriptor in (self._reading, self._stopped):
            waiting.register(descriptor, select.POLLIN)
        while self._stopped not in dict(waiting.poll()):
            data = os.read(self._reading, CHUNK)
            if not data:
                self._decoder.end()
                return
            for message in self._decoder.feed(data):
                self._take(message)

    def _take(self, message: Message) -> None:
        if isinstance(message, Ask):
            missed = self._queue.qsize() >= MAX_PENDING
            since_ns = min(message.since_ns, time.monotonic_ns())
            limit_s = message.deadline_ms / 1e3 if message.deadline_ms > 0 else None
            self._queue.put(Request(short(message.id), since_ns, short(message.part), limit_s, missed))
        elif isinstance(message, Ping | SelfTest | Open):
            self._queue.put(message)

    def _send(self, message: Message) -> None:
        data = self._encoder.encode(message)
        ready = select.poll()
        ready.register(self._writing, select.POLLOUT)
        end_s = time.monotonic() + WRITE_S
        try:
            while data:
                if not ready.poll(max(0.0, end_s - time.monotonic()) * 1e3):
                    raise SourceLost(f"{self.name}: the supervisor has read nothing for {WRITE_S:g} s: start it again")
                data = data[os.write(self._writing, data[:ATOMIC]) :]
        except OSError as error:
            raise SourceLost(f"{self.name}: the supervisor is gone ({error.strerror}): start it again") from None

    def close(self) -> None:
        """Read and write no more. May be called twice."""
        self._queue.put(EndOfStream())
        if self._stop < 0:
            return
        os.close(self._stop)
        self._stop = -1
        self._thread.join()
        for descriptor in {self._stopped, self._reading, self._writing}:
            os.close(descriptor)

    def __enter__(self) -> PipeTrigger:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def open_pipe(text: str) -> PipeTrigger:
    """The trigger that 'pipe:' or 'pipe:3,4' names.

    Raises ConfigError where the text or a descriptor is none, SourceLost where the supervisor is gone already.
    """
    if text == "pipe:":
        return PipeTrigger(*_standard(), text)
    match = re.fullmatch(r"pipe:(\d{1,4}),(\d{1,4})(\?hold)?", text)
    if match is None:
        raise ConfigError(f"no pipe {text!r}: expected pipe: or two file descriptors, as in pipe:3,4")
    try:
        for number in match.groups()[:2]:
            os.set_inheritable(int(number), False)
    except OSError as error:
        raise ConfigError(f"{text!r}: {error.strerror}; whoever starts csflow must pass both descriptors on") from None
    return PipeTrigger(int(match[1]), int(match[2]), text, holding=match[3] is not None)


def _standard() -> tuple[int, int]:
    """Standard input and output for the messages alone: what a library prints goes to standard error."""
    sys.stdout.flush()
    try:
        taken = os.dup(0), os.dup(1)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.dup2(2, 1)
        os.close(nothing)
    except OSError as error:
        raise ConfigError(f"pipe: needs standard input, output and error ({error.strerror})") from None
    return taken


def _ready(identity: Identity) -> Ready:
    return Ready(
        bundle=identity.bundle,
        bundle_sha256=identity.bundle_sha256,
        weights_sha256=identity.weights_sha256,
        calibration_sha256=identity.calibration_sha256,
        engine=identity.engine,
        verified=identity.verified,
        warn_threshold=identity.warn_threshold,
        reject_threshold=identity.reject_threshold,
    )


def _answer(request: Request, result: Result) -> Answer:
    return Answer(
        id=request.id,
        part=result.part,
        verdict=result.verdict.code,
        fault=result.fault,
        reason=reason_of(result.verdict, result.fault),
        quality=quality_of(result.fault, result.verified),
        words=result.reason,
        score=_finite(result.score),
        threshold=_finite(result.threshold),
        p_value=_finite(result.p_value),
        peak_x=result.peak_xy[0],
        peak_y=result.peak_xy[1],
        frame_index=result.frame_index,
        captured_ns=result.captured_ns,
        latency_s=_finite(result.latency_s),
        age_s=_finite(result.age_s),
    )


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
