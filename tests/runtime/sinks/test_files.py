"""Files beside JSON lines: tables, pictures within a budget, log lines that rotate; and the rules of choice."""

from __future__ import annotations

import csv
import json
import logging
import math
import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from csflow.runtime.cli import logs
from csflow.runtime.errors import ConfigError, SinkError
from csflow.runtime.picture.origin import RESULT, decoder_in, record_in
from csflow.runtime.sinks import log as log_sink
from csflow.runtime.sinks.files.table import COLUMNS, CsvSink
from csflow.runtime.sinks.log import LogSink
from csflow.runtime.sinks.memory import MemorySink
from csflow.runtime.sinks.overlay import OverlaySink
from csflow.runtime.sinks.record import result_record
from csflow.runtime.sinks.rule import ResultRule, SelectingSink
from csflow.runtime.types import Frame, Result, Verdict

IMAGE = np.full((48, 64, 3), 128, dtype=np.uint8)
OK = Result(Verdict.OK, 0.5, 1.0, 0.4, np.zeros((2, 2), np.float32), (3, 4), "", 0, 0, 0.01, "parts/1.png")
NOK = replace(OK, verdict=Verdict.NOK, score=2.0, reason="score 2 above reject threshold 1")
ERROR = replace(OK, verdict=Verdict.ERROR, score=math.nan, p_value=math.nan, peak_xy=(-1, -1), reason="unplugged")


# Tables


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_table_has_one_header_and_one_row_a_result_over_several_runs(tmp_path: Path) -> None:
    path = tmp_path / "new" / "parts.csv"
    for result in (NOK, ERROR):
        with CsvSink(path) as sink:
            sink.write(result, None)
    nok, error = rows(path)
    assert tuple(nok) == COLUMNS
    assert (nok["verdict"], float(nok["score"]), nok["peak_x"], nok["peak_y"]) == ("NOK", 2.0, "3", "4")
    assert (error["score"], error["p_value"], error["peak_x"], error["reason"]) == ("", "", "", "unplugged")


def test_a_table_that_is_rotated_or_deleted_while_it_grows_has_its_header(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "parts.csv"
    with CsvSink(path) as sink:
        sink.write(OK, None)
        os.truncate(path, 0)  # as logrotate's copytruncate does
        sink.write(NOK, None)
        assert [row["verdict"] for row in rows(path)] == ["NOK"]
        path.unlink()
        sink.write(OK, None)
        sink.write(NOK, None)
    assert [row["verdict"] for row in rows(path)] == ["OK", "NOK"]
    assert "parts.csv was deleted: it is made anew" in caplog.text
    with CsvSink(path) as sink:
        sink.write(OK, None)
    assert len(rows(path)) == 3


def test_a_row_is_one_line_and_no_formula(tmp_path: Path) -> None:
    path = tmp_path / "parts.csv"
    with CsvSink(path) as sink:
        sink.write(replace(NOK, source='=HYPERLINK("x"),\n"y"'), None)
    assert len(path.read_text().splitlines()) == 2
    assert rows(path)[0]["source"] == '\'=HYPERLINK("x"),?"y"'


def test_a_file_with_other_columns_is_not_mixed_up(tmp_path: Path) -> None:
    path = tmp_path / "parts.csv"
    path.write_text("date,part\n1,2\n")
    with pytest.raises(SinkError, match="its columns differ"):
        CsvSink(path)
    assert path.read_text() == "date,part\n1,2\n"


def test_a_named_pipe_gets_header_and_rows(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with CsvSink(pipe) as sink:
        sink.write(NOK, None)
        assert os.read(reader, 10_000).decode().count("\n") == 2
    os.close(reader)


# Rules


def wanted(rule: str, results: list[Result]) -> list[bool]:
    parsed = ResultRule(rule)
    return [parsed.wants(result) for result in results]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("all", [True, True, True, True, True]),
        ("not-ok", [False, True, True, False, False]),
        ("near", [False, False, False, True, True]),
        ("every=2", [True, False, True, False, True]),
        ("near,not-ok", [False, True, True, True, True]),
        ("every=4,near", [True, False, False, True, True]),
    ],
)
def test_rules(rule: str, expected: list[bool]) -> None:
    results = [OK, NOK, ERROR, replace(OK, score=0.81), replace(OK, score=1.19)]
    assert wanted(rule, results) == expected


@pytest.mark.parametrize("rule", ["", "some", "every=0", "every=", "every=1.5", "all,", "not ok"])
def test_what_is_no_rule(rule: str) -> None:
    with pytest.raises(ConfigError, match="expected all, not-ok, near or every=N"):
        ResultRule(rule)


def test_only_what_is_wanted_is_passed_on() -> None:
    memory = MemorySink()
    with SelectingSink(memory, ResultRule("not-ok")) as sink:
        for result in (OK, NOK, ERROR):
            sink.write(result, None)
    assert memory.results == [NOK, ERROR]
    assert memory.closed


# Pictures within a budget


def fill(folder: Path, count: int, budget: int) -> list[str]:
    made: list[str] = []
    with OverlaySink(folder, budget_bytes=budget) as sink:
        for _ in range(count):
            sink.write(NOK, Frame(IMAGE))
            made += sorted({p.name for p in folder.glob("*NOK*.jpg")} - set(made))
    return made


def test_the_oldest_pictures_make_room_those_of_earlier_runs_too(tmp_path: Path) -> None:
    first = fill(tmp_path, 1, 10**9)
    size = (tmp_path / first[0]).stat().st_size
    foreign = tmp_path / "holiday.jpg"
    foreign.write_bytes(b"x" * 10 * size)
    made = first + fill(tmp_path, 9, int(4.5 * size))
    assert sorted(p.name for p in tmp_path.glob("*NOK*")) == made[-4:]
    assert foreign.exists()


def test_files_that_go_while_a_folder_is_read_are_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = fill(tmp_path, 1, 10**9)[0]
    (tmp_path / f".{name}.00000000.tmp").touch()
    real = Path.stat

    def gone(path: Path, **options: bool) -> os.stat_result:
        if path.name.endswith((".jpg", ".tmp")) and not path.is_dir():
            os.unlink(path)
        return real(path, **options)

    monkeypatch.setattr(Path, "is_file", lambda _: True)
    monkeypatch.setattr(Path, "is_dir", os.path.isdir)
    monkeypatch.setattr(Path, "stat", gone)
    OverlaySink(tmp_path, budget_bytes=10**9).close()
    assert os.listdir(tmp_path) == []


def test_a_picture_larger_than_the_budget_is_refused_and_nothing_deleted(tmp_path: Path) -> None:
    kept = fill(tmp_path, 2, 10**9)
    with OverlaySink(tmp_path, budget_bytes=100) as sink, pytest.raises(SinkError, match="more than the whole budget"):
        sink.write(NOK, Frame(IMAGE))
    assert sorted(p.name for p in tmp_path.iterdir()) == kept


def test_what_a_killed_run_left_is_removed_but_not_what_is_being_written(tmp_path: Path) -> None:
    (name,) = fill(tmp_path, 1, 10**9)
    old, young, foreign = (tmp_path / n for n in (f".{name}.abcd1234.tmp", f".{name}.young_12.tmp", ".x.jpg.a.tmp"))
    for path in (old, young, foreign):
        path.write_bytes(b"half")
    for path in (old, foreign):
        os.utime(path, (time.time() - 3600,) * 2)
    OverlaySink(tmp_path).close()
    assert [p.exists() for p in (old, young, foreign)] == [False, True, True]


def test_the_cameras_own_picture_lies_beside_and_says_what_was_found(tmp_path: Path) -> None:
    levels = np.arange(48, dtype=np.uint16).reshape(6, 8) * 80
    with OverlaySink(tmp_path, raw=lambda camera: f"decoder of {camera}") as sink:
        sink.write(replace(NOK, camera="left"), Frame(IMAGE))
        sink.write(NOK, Frame(IMAGE, levels=levels))
    pictures = sorted(tmp_path.glob("*.png"))
    assert [p.stem for p in pictures] == [p.stem for p in sorted(tmp_path.glob("*.jpg"))]
    (colour, grey) = pictures
    np.testing.assert_array_equal(np.asarray(Image.open(colour)), IMAGE)
    np.testing.assert_array_equal(np.asarray(Image.open(grey)), levels)
    assert decoder_in(colour) == "decoder of left"
    assert record_in(colour, RESULT) == json.loads(json.dumps(result_record(replace(NOK, camera="left"))))


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("parts/17.png", "17-png"),
        ("synthetic://?defects=0.3&fps=5&seed=9&frames=40&size=384x384#31-missing_hole", "31-missing-hole"),
        ("genicam:?serial=1234567&ExposureTime=2000", "genicam"),
        ("rtsp://host/line?channel=2", "line"),
        ("odd?name.png", "odd-name-png"),
    ],
)
def test_a_name_has_the_frame_and_not_the_options_of_its_camera(source: str, name: str, tmp_path: Path) -> None:
    with OverlaySink(tmp_path) as sink:
        sink.write(replace(NOK, source=source), Frame(IMAGE))
    (path,) = tmp_path.iterdir()
    assert path.stem.partition("-NOK-")[2] == name


def test_raw_pictures_count_in_the_budget(tmp_path: Path) -> None:
    def run(count: int, budget: int) -> None:
        with OverlaySink(tmp_path, budget_bytes=budget, raw=lambda _: "Pillow") as sink:
            for _ in range(count):
                sink.write(NOK, Frame(IMAGE))

    run(1, 10**9)
    both = sum(p.stat().st_size for p in tmp_path.iterdir())
    run(5, 3 * both)
    left = sorted(p.name for p in tmp_path.iterdir())
    assert len(left) == 6
    assert len({Path(name).stem for name in left}) == 3


# Log lines


def test_a_log_has_warnings_results_and_errors_with_their_time(tmp_path: Path) -> None:
    path = tmp_path / "new" / "run.log"
    with logs.run_logs(path) as log, LogSink() as sink:
        log.warning("output %s failed", "mqtt")
        for result in (OK, NOK, replace(ERROR, source="a\nb")):
            sink.write(result, None)
    lines = path.read_text().splitlines()
    assert len(lines) == 3
    assert all(line[:2] == "20" and line[23] == "Z" for line in lines)
    assert "WARNING output mqtt failed" in lines[0]
    assert "NOK 2.00 x threshold" in lines[1]
    assert "a?b (unplugged)" in lines[2]


def test_a_log_that_is_deleted_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "new" / "run.log"
    handler = logs._file(path)
    handler.emit(logging.makeLogRecord({"msg": "first"}))
    path.unlink()
    path.parent.rmdir()
    handler.emit(logging.makeLogRecord({"msg": "second"}))
    handler.close()
    assert path.read_text().endswith("second\n")


def test_warnings_are_on_standard_error_and_results_are_not(capfd: pytest.CaptureFixture[str]) -> None:
    with logs.run_logs(None) as log, LogSink() as sink:
        log.warning("output mqtt failed")
        sink.write(NOK, None)
    assert capfd.readouterr().err == "WARNING: output mqtt failed\n"


def test_logging_is_as_it_was_afterwards(tmp_path: Path) -> None:
    logger = logging.getLogger("csflow")
    before = (logger.level, logger.propagate, list(logger.handlers))
    with logs.run_logs(tmp_path / "log"):
        assert (logger.level, logger.propagate, list(logger.handlers)) != before
    assert (logger.level, logger.propagate, list(logger.handlers)) == before


def test_a_log_that_cannot_be_opened_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SinkError, match="cannot write"), logs.run_logs(tmp_path / "file" / "log"):
        pass


def test_a_flood_is_told_in_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_sink, "PERIOD_S", 1000.0)
    with logs.run_logs(tmp_path / "log"), LogSink() as sink:
        for _ in range(5000):
            sink.write(NOK, None)
    lines = (tmp_path / "log").read_text().splitlines()
    assert len(lines) == log_sink.LINES + 1
    assert "4980 more results that were not OK" in lines[-1]
