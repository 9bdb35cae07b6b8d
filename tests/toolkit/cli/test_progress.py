"""Bars on a terminal, whole lines in a log."""

from __future__ import annotations

import io
import sys

import pytest

from csflow.toolkit.cli import progress
from csflow.toolkit.cli.progress import TerminalReporter


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What `time.monotonic()` says here: the one number in it."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_a_log_has_whole_lines_and_none_of_short_work(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    reporter = TerminalReporter()
    with reporter.images(30) as advance:
        for _ in range(10):
            clock[0] += 0.9
            advance(1)
        assert capsys.readouterr().err == ""
        clock[0] += 3
        advance(5)
        assert capsys.readouterr().err == "features: 15 of 30 pictures in 00:12, 00:12 left\n"
        clock[0] += 12
        advance(15)
    assert capsys.readouterr().err == ""


def test_epochs_of_an_earlier_run_are_not_in_the_time_left(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with TerminalReporter().epochs(20) as on_epoch:
        clock[0] += 5
        on_epoch(10, 0.5)
        assert capsys.readouterr().err == "training: 10 of 20 epochs in 00:05, loss 0.5000\n"
        clock[0] += 10
        on_epoch(11, 0.25)
    assert capsys.readouterr().err == "training: 11 of 20 epochs in 00:15, 02:15 left, loss 0.2500\n"


def test_a_terminal_has_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    terminal.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stderr", terminal)
    with TerminalReporter().images(2, "evaluating") as advance:
        advance(2)
    assert terminal.getvalue().startswith("\revaluating:   0%|")
