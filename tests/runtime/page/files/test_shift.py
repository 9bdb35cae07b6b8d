"""The shift's counters outlive the run that counted them."""

from __future__ import annotations

import errno
import json
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from csflow.runtime.errors import ConfigError, SinkError
from csflow.runtime.page.facts import Beside
from csflow.runtime.page.files import shift as module

from ..results import INFO, NOK, OK  # noqa: TID252 - tests are no package that could be named

pytest.importorskip("starlette", reason="the page needs csflow[serve]")
from csflow.runtime.page.sink import PageSink

LONG_S = 60.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "shift.json"


def run(path: Path) -> PageSink:
    return PageSink("127.0.0.1:0", INFO, beside=Beside(shift=path))


def until(what: Callable[[], Any]) -> None:
    end_s = time.monotonic() + LONG_S
    while not what():
        assert time.monotonic() < end_s
        time.sleep(0.005)


def test_the_next_run_counts_on(path: Path) -> None:
    with run(path) as first:
        for result in (OK, NOK, OK):
            first.write(result, None)
        began = first._state.shift().since
    with run(path) as second:
        assert second._state.shift() == module.Shift(began, {"OK": 2, "NOK": 1, "UNCERTAIN": 0, "ERROR": 0})
        second.write(NOK, None)
        shown = second._state.snapshot([], 0)
        assert (shown["shift"]["counts"]["NOK"], shown["counts"]["NOK"], shown["shift"]["since"]) == (2, 1, began)
        second._state.reset_shift()
        second.write(OK, None)
    with run(path) as third:
        assert third._state.shift().counts == {"OK": 1, "NOK": 0, "UNCERTAIN": 0, "ERROR": 0}
        assert third._state.shift().since >= began


def test_what_was_counted_is_on_disk_while_the_run_goes_on(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SAVE_S", 0.01)
    with run(path) as page:
        page.write(replace(NOK), None)
        until(lambda: path.exists() and json.loads(path.read_bytes())["counts"]["NOK"] == 1)


@pytest.mark.parametrize("damage", [b"{", b'{"since": 1.0, "counts": {"OK": -1}}', b'{"since": "x"}'])
def test_a_damaged_file_is_told_and_the_shift_begins(
    path: Path, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path.parent.mkdir()
    path.write_bytes(damage)
    with caplog.at_level(logging.WARNING), run(path) as page:
        assert set(page._state.shift().counts.values()) == {0}
    assert "the shift begins at 0" in caplog.text
    assert json.loads(path.read_bytes())["counts"]["OK"] == 0


def test_two_runs_do_not_count_in_one_file(path: Path) -> None:
    with run(path), pytest.raises(ConfigError, match="another csflow run counts its shift"):
        run(path)
    run(path).close()


def test_a_folder_that_cannot_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(SinkError, match="cannot write"):
        run(tmp_path / "file" / "shift.json")


def test_a_full_disk_costs_the_counters_and_nothing_else(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tried = []

    def full(at: Path, _data: bytes) -> None:
        tried.append(at)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "SAVE_S", 0.01)
    monkeypatch.setattr(module, "write_atomic", full)
    with caplog.at_level(logging.WARNING), run(path) as page:
        until(lambda: len(tried) > 2)
        page.write(OK, None)
        assert page._state.shift().counts["OK"] == 1
    assert caplog.text.count("are not kept: disk full") == 1
