"""What was written is what is counted, by whoever reads Parquet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.cli.main import main
from csflow.runtime.errors import ConfigError, DataError, SinkError
from csflow.runtime.history import sink as sink_module
from csflow.runtime.history.query import Period, Row, counted, looks, parts, since_first, wilson
from csflow.runtime.history.sink import HistorySink
from csflow.runtime.history.store import Store
from csflow.runtime.types import Result, Verdict

duckdb = pytest.importorskip("duckdb", reason="the extra history is not installed")


def record(day: str, number: int, verdict: str, score: float | None) -> dict[str, Any]:
    stamp = f"{day}T{number // 3600:02d}:{number // 60 % 60:02d}:{number % 60:02d}.250Z"
    return {"time_utc": stamp, "verdict": verdict, "score": score, "source": f"{number}.png", "bundle": "a.csflow",
            "weights_sha256": "ab" * 32, "engine": "fake", "reason": "", "verified": True}  # fmt: skip


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two lines, two days: 100 parts a day, every tenth NOK on line b's second day."""
    for line in ("a", "press 3"):
        store = Store(tmp_path / "history", line)
        for day in ("2026-03-01", "2026-03-02"):
            bad = (line, day) == ("press 3", "2026-03-02")
            store.append([
                record(day, i * 60, "NOK" if bad and i % 10 == 0 else "ERROR" if i == 5 else "OK",
                       None if i == 5 else 0.25 + i % 2 / 2)
                for i in range(100)
            ])  # fmt: skip
        store.close()
    return tmp_path / "history"


def test_counts_are_right_by_line_and_day(root: Path) -> None:
    rows = {row.group: row for row in counted(root, Period(), ("line", "day"))}
    assert len(rows) == 4
    assert all((row.parts, row.error) == (100, 1) for row in rows.values())
    bad = rows["press 3", "2026-03-02"]
    assert (bad.ok, bad.nok) == (89, 10)
    assert bad.nok_low < 10 / 99 < bad.nok_high
    good = rows["a", "2026-03-01"]
    scores = [0.25 + i % 2 / 2 for i in range(100) if i != 5]
    assert good.ok_score == pytest.approx(np.mean(scores))
    assert good.ok_score_error == pytest.approx(np.std(scores, ddof=1) / 99**0.5)


def test_a_period_a_line_and_a_bundle_are_chosen(root: Path) -> None:
    (row,) = counted(root, Period(date(2026, 3, 2), date(2026, 3, 2), "press 3", "a.csflow"), ())
    assert (row.group, row.parts, row.nok) == ((), 100, 10)
    assert counted(root, Period(bundle="b.csflow"), ("line",)) == []


def test_a_line_that_the_store_has_not_is_refused_with_those_that_it_has(root: Path) -> None:
    for asked in (lambda p: counted(root, p, ()), lambda p: list(looks(root, p))):
        with pytest.raises(DataError, match=r"has no line 'pres 1': it has 'a', 'press 3'$"):
            asked(Period(line="pres 1"))


def test_the_parts_behind_a_number_are_named_newest_first(root: Path) -> None:
    found = parts(root, Period(), "NOK", 3)
    assert [row["source"] for row in found] == ["5400.png", "4800.png", "4200.png"]
    assert {row["line"] for row in found} == {"press 3"}


def test_others_read_the_files(root: Path) -> None:
    sql = f"SELECT count(*), count(score), min(time)::VARCHAR FROM '{root}/*/*/*.parquet'"
    assert duckdb.sql(sql).fetchall() == [(400, 396, "2026-03-01 00:00:00.25")]


@pytest.mark.parametrize(("successes", "trials"), [(0, 50), (10, 99), (50, 50), (1, 2)])
def test_the_interval_is_wilsons(successes: int, trials: int) -> None:
    from scipy.stats import binomtest

    expected = binomtest(successes, trials).proportion_ci(method="wilson")
    assert wilson(successes, trials) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert wilson(0, 0) == (0.0, 1.0)


def test_the_oldest_go_where_the_budget_ends(tmp_path: Path) -> None:
    store = Store(tmp_path, "a", budget_bytes=1)
    for day in ("2026-03-01", "2026-03-02"):
        store.append([record(day, 1, "OK", 0.5)])
    store.make_room()
    assert [path.name for path in (tmp_path / "line=a").iterdir()] == ["day=2026-03-02"]


def test_what_a_killed_writer_left_is_cleared(root: Path) -> None:
    left = root / "line=a/day=2026-03-01/.0000000000000000001-7.parquet.00000000.tmp"
    left.write_bytes(b"PAR1")
    assert counted(root, Period(line="a"), ())[0].parts == 200
    Store(root, "a").close()
    assert not left.exists()


def test_a_file_that_is_no_parquet_is_named(root: Path) -> None:
    (root / "line=a/day=2026-03-01/0000000000000000001-7.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(DataError, match="cannot be read"):
        counted(root, Period(), ())


def test_the_first_fault_of_a_line_is_counted_and_listed(tmp_path: Path) -> None:
    # Its files before had neither faults nor parts: a column without a value is read beside one with texts.
    store = Store(tmp_path, "a")
    store.append([record("2026-03-01", 1, "OK", 0.5)])
    store.append([record("2026-03-02", 1, "ERROR", None) | {"fault": "dark", "part": "0012"}])
    store.close()
    others = tmp_path / "line=a/day=2026-03-01/0.parquet"
    duckdb.sql(f"COPY (SELECT 1 AS x, NULL AS fault) TO '{others}' (FORMAT parquet)")
    assert [(row.group, row.parts) for row in counted(tmp_path, Period(), ("fault",))] == [(("",), 1), (("dark",), 1)]
    assert [row["part"] for row in parts(tmp_path, Period(), None, 9)] == ["0012", None]
    others.unlink()
    sql = f"SELECT count(fault), count(part) FROM '{tmp_path}/*/*/*.parquet'"
    assert duckdb.sql(sql).fetchall() == [(1, 1)], "others read the files without being told how"


def test_files_of_another_program_are_no_history(tmp_path: Path) -> None:
    folder = tmp_path / "line=a/day=2026-03-01"
    folder.mkdir(parents=True)
    duckdb.sql(f"COPY (SELECT 1 AS x) TO '{folder}/0.parquet' (FORMAT parquet)")
    with pytest.raises(DataError, match="not of csflow"):
        counted(tmp_path, Period(), ())


def test_days_are_those_of_utc_whatever_the_records_say(tmp_path: Path) -> None:
    store = Store(tmp_path, "a")
    store.append([record("2026-03-01", 1, "OK", 0.5) | {"time_utc": "2026-03-01T01:30:00.000+02:00"}])
    store.close()
    assert counted(tmp_path, Period(), ("day", "hour"))[0].group == ("2026-02-28", "2026-02-28 23:00")


@pytest.mark.parametrize(
    "words",
    [("--verdict", "NOK"), ("--by", "day", "--parts", "3"), ("--day", "2026-03-01", "--since", "2026-03-01"),
     ("--since", "2026-03-02", "--until", "2026-03-01"), ("--csv", "--json")],
)  # fmt: skip
def test_options_that_would_be_passed_over_are_refused(root: Path, words: tuple[str, ...]) -> None:
    done = CliRunner().invoke(main, ["history", str(root), *words])
    assert done.exit_code == 2, done.output


@pytest.mark.parametrize("last", ["no json", '{"source": "", "verdict": "OK"}'])
def test_a_file_with_a_bad_line_is_added_whole_or_not(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: str
) -> None:
    from csflow.runtime.cli.records import history

    monkeypatch.setattr(history, "BATCH", 2)
    good = [json.dumps(record("2026-03-03", number, "OK", 0.5)) for number in range(5)]
    (tmp_path / "r.jsonl").write_text("\n".join([*good, last]))
    done = CliRunner().invoke(main, ["history", str(root), "--add", str(tmp_path / "r.jsonl"), "--line", "new"])
    assert done.exit_code == 1
    assert not (root / "line=new").exists()


def test_a_name_that_is_not_unicode_costs_nobody_a_row(tmp_path: Path) -> None:
    odd = {**record("2026-03-01", 1, "OK", 0.5), "source": "caf\udce9.png"}
    Store(tmp_path, "a").append([odd, record("2026-03-01", 2, "OK", 0.5)])
    assert {str(row["source"]) for row in parts(tmp_path, Period(), None, 9)} >= {"caf\\xe9.png"}


@pytest.mark.parametrize("name", ["", "../x", "a/b", "x" * 65, ".a"])
def test_names_of_lines(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="no name of a line"):
        Store(tmp_path, name)
    with pytest.raises(DataError, match="no history at"):
        counted(tmp_path, Period(), ())


def result(number: int) -> Result:
    empty = np.zeros((0, 0), np.float32)
    return Result(Verdict.OK, 0.5, 0.6, 0.5, empty, (-1, -1), "", number, 0, 0.01, f"{number}.png")


def test_a_run_writes_now_and_then_and_at_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sink_module, "ROWS", 4)
    with HistorySink(tmp_path, "a") as sink:
        for number in range(6):
            sink.write(result(number), None)
        assert counted(tmp_path, Period(), ())[0].parts == 4
    assert counted(tmp_path, Period(), ())[0].parts == 6


def test_rows_are_tried_again_after_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sink_module, "ROWS", 1)
    with HistorySink(tmp_path, "a") as sink:
        with monkeypatch.context() as patch:
            patch.setattr(Store, "append", full)
            with pytest.raises(SinkError, match="disk full"):
                sink.write(result(0), None)
        sink.write(result(1), None)
    assert counted(tmp_path, Period(), ())[0].parts == 2


def test_a_disk_that_fills_at_midnight_or_while_room_is_made_doubles_no_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    def at_midnight(store: Store, day: str, records: Sequence[Mapping[str, object]]) -> None:
        if day == "2026-03-02":
            full()
        written(store, day, records)

    written, rows = Store._write, [record(day, 1, "OK", 0.5) for day in ("2026-03-01", "2026-03-02")]
    monkeypatch.setattr(sink_module, "result_record", lambda _: rows.pop(0))
    with HistorySink(tmp_path, "a") as sink:
        sink.write(result(0), None)
        monkeypatch.setattr(sink_module, "ROWS", 2)
        with monkeypatch.context() as patch:
            patch.setattr(Store, "_write", at_midnight)
            with pytest.raises(SinkError, match="disk full"):
                sink.write(result(1), None)
        with monkeypatch.context() as patch:
            patch.setattr(Store, "make_room", full)
            with pytest.raises(SinkError, match="disk full"):
                sink._flush()
    assert counted(tmp_path, Period(), ())[0].parts == 2


def test_the_command(calibrated_bundle: Bundle, tmp_path: Path) -> None:
    def command(*words: object) -> Any:
        return CliRunner().invoke(main, [str(word) for word in words])

    root, results = tmp_path / "history", tmp_path / "results.jsonl"
    done = command("run", "--bundle", calibrated_bundle.path, "--backend", "fake", "--quiet", "--blur", "0",
                   "--camera", "synthetic://?frames=12&size=64x64", "--results", results,
                   "--history", root, "--line", "press 3")  # fmt: skip
    assert done.exit_code == 0, done.output
    count = len(results.read_text().splitlines())
    asked = json.loads(command("history", root, "--by", "line", "--json").stdout)["rows"]
    assert [(row["line"], row["parts"]) for row in asked] == [("press 3", count)]
    assert command("history", root, "--add", results).exit_code == 2
    done = command("history", root, "--add", results, "--line", "press 4", "--by", "verdict")
    assert done.exit_code == 2  # a verdict is a column, not a group
    done = command("history", root, "--add", results, "--line", "press 4", "--by", "line", "--csv")
    (row,) = csv.DictReader(io.StringIO(done.stdout))
    assert (row["line"], row["parts"]) == ("press 4", str(count))
    table = command("history", root, "--by", "line").stdout.splitlines()
    assert [text.split()[:3] for text in table[1:]] == [["press", name, str(count)] for name in "34"]
    listed = command("history", root, "--parts", 30).stdout.splitlines()
    assert len(listed) == 2 * count


def test_the_change_since_the_first_day_is_an_interval_that_holds_its_confidence() -> None:
    def row(line: str, day: str, mean: float | None, error: float | None) -> Row:
        return Row((line, day), 50, 50, 0, 0, 0, 0.0, 0.1, mean, error)

    rows = [row("a", "1", 1.0, 0.03), row("a", "2", 1.2, 0.04), row("a", "3", None, None), row("b", "1", 5.0, 0.1)]
    moved = since_first(rows, ("line", "day"))
    assert moved[0] is moved[2] is moved[3] is None
    assert moved[1] == pytest.approx((0.2 - 1.96 * 0.05, 0.2 + 1.96 * 0.05), rel=1e-4)
    assert since_first(rows, ("line", "bundle")) == [None] * 4
