"""What the commands of the docs ask for and a test has not: cameras, triggers, GPIO lines, brokers, other machines.

Everything else of a command is what runs: its options, engines, files.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from csflow.runtime.cli.main import main
from csflow.runtime.sinks.memory import MemorySink
from csflow.runtime.sources.fake import FakeSource
from csflow.runtime.triggers.fake import FakeTrigger

from .blocks import Block, commands, program

__all__ = ["PLAN", "Shell", "play_gpio", "play_what_is_not_here"]

ELSEWHERE = {
    r"(?<!/)\b(127\.0\.0\.1|0\.0\.0\.0):[0-9]+": "127.0.0.1:0",  # any free port
    r"/srv/": "",
    r"\bline1:": "",  # another machine
    r"\bfps=[0-9]+": "fps=0",  # as fast as they are asked for
}
"""What a printed command names and is put elsewhere, as a pattern: what stands there instead."""
PLAN = b"ftrt" + bytes(20) + bytes([10, 3, 0, 26]) + bytes(36)
"""How a plan of TensorRT 10.3.0.26 begins."""
OTHERS_FAIL = {"bench": 1, "doctor": 1, "drift": 1, "replay": 1, "verify": 4}
"""Commands that may end so and have worked: their exit code is an answer."""


def play_what_is_not_here(monkeypatch: pytest.MonkeyPatch, pictures: Sequence[NDArray[np.uint8]]) -> None:
    """Each camera shows `pictures`, each trigger asks for two of them; what goes to brokers is kept."""

    def camera(uri: str, _timeout_s: float) -> FakeSource:
        return FakeSource(pictures, name=uri)

    for opener in ("opencv.open_camera", "genicam.source.open_genicam", "gstreamer.source.open_gst"):
        monkeypatch.setattr(f"csflow.runtime.sources.{opener}", camera)
    monkeypatch.setattr("csflow.runtime.line.cameras.WARM_UP_S", {})

    def trigger(*_: Any, **__: Any) -> FakeTrigger:
        return FakeTrigger(["1", "2"])

    for asker in ("gpio.GpioTrigger", "http.open_http", "lines.LineTrigger", "lines.open_stdin", "pipe.open_pipe"):
        monkeypatch.setattr(f"csflow.runtime.triggers.{asker}", trigger)
    for sink in ("mqtt.MqttSink", "webhook.WebhookSink"):
        monkeypatch.setattr(f"csflow.runtime.sinks.{sink}", lambda _address: MemorySink())


def play_gpio(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines that take any level."""
    gpiod = pytest.importorskip("gpiod", reason="the extra gpio is not installed")
    from ..runtime.chip import Chip  # noqa: TID252 - tests are no package that could be named

    monkeypatch.setattr(gpiod, "request_lines", Chip(22, 23).request_lines)


class Shell:
    """Runs lines as they are printed, in the folder in which it stands: csflow in this process, others beside it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, defaults: Mapping[str, Any] | None = None) -> None:
        """`defaults` are those of csflow's options where a line does not name them, by command."""
        self._monkeypatch = monkeypatch
        self._defaults = {"label": {"by": "anna"}, **(defaults or {})}

    def run(self, block: Block) -> None:
        """Every line of a block; the first that fails ends the test."""
        for line in block.commands:
            self._line(line)

    def _line(self, line: str) -> None:
        for pattern, instead in ELSEWHERE.items():
            line = re.sub(pattern, instead, line)
        name = program(line)
        if name == "export":
            (variable, value) = line.removeprefix("export ").split("=", 1)
            told = subprocess.run(["/bin/sh", "-c", f"printf %s {value}"], check=True, capture_output=True, text=True)
            self._monkeypatch.setenv(variable, told.stdout)
        elif found := list(commands(line)):
            for words in found:
                self.csflow(words)
        else:
            words = shlex.split(line, comments=True)
            # ssh-keygen would ask for a passphrase.
            more = ["-N", "", "-q"] if name == "ssh-keygen" else []
            subprocess.run([*words, *more], check=True, stdin=subprocess.DEVNULL)

    def csflow(self, words: list[str]) -> None:
        """Run one command, its program first; a failure ends the test."""
        first = words[0].rpartition("/")[2]
        words = [first.removeprefix("csflow-"), *words[1:]] if "-" in first else words[1:]
        with open(os.devnull) as nothing:
            self._monkeypatch.setattr(sys, "stdin", nothing)
            with pytest.raises(SystemExit) as end:
                main.main(words, prog_name="csflow", default_map=self._defaults)
        assert end.value.code in (0, None, OTHERS_FAIL.get(words[0], 0)), shlex.join(["csflow", *words])
