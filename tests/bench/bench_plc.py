"""What the handshake of a PLC station adds to an inspection, and how long a change of recipes holds the line up.

Over Modbus TCP on loopback. Workers are processes that answer at once and whose camera opens at once: what is left is
the station, its adapter, the pipe to the worker, and the client, who reads all registers in one request.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from unittest.mock import patch

from csflow.runtime.plc.adapters.modbus import ModbusServer
from csflow.runtime.plc.process_image import Control, Orders, Report, Status
from csflow.runtime.plc.settings import Modbus, Recipe, Settings
from csflow.runtime.plc.settings import Station as StationSettings
from csflow.runtime.plc.simulator.links import ModbusLink
from csflow.runtime.plc.states import Command
from csflow.runtime.plc.station import Station
from csflow.runtime.plc.worker import process

__all__ = ["handshakes", "swaps"]

LONG_S = 30.0
E, X = Control.ENABLE, Control.EXECUTE
NULL_WORKER = """
import os, sys, time
from csflow.runtime.triggers import pipe_message as pipe
trigger = sys.argv[sys.argv.index("--trigger") + 1]
reading, writing = (int(n) for n in trigger.split("?")[0][5:].split(","))
encoder, decoder = pipe.Encoder(), pipe.Decoder(pipe.FROM_SUPERVISOR)
ready = pipe.Ready("null.csflow", "b" * 64, "w" * 64, "c" * 64, "null-fp32", True, 1.5, 2.0)

def say(message):
    os.write(writing, encoder.encode(message))

say(pipe.Hello(pipe.PROTOCOL, "0", os.getpid()))
say(pipe.Held() if trigger.endswith("?hold") else ready)
while data := os.read(reading, 65536):
    for message in decoder.feed(data):
        if isinstance(message, pipe.Open):
            say(ready)
        elif isinstance(message, pipe.Ping):
            say(pipe.Pong(message.number, ""))
        elif isinstance(message, pipe.Ask):
            now = time.monotonic_ns()
            say(pipe.Exposed(message.id, now))
            say(pipe.Answer(message.id, message.part, 0x5AA5, "", 0, 0, "", 1.0, 2.0, 0.5, 0, 0, 0, now, 0.0, 0.0))
"""


def _serve() -> None:
    """Run a station until standard input ends; its port goes to standard output."""
    recipe = Recipe("null.csflow", "null", deadline_ms=20_000)
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        stack.enter_context(patch.object(process, "LAUNCH", NULL_WORKER))
        settings = Settings(StationSettings(1, state=str(Path(folder)), plc_timeout_ms=0), {"1": recipe, "2": recipe})
        station = stack.enter_context(closing(Station(settings, process.start_worker)))
        server = stack.enter_context(closing(ModbusServer(Modbus("127.0.0.1:0"), station.exchange, controls=True)))
        stop = threading.Event()
        thread = threading.Thread(target=station.run, args=(stop,))
        thread.start()
        stack.callback(thread.join)
        stack.callback(stop.set)
        print(server.port, flush=True)
        sys.stdin.read()


@contextmanager
def _station() -> Iterator[ModbusLink]:
    """A link to a station that runs in a process of its own, as a controller does elsewhere."""
    command = [sys.executable, __file__]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as served:
        assert served.stdin is not None
        assert served.stdout is not None
        try:
            with closing(ModbusLink("127.0.0.1", int(served.stdout.readline()))) as link:
                yield link
        finally:
            served.stdin.close()


def _until(link: ModbusLink, what: Callable[[Report], object]) -> Report:
    end = time.monotonic() + LONG_S
    while time.monotonic() < end:
        report = link.read()
        if what(report):
            return report
    raise TimeoutError(f"the station did not get there: {link.read()}")


def _ready(report: Report) -> bool:
    return bool(report.status & Status.READY)


def handshakes(count: int) -> list[float]:
    """Seconds from before the request that raises TRIGGER until a read brought the result; reads follow each other."""
    seconds = []
    with _station() as link:
        for number in range(1, count + 2):
            link.write(Orders(E, trigger_id=number))
            _until(link, _ready)
            begun = time.perf_counter()
            link.write(Orders(E | Control.TRIGGER, trigger_id=number))
            report = _until(link, lambda r: r.status & Status.RESULT_VALID)
            seconds.append(time.perf_counter() - begun)
            if (report.result_trigger_id, report.verdict) != (number, 0x5AA5):
                raise RuntimeError(f"no result of part {number}: {report}")
            link.write(Orders(E | Control.RESULT_ACK, trigger_id=number))
            _until(link, lambda r: not r.status & Status.RESULT_VALID)
    return seconds[1:]


def swaps(count: int) -> list[float]:
    """Seconds without READY while a recipe that is prepared comes into force."""
    seconds = []
    with _station() as link:
        link.write(Orders(E))
        _until(link, _ready)
        for number in range(count):
            link.write(Orders(E | X, command=Command.PREPARE_RECIPE, argument=2 - number % 2))
            _until(link, lambda r: not _ready(r))
            begun = time.perf_counter()
            report = _until(link, _ready)
            seconds.append(time.perf_counter() - begun)
            if report.recipe != 2 - number % 2:
                raise RuntimeError(f"recipe {report.recipe} is in force")
            link.write(Orders(E))
            _until(link, lambda r: not r.status & Status.CMD_DONE)
    return seconds


if __name__ == "__main__":
    _serve()
