"""What `make bench` has measured is printed, whatever comes after."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parent))
import bench
from bench_report import Report
from bench_rows import Row

from csflow.runtime.errors import BackendUnavailable

ROW = Row("an engine", 0.5, 0.6, 0.7, 1.0, "itself")


def answers(value: Any) -> Callable[..., Any]:
    return lambda *_given, **_options: value


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bench whose parts take no time, and whose peer fails."""
    for name in ("require_peer", "random_bundle", "pictures", "measure_memory"):
        monkeypatch.setattr(bench, name, answers([None]))

    def engines(report: Report, *_given: object) -> float:
        report.table("engines", [ROW])
        return 1.0

    def fails(*_given: object) -> None:
        raise BackendUnavailable("the peer ended with status 1: no onnxscript")

    monkeypatch.setattr(bench, "measure_engines", engines)
    monkeypatch.setattr(bench, "plc_rows", answers([ROW]))
    monkeypatch.setattr(bench, "help_row", answers(ROW))
    monkeypatch.setattr(bench, "beside_peer", fails)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("words", [[], ["--json"]])
def test_a_peer_that_fails_takes_no_table_with_it(words: list[str]) -> None:
    done = CliRunner().invoke(bench.bench, ["--no-training", "--peer", "python", *words])
    assert done.exit_code == 1
    assert done.stderr.endswith("Error: the peer ended with status 1: no onnxscript\n")
    if words:
        found = json.loads(done.stdout)
        assert [found[name][0]["median_s"] for name in ("engines", "plc", "rest")] == [0.5, 0.5, 0.5]
    else:
        assert done.stdout.count("| an engine | 500.00 | 600.00 | 700.00 | 1.000 of itself |") == 3


@pytest.mark.usefixtures("quick")
def test_it_says_what_it_is_doing_beside_its_tables() -> None:
    done = CliRunner().invoke(bench.bench, ["--no-training", "--json"])
    assert done.exit_code == 0
    assert "a PLC station" in done.stderr
    assert {"engines", "plc", "rest", "load_before", "load_after", "elsewhere"} <= set(json.loads(done.stdout))


def test_text_is_out_before_the_next_part_begins(capsys: pytest.CaptureFixture[str]) -> None:
    with Report(as_json=False) as report:
        report.fact("model", "small")
        assert capsys.readouterr().out == "model: small\n"
        report.table("rest", [ROW])
        assert "| an engine |" in capsys.readouterr().out
