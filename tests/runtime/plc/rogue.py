"""Worker processes that do to a part whatever its name says; they start in a fraction of a real one's time."""

from __future__ import annotations

from collections.abc import Callable

from csflow.runtime.plc.settings import Recipe
from csflow.runtime.plc.worker.process import WorkerProcess, run_arguments

__all__ = ["PROGRAM", "Rogues"]

PROGRAM = """
import os, resource, signal, sys, time
from csflow.runtime.triggers import pipe_message as pipe
reading, writing = (int(n) for n in sys.argv[sys.argv.index("--trigger") + 1].split("?")[0][5:].split(","))
encoder, decoder = pipe.Encoder(), pipe.Decoder(pipe.FROM_SUPERVISOR)
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

def say(message):
    os.write(writing, encoder.encode(message))

def ready():
    say(pipe.Ready("a.csflow", "b" * 64, "w" * 64, "c" * 64, "rogue-fp32", True, 1.5, 2.0))

def answer(ask, code=0x5AA5, score=1.0, name=None):
    now = time.monotonic_ns()
    say(pipe.Answer(name or ask.id, ask.part, code, "", 0, 0, "", score, 2.0, 0.5, 0, 0, 0, now, 0.0, 0.0))

def do(ask):
    what = ask.part
    if what.startswith("signal "):
        os.kill(os.getpid(), int(what.split()[1]))
    elif what.startswith("exit "):
        os._exit(int(what.split()[1]))
    elif what == "hang":
        time.sleep(3600)
    elif what == "close":
        os.close(writing)
        time.sleep(3600)
    elif what == "noise":
        os.write(writing, b"CF" + bytes(range(200)))
    elif what == "half":
        os.write(writing, encoder.encode(pipe.Pong(1, "x" * 500))[:100])
        os._exit(0)
    elif what == "no memory":
        resource.setrlimit(resource.RLIMIT_AS, (1 << 27, 1 << 27))
        bytearray(1 << 30)
    elif what == "CUDA 700":
        say(pipe.Failed(206, "the engine failed: CUDA error 700"))
        os._exit(70)
    elif what == "no number":
        answer(ask, score=None)
    elif what == "zero":
        answer(ask, 0)
    elif what == "all ones":
        answer(ask, 0xFFFF)
    elif what == "above":
        answer(ask, score=2.5)
    elif what == "another's":
        answer(ask, name="4711")
    else:
        answer(ask)
        if what == "twice":
            answer(ask)

say(pipe.Hello(pipe.PROTOCOL, "0", os.getpid()))
ready()
while data := os.read(reading, 65536):
    for message in decoder.feed(data):
        if isinstance(message, pipe.Ask):
            do(message)
        elif isinstance(message, pipe.Ping):
            say(pipe.Pong(message.number, ""))
        elif isinstance(message, pipe.SelfTest):
            ready()
"""


class Rogues:
    """A `Start` of such processes; the module's `LAUNCH` must be `PROGRAM`."""

    def __init__(self) -> None:
        self.processes: list[WorkerProcess] = []

    def __call__(self, recipe: Recipe, wake: Callable[[], None], hold: bool) -> WorkerProcess:
        self.processes.append(WorkerProcess(run_arguments(recipe, hold), wake))
        return self.processes[-1]
