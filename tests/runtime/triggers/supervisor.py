"""A supervisor that a test plays, at the other ends of a worker's pipes."""

from __future__ import annotations

import os
import select
import time

from csflow.runtime.triggers.pipe_message import (
    FROM_WORKER,
    PROTOCOL,
    Ask,
    Decoder,
    Encoder,
    Hello,
    Message,
)

__all__ = ["Supervisor"]


class Supervisor:
    """Writes orders and reads what the worker says."""

    def __init__(self) -> None:
        self.worker_reads, self._writing = os.pipe()
        self._reading, self.worker_writes = os.pipe()
        self._encoder, self._decoder = Encoder(), Decoder(FROM_WORKER)
        self._messages: list[Message] = []
        self._asked = 0
        self.say(Hello(PROTOCOL, "1.0", os.getpid()))

    def say(self, message: Message) -> None:
        """Send a message."""
        os.write(self._writing, self._encoder.encode(message))

    def write(self, data: bytes) -> None:
        """Send what is no message."""
        os.write(self._writing, data)

    def ask(self, part: str = "", deadline_ms: int = 20_000) -> str:
        """Ask for a verdict; gives the id."""
        self._asked += 1
        self.say(Ask(str(self._asked), time.monotonic_ns(), deadline_ms, part))
        return str(self._asked)

    def hear(self, timeout_s: float = 30.0) -> Message | None:
        """The next message; None at the end of the pipe."""
        while not self._messages:
            assert select.select([self._reading], [], [], timeout_s)[0], "the worker says nothing"
            data = os.read(self._reading, 65536)
            if not data:
                self._decoder.end()
                return None
            self._messages += self._decoder.feed(data)
        return self._messages.pop(0)

    def forget(self) -> None:
        """Leave the worker's ends to the worker."""
        os.close(self.worker_reads)
        os.close(self.worker_writes)

    def leave(self) -> None:
        """Close the pipe to the worker."""
        if self._writing >= 0:
            os.close(self._writing)
            self._writing = -1

    def close(self) -> None:
        """Close both."""
        self.leave()
        if self._reading >= 0:
            os.close(self._reading)
            self._reading = -1
