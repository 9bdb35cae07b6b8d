"""A worker that knows the truth about the part before its camera, and misbehaves on purpose."""

from __future__ import annotations

import queue
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from csflow.runtime.errors import SourceLost
from csflow.runtime.faults import Reason, Verdict
from csflow.runtime.plc.settings import Recipe
from csflow.runtime.triggers import pipe_message as pipe

__all__ = ["Misdeeds", "OracleWorker"]


@dataclass(frozen=True)
class Misdeeds:
    """Probabilities a part, and how long an inspection takes."""

    hang: float = 0.0
    """It never answers anything again."""
    crash: float = 0.0
    """It is gone."""
    late: float = 0.0
    """It answers after the deadline."""
    exposure_s: float = 0.001
    processing_s: float = 0.002


class OracleWorker:
    """A `Worker` in a thread: looks when the exposure ends, and says what it saw."""

    def __init__(
        self,
        recipe: Recipe,
        wake: Callable[[], None],
        good: Callable[[], bool],
        generator: random.Random,
        misdeeds: Misdeeds,
        hold: bool = False,
    ) -> None:
        """Be ready at once, or after `Open`; `good` tells whether the part before the camera is good."""
        self._recipe, self._wake, self._good = recipe, wake, good
        self._random, self._misdeeds = generator, misdeeds
        self._inbox: queue.SimpleQueue[pipe.Message | None] = queue.SimpleQueue()
        self._outbox: queue.SimpleQueue[pipe.Message] = queue.SimpleQueue()
        self._gone = threading.Event()
        self._say(pipe.Held() if hold else self._ready())
        threading.Thread(target=self._run, name="csflow-oracle", daemon=True).start()

    def send(self, message: pipe.Message) -> None:
        """As `Worker.send`."""
        if self._gone.is_set():
            raise SourceLost("the worker is gone")
        self._inbox.put(message)

    def receive(self) -> list[pipe.Message]:
        """As `Worker.receive`."""
        messages = []
        while not self._outbox.empty():
            messages.append(self._outbox.get())
        if self._gone.is_set() and not messages:
            raise SourceLost("the worker is gone")
        return messages

    def close(self) -> None:
        """End."""
        self._gone.set()
        self._inbox.put(None)

    def kill(self) -> None:
        """End."""
        self.close()

    @property
    def ended(self) -> bool:
        """Whether it was closed: it has no camera to let go of."""
        return self._gone.is_set()

    def _ready(self) -> pipe.Ready:
        return pipe.Ready(self._recipe.name, "b" * 64, "w" * 64, "c" * 64, "oracle-fp32", True, 1.5, 2.0)

    def _say(self, message: pipe.Message) -> None:
        self._outbox.put(message)
        self._wake()

    def _run(self) -> None:
        while (message := self._inbox.get()) is not None and not self._gone.is_set():
            if isinstance(message, pipe.Ping):
                self._say(pipe.Pong(message.number, ""))
            elif isinstance(message, pipe.Open):
                self._say(self._ready())
            elif isinstance(message, pipe.Ask):
                self._inspect(message)

    def _inspect(self, ask: pipe.Ask) -> None:
        chance, misdeeds = self._random.random(), self._misdeeds
        if chance < misdeeds.hang:
            self._gone.wait()
        elif chance < misdeeds.hang + misdeeds.crash:
            self._gone.set()
            self._wake()
        else:
            late = chance < misdeeds.hang + misdeeds.crash + misdeeds.late
            self._answer(ask, ask.deadline_ms / 1e3 if late else 0.0)

    def _answer(self, ask: pipe.Ask, extra_s: float) -> None:
        time.sleep(self._random.random() * self._misdeeds.exposure_s)
        good, captured_ns = self._good(), time.monotonic_ns()
        self._say(pipe.Exposed(ask.id, captured_ns))
        time.sleep(self._random.random() * self._misdeeds.processing_s + extra_s)
        verdict, reason = (Verdict.OK, Reason.NONE) if good else (Verdict.NOK, Reason.ABOVE_REJECT)
        self._say(
            pipe.Answer(
                id=ask.id,
                part=ask.part,
                verdict=verdict.code,
                fault="",
                reason=reason,
                quality=0,
                words="" if good else "score above the reject threshold",
                score=1.0 if good else 3.0,
                threshold=2.0,
                p_value=0.5 if good else 0.001,
                peak_x=0,
                peak_y=0,
                frame_index=0,
                captured_ns=captured_ns,
                latency_s=(time.monotonic_ns() - captured_ns) / 1e9,
                age_s=0.0,
            )
        )
