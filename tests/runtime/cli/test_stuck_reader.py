"""A reader that has stopped reading: the pipe is full and stays so, and `csflow run` ends all the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.machine.writable import writable

COMMAND = [str(Path(sys.executable).parent / "csflow"), "run", "--backend", "fake"]
PARTS = "synthetic://?fps=30&frames=9&size=64x64"


@pytest.fixture
def full() -> Iterator[tuple[int, int]]:
    """Both ends of a pipe that takes nothing more."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    while True:
        try:
            os.write(writer, b"x" * 4096)
        except BlockingIOError:
            break
    os.set_blocking(writer, True)
    yield reader, writer
    os.close(reader)
    os.close(writer)


def run(bundle: Bundle, *arguments: object, **streams: int) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, "--bundle", str(bundle.path), "--camera", PARTS, *map(str, arguments)]
    return subprocess.run(command, text=True, timeout=60, check=False, **streams)  # type: ignore[call-overload, no-any-return]


@pytest.mark.parametrize("option", ["--quiet", None])
def test_the_run_ends_with_its_records_written_and_says_that_nobody_reads(
    calibrated_bundle: Bundle, tmp_path: Path, full: tuple[int, int], option: str | None
) -> None:
    records = tmp_path / "results.jsonl"
    options = ["--results", records, *([] if option is None else [option])]
    done = run(calibrated_bundle, *options, stdout=full[1], stderr=subprocess.PIPE)
    assert done.returncode == 7
    assert done.stderr.splitlines()[-1] == (
        "Error: nobody reads the summary: the program that standard output goes to has stopped reading"
    )
    assert "Traceback" not in done.stderr
    assert "Fatal" not in done.stderr
    assert json.loads(records.read_text().splitlines()[-1])["frame_index"] == 8


def test_a_full_pipe_on_standard_error_too_keeps_nothing_from_ending(
    calibrated_bundle: Bundle, full: tuple[int, int]
) -> None:
    assert run(calibrated_bundle, "--quiet", stdout=full[1], stderr=full[1]).returncode == 7


def test_whether_a_stream_takes_anything(full: tuple[int, int], tmp_path: Path) -> None:
    reader, writer = full
    with open(writer, "w", closefd=False) as stream:
        assert not writable(stream, 0.01)
        later = threading.Timer(0.05, os.read, (reader, 1 << 20))
        later.start()
        assert writable(stream, 30.0)
        later.join()
    with (tmp_path / "file").open("w") as file:
        assert writable(file, 0.0)
    assert writable(file, 0.0), "who writes to it is told at once"
    assert writable(None, 0.0)


def test_a_reader_that_has_left_is_no_reason_to_wait() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as stream:
        assert writable(stream, 0.0)
