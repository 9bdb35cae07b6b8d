"""What survives: whole or not at all, and no number twice."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from csflow.runtime import atomic
from csflow.runtime.errors import ConfigError
from csflow.runtime.plc.durable import RESERVED, Durable, Kept
from csflow.runtime.plc.events import Counters


def test_counters_and_recipe_come_back_and_ids_go_on(tmp_path: Path) -> None:
    first = Durable(tmp_path, 1)
    first.note(17, 2, Counters(ok=5))
    first.close()
    second = Durable(tmp_path, 1)
    assert (second.kept.recipe, second.kept.counters) == (2, Counters(ok=5))
    assert second.first_result_id >= 17
    assert second.kept.boot_id not in (0, first.kept.boot_id)
    second.close()


@pytest.mark.fault("S3")
def test_ids_are_reserved_before_they_are_used(tmp_path: Path) -> None:
    durable = Durable(tmp_path, 1)
    for number in range(1, 3 * RESERVED):
        durable.note(number, 1, Counters())
        if number % (RESERVED // 4) == 0:
            time.sleep(0.05)
            on_disk = json.loads((tmp_path / "station.json").read_bytes())["kept"]["result_id"]
            assert on_disk >= number
    durable.close()


@pytest.mark.fault("T3")
def test_reservations_wrap(tmp_path: Path) -> None:
    durable = Durable(tmp_path, 1)
    durable._saved = replace(durable.kept, result_id=2**32 - 10)
    durable.note(2**32 - 20, 1, Counters())
    durable.close()
    assert durable.kept.result_id == (2**32 - 20 + RESERVED) % 2**32


@pytest.mark.fault("S4")
@pytest.mark.parametrize("damage", [b"", b"{}", b"\xff\xff", b'{"crc32": 1, "kept": 2}'])
def test_a_damaged_file_is_put_aside_and_told(tmp_path: Path, damage: bytes) -> None:
    Durable(tmp_path, 1).close()
    (tmp_path / "station.json").write_bytes(damage)
    durable = Durable(tmp_path, 3)
    assert "was damaged" in durable.words
    assert (tmp_path / "station.damaged").read_bytes() == damage
    assert (durable.kept.recipe, durable.kept.counters) == (3, Counters())
    assert durable.first_result_id >= 1_700_000_000, "numbers far from those that were lost"
    durable.close()


@pytest.mark.fault("S4")
def test_a_flipped_digit_is_noticed(tmp_path: Path) -> None:
    first = Durable(tmp_path, 1)
    first.note(1, 2, Counters(ok=5))
    first.close()
    path = tmp_path / "station.json"
    path.write_bytes(path.read_bytes().replace(b'"ok": 5', b'"ok": 6'))
    second = Durable(tmp_path, 1)
    assert "checksum" in second.words
    second.close()


@pytest.mark.fault("S3")
@pytest.mark.parametrize("call", ["fsync", "replace", "open"])
def test_a_kill_at_any_write_leaves_old_or_new(tmp_path: Path, call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill is the end of the process in front of a system call; what it leaves is what the disk holds then."""
    first = Durable(tmp_path, 1)
    first.note(1, 2, Counters(ok=5))
    first.close()
    before = (tmp_path / "station.json").read_bytes()

    class Killed(BaseException):
        pass

    def kill(*_: object, **__: object) -> None:
        raise Killed

    monkeypatch.setattr(atomic.os, call, kill)
    monkeypatch.setattr(atomic.os, "unlink", lambda _: None)
    with pytest.raises(Killed):
        Durable(tmp_path, 1)
    monkeypatch.undo()
    assert (tmp_path / "station.json").read_bytes() == before
    second = Durable(tmp_path, 1)
    assert (second.words, second.kept.recipe) == ("", 2)
    second.close()


@pytest.mark.fault("S1", "S2")
def test_a_disk_that_takes_nothing_is_told_and_nobody_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    durable = Durable(tmp_path, 1)

    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("csflow.runtime.plc.durable.write_atomic", full)
    durable.note(1, 2, Counters())
    end = time.monotonic() + 10
    while not durable.words and time.monotonic() < end:
        time.sleep(0.005)
    assert "free the disk" in durable.words
    durable.close()


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match=r"Not a directory|File exists"):
        Durable(tmp_path / "file", 1)


def test_kept_is_what_is_due(tmp_path: Path) -> None:
    durable = Durable(tmp_path, 4)
    assert isinstance(durable.kept, Kept)
    assert durable.kept.recipe == 4
    durable.close()


def test_a_folder_serves_one_station_at_a_time(tmp_path: Path) -> None:
    first = Durable(tmp_path, 1)
    with pytest.raises(ConfigError, match="another csflow plc has its state"):
        Durable(tmp_path, 1)
    first.close()
    Durable(tmp_path, 1).close()
