"""What every sink promises, and what each kind promises beyond."""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import resource
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from csflow.runtime.errors import SinkError
from csflow.runtime.sinks.files.jsonl import JsonLinesSink
from csflow.runtime.sinks.overlay import OverlaySink
from csflow.runtime.sinks.terminal import TerminalSink, result_line
from csflow.runtime.types import Frame, Result, Verdict

IMAGE = np.full((48, 64, 3), 128, dtype=np.uint8)
NOK = Result(
    verdict=Verdict.NOK,
    score=1.83,
    threshold=1.0,
    p_value=0.002,
    anomaly_map=np.arange(4, dtype=np.float32).reshape(2, 2),
    peak_xy=(48, 36),
    reason="score 1.83 above reject threshold 1",
    frame_index=42,
    captured_ns=7,
    latency_s=0.0123,
    source="parts/17.png",
)
OK = replace(NOK, verdict=Verdict.OK, score=0.5, reason="")
ERROR = replace(
    NOK,
    verdict=Verdict.ERROR,
    score=math.nan,
    p_value=math.nan,
    anomaly_map=np.zeros((0, 0), dtype=np.float32),
    peak_xy=(-1, -1),
    reason="parts/17.png is not a picture",
)

# JSON lines


def read_lines(path: Path) -> list[dict[str, object]]:
    assert path.read_bytes()[-1:] == b"\n"
    return [json.loads(line, parse_constant=pytest.fail) for line in path.read_text().splitlines()]


def test_a_line_holds_finite_numbers_or_null_and_the_verdict_by_name(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    with JsonLinesSink(path) as sink:
        sink.write(NOK, None)
        sink.write(replace(ERROR, source='lot "7"/ä\n.png'), None)
    nok, error = read_lines(path)
    assert (nok["verdict"], nok["score"], nok["peak_xy"]) == ("NOK", 1.83, [48, 36])
    assert (error["verdict"], error["score"], error["p_value"], error["peak_xy"]) == (
        "ERROR",
        None,
        None,
        None,
    )
    assert error["source"] == 'lot "7"/ä\n.png'
    assert error["reason"] == "parts/17.png is not a picture"


def test_a_line_is_in_the_file_as_soon_as_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    with JsonLinesSink(path) as sink:
        sink.write(OK, None)
        assert len(read_lines(path)) == 1


def test_a_second_run_appends_and_does_not_run_on_from_half_a_line(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    path.write_text('{"verdict":"OK"}\n{"verd')
    with JsonLinesSink(path) as sink:
        sink.write(NOK, None)
    first, torn, last = path.read_text().splitlines()
    assert json.loads(first)["verdict"] == "OK"
    assert torn == '{"verd'
    assert json.loads(last)["verdict"] == "NOK"


@contextlib.contextmanager
def small_files() -> Iterator[None]:
    """Files may grow to 1000 bytes: a write is cut short, as on a disk that gets full.

    No fixture: pytest writes its progress, perhaps to a file, before it tears fixtures down.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_line_that_does_not_fit_is_taken_back(tmp_path: Path) -> None:
    path, written = tmp_path / "results.jsonl", []

    def fill(sink: JsonLinesSink) -> None:
        for _ in range(100):
            sink.write(NOK, None)
            written.append(NOK)

    with small_files(), JsonLinesSink(path) as sink, pytest.raises(SinkError, match=r"results\.jsonl"):
        fill(sink)
    assert len(read_lines(path)) == len(written) > 0


def test_a_full_disk_is_named() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with (
        JsonLinesSink("/dev/full") as sink,
        pytest.raises(SinkError, match="disk full while writing /dev/full"),
    ):
        sink.write(NOK, None)


@pytest.mark.parametrize("kind", [JsonLinesSink, OverlaySink])
def test_a_place_that_cannot_be_written_is_refused_at_once(kind: Callable[[Path], object], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SinkError, match="cannot write"):
        kind(tmp_path / "file" / "below")


def test_a_reader_that_has_gone_is_told_apart() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream:
        sink = TerminalSink(stream)
        with pytest.raises(SinkError, match="nobody reads"):
            sink.write(NOK, None)
        os.dup2(os.open(os.devnull, os.O_WRONLY), writer)


# Pictures


def test_what_has_a_picture_is_saved(tmp_path: Path) -> None:
    with OverlaySink(tmp_path) as sink:
        for second, result in enumerate((OK, NOK, ERROR, replace(NOK, verdict=Verdict.UNCERTAIN))):
            sink.write(replace(result, captured_unix_ns=second * 10**9), Frame(IMAGE))
        sink.write(ERROR, None)
    names = sorted(p.name for p in tmp_path.iterdir())
    assert [n.split("-")[2] for n in names] == ["OK", "NOK", "ERROR", "UNCERTAIN"]


def test_names_sort_by_time_are_unique_and_carry_no_path(tmp_path: Path) -> None:
    sources = ["../../etc/passwd", "rtsp://***@cam/live?***", "lot\n7.png", "x" * 300, "", "ä.png"]
    names: list[str] = []
    with OverlaySink(tmp_path) as sink:
        for second, source in enumerate(sources * 2):
            sink.write(replace(NOK, source=source, captured_unix_ns=(10**9 + second) * 10**9), Frame(IMAGE))
            (new,) = {p.name for p in tmp_path.iterdir()} - set(names)
            names.append(new)
    assert names == sorted(names)
    assert all(len(n) < 128 and n.isascii() and n.isprintable() and " " not in n for n in names)


def test_a_name_is_the_moment_of_capture_and_a_second_picture_of_it_is_kept_too(tmp_path: Path) -> None:
    with OverlaySink(tmp_path) as sink:
        for _ in range(2):
            sink.write(replace(NOK, captured_unix_ns=1_790_000_000_123_456_789), Frame(IMAGE))
    stamps = sorted(p.name.split("Z-")[0] for p in tmp_path.iterdir())
    assert stamps == ["20260921T141320.123456789", "20260921T141320.123456790"]


def test_a_picture_is_whole_or_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with OverlaySink(tmp_path) as sink, pytest.raises(SinkError, match="disk full"):
        sink.write(NOK, Frame(IMAGE))
    assert list(tmp_path.iterdir()) == []


def test_a_saved_picture_can_be_opened_and_is_wider_than_the_part(tmp_path: Path) -> None:
    with OverlaySink(tmp_path) as sink:
        sink.write(NOK, Frame(IMAGE))
    with Image.open(next(tmp_path.iterdir())) as picture:
        assert picture.format == "JPEG"
        assert picture.width > 2 * IMAGE.shape[1]


# Terminal


def test_a_line_tells_index_verdict_ratio_p_latency_and_source() -> None:
    assert result_line(NOK).split() == (
        ["42", "NOK", "1.83", "x", "threshold", "p", "0.002", "12.3", "ms", "parts/17.png"]
    )


def test_a_line_tells_part_and_trigger_where_there_are_any() -> None:
    assert result_line(replace(NOK, part="housing\n12", trigger="7")).endswith("  part housing?12  trigger 7")


def test_an_error_tells_its_reason_and_no_numbers_it_does_not_have() -> None:
    assert result_line(ERROR).split(maxsplit=7) == (
        ["42", "ERROR", "-", "-", "12.3", "ms", "parts/17.png", "(parts/17.png is not a picture)"]
    )


def test_a_stream_that_is_no_terminal_gets_plain_text_in_one_line() -> None:
    stream = io.StringIO()
    TerminalSink(stream).write(replace(NOK, source="lot\n7\x1b[2J.png"), None)
    assert stream.getvalue().count("\n") == 1
    assert "\x1b" not in stream.getvalue()
    assert "lot?7?[2J.png" in stream.getvalue()


def test_letters_that_a_stream_lacks_are_escaped() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    TerminalSink(stream).write(replace(NOK, source="\u00fc.png"), None)
    assert b"\\xfc.png" in raw.getvalue()


def test_a_named_pipe_whose_reader_ends_is_told(tmp_path: Path) -> None:
    pipe = tmp_path / "results"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with JsonLinesSink(pipe) as sink:
        sink.write(NOK, None)
        os.close(reader)
        with pytest.raises(SinkError, match="nobody reads"):
            sink.write(NOK, None)


@pytest.mark.parametrize("verified", [True, False])
def test_the_verdict_of_an_engine_that_is_not_verified_has_no_colour_and_says_so(
    verified: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("click.utils.should_strip_ansi", lambda *_: False)
    stream = io.StringIO()
    TerminalSink(stream).write(replace(OK, verified=verified), None)
    line = stream.getvalue()
    assert ("\x1b[32m" in line, "ENGINE NOT VERIFIED" in line) == (verified, not verified)
