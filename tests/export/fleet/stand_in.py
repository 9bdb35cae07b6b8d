"""Work for pools that tests can import in a child process: what it does stands where the method would."""

from __future__ import annotations

import os
import signal
import time

from csflow.export.fleet.task import Outcome, Task


def work(task: Task) -> Outcome:
    """Notes that it began, then does what the method says; 'once' does it at the first try only."""
    notes = task.work / task.product.name
    with notes.open("a") as file:
        file.write(f"{os.getpid()}\n")
    what, _, once = task.product.entry.method.partition(" ")
    if once and len(notes.read_text().splitlines()) > 1:
        return Outcome()
    if what == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "hangs":
        time.sleep(600)
    if what == "fails":
        return Outcome("the network is away")
    return Outcome("settings are wrong", final=True) if what == "wrong" else Outcome()
