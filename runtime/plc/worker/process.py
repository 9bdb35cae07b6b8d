"""A child process that speaks the messages of a pipe trigger."""

from __future__ import annotations

import contextlib
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Protocol

from csflow.runtime.errors import SourceLost
from csflow.runtime.plc.settings import Recipe
from csflow.runtime.triggers.pipe_message import FROM_WORKER, PROTOCOL, Decoder, Encoder, Hello, Message

__all__ = ["Start", "Worker", "WorkerProcess", "run_arguments", "start_worker"]

CHUNK = 65536
LAUNCH = "from csflow.runtime.cli.main import main; main(prog_name='csflow')"
END_S = 1.0
SUPERVISED = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
"""What systemd tells the station is not for its worker."""


class Worker(Protocol):
    """One process that inspects. One thread calls all of it."""

    def send(self, message: Message) -> None:
        """Hand a message over without waiting.

        Raises SourceLost where the process does not take it, from BrokenPipeError where it never will.
        """

    def receive(self) -> list[Message]:
        """What has come since. Never waits. Raises SourceLost once it has ended or sent what is no message."""

    def close(self) -> None:
        """Ask it to end."""

    def kill(self) -> None:
        """End it now."""

    @property
    def ended(self) -> bool:
        """Whether it has let go of camera and engine."""


Start = Callable[[Recipe, Callable[[], None], bool], Worker]
"""Starts a worker for a recipe; the function it takes is called, from any thread, when there is something to read. The
flag keeps the camera closed until `Open`."""


class WorkerProcess:
    """A child in a session of its own, which ends when its pipe is closed."""

    def __init__(self, arguments: Sequence[str], wake: Callable[[], None]) -> None:
        """Start `csflow` with these arguments and the descriptors of its pipe in place of '{pipe}'.

        Raises OSError where it cannot be started, SourceLost where it has ended already; nothing stays open then.
        """
        self._process, self._reading, self._writing = _started(arguments)
        os.set_blocking(self._writing, False)
        self._wake = wake
        self._encoder, self._decoder = Encoder(), Decoder(FROM_WORKER)
        self._inbox: queue.SimpleQueue[Message | SourceLost] = queue.SimpleQueue()
        self._lost: SourceLost | None = None
        self._open = True
        self._left = self._killed = False
        self._thread = threading.Thread(target=self._read, name="csflow-worker-pipe", daemon=True)
        self._thread.start()
        try:
            self.send(Hello(PROTOCOL, version("csflow"), os.getpid()))
        except SourceLost:
            self.kill()
            raise

    @property
    def process(self) -> int:
        """Its process id."""
        return self._process.pid

    def _read(self) -> None:
        try:
            while data := os.read(self._reading, CHUNK):
                for message in self._decoder.feed(data):
                    self._inbox.put(message)
                self._wake()
            self._decoder.end()
            self._left = True
            self._inbox.put(SourceLost("the worker has closed its pipe"))
        except SourceLost as error:
            self._inbox.put(error)
        os.close(self._reading)
        self._wake()
        self._process.wait()
        self._wake()

    def send(self, message: Message) -> None:
        """As `Worker.send`: a worker that does not empty its pipe counts as gone."""
        data = self._encoder.encode(message)
        try:
            written = os.write(self._writing, data)
        except OSError as error:
            raise SourceLost(f"the worker takes no message ({error.strerror})") from error
        if written < len(data):
            raise SourceLost("the worker does not empty its pipe")

    def receive(self) -> list[Message]:
        """As `Worker.receive`: first what came before the end, then the end, at every later call too."""
        messages: list[Message] = []
        with contextlib.suppress(queue.Empty):
            while self._lost is None:
                item = self._inbox.get_nowait()
                if isinstance(item, SourceLost):
                    self._lost = item
                else:
                    messages.append(item)
        if self._lost is not None and not messages:
            raise self._lost
        return messages

    def close(self) -> None:
        """Close its pipe; whoever hangs is killed a little later. Does not wait."""
        self._end_pipe()
        timer = threading.Timer(END_S, self._process.kill)
        timer.daemon = True
        timer.start()

    def kill(self) -> None:
        """SIGKILL. Does not wait: a process that a driver holds ends later."""
        self._killed = True
        self._end_pipe()
        self._process.kill()

    @property
    def ended(self) -> bool:
        """As `Worker.ended`: a run closes its pipe last of all, after its camera; what it does then takes as long again
        and concerns nobody. One that was killed has let go of nothing before it is gone."""
        return (self._left and not self._killed) or self._process.poll() is not None

    def join(self, timeout_s: float) -> bool:
        """Whether it has ended, after at most so long."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _end_pipe(self) -> None:
        if self._open:
            self._open = False
            os.close(self._writing)


def _started(arguments: Sequence[str]) -> tuple[subprocess.Popen[bytes], int, int]:
    """The process, and the descriptors to read from it and to write to it."""
    with contextlib.ExitStack() as theirs, contextlib.ExitStack() as ours:
        theirs_in, writing = os.pipe()
        theirs.callback(os.close, theirs_in)
        ours.callback(os.close, writing)
        reading, theirs_out = os.pipe()
        theirs.callback(os.close, theirs_out)
        ours.callback(os.close, reading)
        given = [a.replace("{pipe}", f"pipe:{theirs_in},{theirs_out}") for a in arguments]
        process = subprocess.Popen(
            [sys.executable, "-c", LAUNCH, *given],
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr.fileno(),
            pass_fds=(theirs_in, theirs_out),
            env={k: v for k, v in os.environ.items() if k not in SUPERVISED},
            start_new_session=True,
        )
        ours.pop_all()
        return process, reading, writing


def run_arguments(recipe: Recipe, hold: bool = False) -> list[str]:
    """The arguments of `csflow` that make it the worker of a recipe; with `hold` it opens its camera on `Open` only."""
    pipe = "{pipe}?hold" if hold else "{pipe}"
    fixed = ["run", "--trigger", pipe, "--quiet", "--bundle", recipe.bundle, "--camera", recipe.camera]
    return [*fixed, "--deadline-ms", str(recipe.deadline_ms), *recipe.options]


def start_worker(recipe: Recipe, wake: Callable[[], None], hold: bool) -> Worker:
    """A worker process for a recipe: a `Start`."""
    return WorkerProcess(run_arguments(recipe, hold), wake)
