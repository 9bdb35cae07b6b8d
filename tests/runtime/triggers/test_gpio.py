"""A digital input as trigger: each edge one request and one result, over gpiod with a line that the test plays."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

pytest.importorskip("gpiod", reason="the extra gpio is not installed")

import gpiod
from gpiod.line import Bias, Clock, Direction, Edge

from csflow.runtime.bundle.calibration import load_calibration
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.detector import Detector
from csflow.runtime.engines.fake import FakeEngine
from csflow.runtime.errors import BackendUnavailable, ConfigError, SourceError, SourceLost
from csflow.runtime.line.stream import StreamPolicy, run_stream
from csflow.runtime.machine.install import pip_install
from csflow.runtime.sinks.memory import MemorySink
from csflow.runtime.sources.fake import FakeSource
from csflow.runtime.trigger import Trigger, open_trigger
from csflow.runtime.triggers.gpio import GpioTrigger
from csflow.runtime.triggers.pending import MAX_PENDING
from csflow.runtime.types import Frame, Result

from .gpio_lines import Lines

URI = "gpio:/dev/gpiochip0:17"


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Lines:
    made = Lines()

    def request_lines(chip: str, config: dict[Any, Any], **more: Any) -> Lines:
        made.asked = {"chip": chip, "config": config, **more}
        return made

    monkeypatch.setattr(gpiod, "request_lines", request_lines)
    return made


def some(trigger: Trigger, count: int) -> list[Any]:
    return [trigger.next(30.0) for _ in range(count)]


def test_the_line_is_asked_for_as_the_options_say_and_given_back(lines: Lines) -> None:
    trigger = open_trigger("gpio:/dev/gpiochip0:PART?edge=falling&debounce_ms=2.5&bias=pull-up")
    assert (lines.asked["chip"], lines.asked["consumer"], trigger.name) == (
        "/dev/gpiochip0",
        "csflow",
        "gpio:/dev/gpiochip0:PART",
    )
    ((line, settings),) = lines.asked["config"].items()
    assert line == "PART"
    assert (settings.direction, settings.edge_detection) == (Direction.INPUT, Edge.FALLING)
    assert (settings.bias, settings.debounce_period) == (Bias.PULL_UP, timedelta(milliseconds=2.5))
    assert settings.event_clock is Clock.MONOTONIC, "frames are stamped by this clock"
    assert not lines.released.is_set()
    trigger.close()
    trigger.close()
    assert lines.released.is_set()


def test_a_line_by_its_number_rising_without_debounce_by_default(lines: Lines) -> None:
    open_trigger(URI).close()
    ((line, settings),) = lines.asked["config"].items()
    assert (line, settings.edge_detection, settings.bias) == (17, Edge.RISING, Bias.AS_IS)
    assert settings.debounce_period == timedelta(0)


def test_each_edge_is_one_request_stamped_by_the_kernel(lines: Lines) -> None:
    trigger = open_trigger(URI)
    stamps = [*lines.edges(2), *lines.edges(1)]
    requests = some(trigger, 3)
    assert [(r.id, r.since_ns, r.missed) for r in requests] == [(str(i), ns, False) for i, ns in enumerate(stamps, 1)]
    assert trigger.next(0.0) is None
    trigger.close()


def test_edges_that_the_kernel_lost_are_missed_requests_not_missing_ones(lines: Lines) -> None:
    trigger = open_trigger(URI)
    lines.edges(1)
    lines.edges(1, lost=3)
    assert [(r.id, r.missed) for r in some(trigger, 5)] == [
        ("1", False),
        ("2", True),
        ("3", True),
        ("4", True),
        ("5", False),
    ]
    trigger.close()


def run(bundle: Bundle, trigger: Trigger, script: Callable[[], Any]) -> list[Result]:
    calibration = load_calibration(bundle)
    assert calibration is not None

    class Next(MemorySink):
        def write(self, result: Result, frame: Frame | None) -> None:
            super().write(result, frame)
            script()

    def camera() -> Any:
        draw = np.random.default_rng(5)
        while True:
            yield 0.002
            yield np.clip(51 + draw.integers(-3, 4, (64, 64, 3)), 0, 255).astype(np.uint8)

    sink, inspection = Next(), Detector(bundle, FakeEngine(bundle), calibration)
    policy = StreamPolicy(deadline_s=20.0)
    with pytest.raises(SourceLost, match=r"gpiochip0:17 is gone \(No such device\): plug its chip in again"):
        run_stream(FakeSource(camera(), live=True), inspection, [sink], policy=policy, trigger=trigger)
    return sink.results


def test_every_edge_gets_one_result_and_a_chip_that_goes_ends_the_run_after_them(
    calibrated_bundle: Bundle, lines: Lines
) -> None:
    trigger = open_trigger(URI)
    left = [lambda: lines.edges(2), lambda: None, lambda: (lines.edges(1), lines.unplug()), lambda: None]
    lines.edges(1)
    results = run(calibrated_bundle, trigger, lambda: left.pop(0)())
    assert [(r.trigger, r.verdict.name) for r in results] == [(str(i), "OK") for i in (1, 2, 3, 4)]
    assert lines.released.is_set()


def test_more_edges_than_may_wait_are_answered_all_the_same(calibrated_bundle: Bundle, lines: Lines) -> None:
    trigger = open_trigger(URI)
    assert isinstance(trigger, GpioTrigger)
    lines.edges(MAX_PENDING + 4)
    lines.unplug()
    assert lines.released.wait(30.0), "all were read"
    results = run(calibrated_bundle, trigger, lambda: None)
    assert [r.fault for r in results] == [""] * MAX_PENDING + ["missed"] * 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gpio:", "expected gpio:/dev/gpiochip0:17"),
        ("gpio:/dev/gpiochip0", "expected gpio:/dev/gpiochip0:17"),
        ("gpio:/dev/gpiochip0:", "expected gpio:/dev/gpiochip0:17"),
        ("gpio:gpiochip0:17", "expected gpio:/dev/gpiochip0:17"),
        (f"{URI}?edge=both", "for example rising or falling"),
        (f"{URI}?debounce_ms=2000", "0 to 1000"),
        (f"{URI}?debounce_ms=nan", "0 to 1000"),
        (f"{URI}?debounce=1", "did you mean 'debounce_ms'"),
    ],
)
def test_what_is_no_line_is_refused_in_words(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        open_trigger(text)


@pytest.mark.parametrize(
    ("chip", "why"), [("/dev/gpiochip99", "No such file or directory"), ("/dev/null", "No such device")]
)
def test_a_chip_that_is_none_is_told_by_the_real_library(chip: str, why: str) -> None:
    with pytest.raises(SourceError, match=rf"{chip}:17 cannot be used as an input with edges \({why}\): 'gpioinfo'"):
        open_trigger(f"gpio:{chip}:17")


def test_without_gpiod_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("gpiod", "gpiod.line"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(BackendUnavailable, match=re.escape(pip_install("gpio"))):
        open_trigger(URI)
