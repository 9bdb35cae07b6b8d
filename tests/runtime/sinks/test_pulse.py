"""Verdicts as pulses: energise to pass, and nothing at any doubt. The chip is played."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("gpiod", reason="the extra gpio is not installed")

import gpiod

from csflow.runtime.errors import ConfigError, SinkError
from csflow.runtime.sinks.pulse import PulseSink
from csflow.runtime.types import Result, Verdict

from ..chip import Chip  # noqa: TID252 - tests are no package that could be named

LINES = "gpio:/dev/gpiochip0?ok=22&nok=REJECT"
OK = Result(Verdict.OK, 0.5, 1.0, 0.4, np.zeros((2, 2), np.float32), (0, 0), "", 0, 0, 0.012)
LONG_S = 60.0


@pytest.fixture
def chip(monkeypatch: pytest.MonkeyPatch) -> Iterator[Chip]:
    made = Chip(22, "REJECT")
    monkeypatch.setattr(gpiod, "request_lines", made.request_lines)
    yield made
    assert (True, True) not in made.history


def until(what: Callable[[], Any]) -> None:
    end_s = time.monotonic() + LONG_S
    while not what():
        assert time.monotonic() < end_s
        time.sleep(0.001)


@pytest.mark.parametrize(
    ("verdict", "verified", "pulse"),
    [
        (Verdict.OK, True, (True, False)),
        (Verdict.NOK, True, (False, True)),
        (Verdict.UNCERTAIN, True, (False, True)),
        (Verdict.OK, False, (False, True)),
    ],
)
def test_each_verdict_is_one_pulse(chip: Chip, verdict: Verdict, verified: bool, pulse: tuple[bool, bool]) -> None:
    with PulseSink(f"{LINES}&pulse_ms=1") as sink:
        assert chip.outputs == {22: False, "REJECT": False}
        for _ in range(3):
            before = len(chip.history)
            sink.write(replace(OK, verdict=verdict, verified=verified), None)
            until(lambda before=before: chip.history[before:][-1:] == [(False, False)])
    assert [one for one in chip.history if one != (False, False)] == [pulse] * 3
    assert (chip.outputs, chip.released) == ({22: False, "REJECT": False}, 1)


@pytest.mark.parametrize(("option", "low"), [("", False), ("&active=high", False), ("&active=low", True)])
def test_active_is_high_unless_it_is_said(chip: Chip, option: str, low: bool) -> None:
    chip.active_low = not low
    PulseSink(LINES + option).close()
    assert chip.active_low is low


def test_an_error_ends_a_pulse_and_moves_nothing(chip: Chip) -> None:
    with PulseSink(f"{LINES}&pulse_ms=10000") as sink:
        sink.write(OK, None)
        until(lambda: chip.outputs[22])
        sink.write(replace(OK, verdict=Verdict.ERROR), None)
        until(lambda: not chip.outputs[22])
        sink.write(replace(OK, verdict=Verdict.NOK), None)
        until(lambda: chip.outputs["REJECT"])
    assert [one for one in chip.history if one != (False, False)] == [(True, False), (False, True)]


def test_the_next_result_ends_a_pulse_with_a_gap(chip: Chip) -> None:
    with PulseSink(f"{LINES}&pulse_ms=10000") as sink:
        for count in range(1, 4):
            sink.write(OK, None)
            until(lambda count=count: chip.history.count((True, False)) == count and chip.outputs[22])
    pulses = chip.history[chip.history.index((True, False)) :]
    assert pulses == [(True, False), (False, False)] * 3


def test_the_end_ends_a_pulse(chip: Chip) -> None:
    sink = PulseSink(f"{LINES}&pulse_ms=10000&active=low")
    sink.write(OK, None)
    until(lambda: chip.outputs[22])
    sink.close()
    sink.close()
    assert (chip.outputs, chip.released, chip.active_low) == ({22: False, "REJECT": False}, 1, True)
    with pytest.raises(SinkError, match="closed"):
        sink.write(OK, None)


def test_a_verdict_that_could_not_be_shown_in_time_is_not_shown(chip: Chip, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("csflow.runtime.sinks.pulse.LATEST_S", -1.0)
    with PulseSink(f"{LINES}&pulse_ms=1") as sink:
        sink.write(OK, None)
        until(lambda: sink._next is None)
    assert (True, False) not in chip.history


def test_a_chip_that_is_gone_ends_the_run(chip: Chip) -> None:
    with PulseSink(f"{LINES}&pulse_ms=1") as sink:
        chip.broken = True
        sink.write(OK, None)
        until(lambda: chip.released)
        with pytest.raises(SinkError, match="cannot be set"):
            sink.write(OK, None)


BUSY = f"{LINES}&busy=24&pulse_ms=10000"


def test_busy_is_from_the_trigger_to_the_verdict_which_stands_when_it_falls(chip: Chip) -> None:
    with PulseSink(BUSY) as sink:
        sink.asked()
        until(lambda: chip.outputs[24])
        sink.write(OK, None)
        until(lambda: not chip.outputs[24])
        assert chip.outputs[22]
        sink.asked()
        until(lambda: chip.outputs[24])
        assert chip.outputs[22], "the pulse of the part before goes on"
        sink.write(replace(OK, verdict=Verdict.ERROR), None)
        until(lambda: not chip.outputs[24])
    assert chip.active == [set(), {24}, {22, 24}, {22}, {22, 24}, {24}, set()]


def test_busy_falls_between_two_parts_that_follow_at_once(chip: Chip) -> None:
    with PulseSink(BUSY) as sink:
        sink.asked()
        until(lambda: chip.outputs[24])
        sink.write(OK, None)
        sink.asked()
        until(lambda: {22} in chip.active and chip.outputs[24])
        assert chip.active[1:] == [{24}, {22, 24}, {22}, {22, 24}]
        sink.write(replace(OK, verdict=Verdict.NOK), None)
        until(lambda: not chip.outputs[24])
        assert chip.active[5:] == [{24}, {24, "REJECT"}, {"REJECT"}]
    assert chip.active[-1] == set()


def test_without_a_line_for_it_nothing_is_busy(chip: Chip) -> None:
    with PulseSink(f"{LINES}&pulse_ms=1") as sink:
        sink.asked()
        sink.write(OK, None)
        until(lambda: chip.history[-2:] == [(True, False), (False, False)])
    assert set(chip.outputs) == {22, "REJECT"}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("gpio:gpiochip0?ok=1&nok=2", "no output"),
        ("relay:/dev/x?ok=1&nok=2", "no output"),
        ("gpio:/dev/gpiochip0?ok=1", "a line each"),
        ("gpio:/dev/gpiochip0?ok=1&nok=1", "a line each"),
        ("gpio:/dev/gpiochip0?ok=1&nok=2&pulse_ms=0", "pulse_ms"),
        ("gpio:/dev/gpiochip0?ok=1&nok=2&active=maybe", "active"),
        ("gpio:/dev/gpiochip0?ok=1&nok=2&busy=2", "a line each"),
        ("gpio:/dev/gpiochip0?ok=1&nok=2&lamp=3", "no option 'lamp'"),
    ],
)
def test_what_is_no_output(chip: Chip, text: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        PulseSink(text)
    assert chip.outputs == {}
