"""Lines on standard input as requests, and an end that no open pipe disturbs."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.errors import ConfigError, EndOfStream
from csflow.runtime.trigger import open_trigger
from csflow.runtime.triggers.lines import MAX_LINE, LineTrigger
from csflow.runtime.triggers.pending import MAX_WAITING

from ..asked import given  # noqa: TID252 - tests are no package that could be named

PARTS = "synthetic://?fps=30&size=64x64"


def ids(trigger: LineTrigger) -> list[str]:
    found = []
    with trigger, contextlib.suppress(EndOfStream):
        while True:
            request = trigger.next(30.0)
            assert request is not None
            found.append(request.id)
    return found


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"part-7\n\x1bx\xff\n" + b"y" * 99, ["part-7", "?x\ufffd", "y" * 64]),
        (b"a\r\n\r\n\r\nb\r\n", ["a", "b"]),
        (b"\n \n\t\n", []),
        (b"", []),
        (b"z" * (2 * MAX_LINE) + b"\nb\n", ["z" * 64, "b"]),
    ],
)
def test_a_line_is_a_request_and_an_empty_one_is_none(pipe: tuple[int, int], data: bytes, expected: list[str]) -> None:
    assert ids(given(pipe, data)) == expected


def test_a_line_that_comes_in_parts_is_one_request_when_it_ends(pipe: tuple[int, int]) -> None:
    with LineTrigger(pipe[0]) as trigger:
        os.write(pipe[1], b"part")
        assert trigger.next(0.2) is None
        os.write(pipe[1], b"-9\n")
        request = trigger.next(30.0)
        assert request is not None
        assert request.id == "part-9"


def test_a_flood_is_read_no_faster_than_it_is_answered(pipe: tuple[int, int]) -> None:
    os.set_blocking(pipe[1], False)

    def full(trigger: LineTrigger) -> bool:
        try:
            os.write(pipe[1], b"x\n" * 1000)
        except BlockingIOError:
            return len(trigger._pending) >= MAX_WAITING
        return False

    with LineTrigger(pipe[0]) as trigger:
        for taken in (0, 5):
            for _ in range(taken):
                assert trigger.next(30.0) is not None
            until_s = time.monotonic() + 60.0
            while not full(trigger):
                assert time.monotonic() < until_s
            assert len(trigger._pending) == MAX_WAITING


def test_without_a_standard_input_it_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(ConfigError, match="standard input is closed"):
        open_trigger("stdin")


def test_a_run_ends_in_order_while_the_gateway_keeps_its_pipe_open(calibrated_bundle: Bundle) -> None:
    # A thread inside a buffered read at the interpreter's end is an abort: exit 134 instead of 0.
    command = [Path(sys.executable).parent / "csflow", "run", "--backend", "fake", "--bundle", calibrated_bundle.path]
    options = ["--camera", PARTS, "--trigger", "stdin", "--frames", "2", "--quiet"]
    with subprocess.Popen(
        [*map(str, command), *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin
        assert process.stderr
        process.stdin.write(b"a\nb\n")
        process.stdin.flush()
        assert process.wait(60) == 0
        assert b"Fatal" not in process.stderr.read()


@pytest.mark.parametrize(("data", "expected"), [(b"\n\nx\n", ["1", "2", "x"]), (b"", []), (b"\ny", ["1", "y"])])
def test_enter_may_be_a_request_too(pipe: tuple[int, int], data: bytes, expected: list[str]) -> None:
    os.write(pipe[1], data)
    os.close(pipe[1])
    assert ids(LineTrigger(pipe[0], blank=True)) == expected
