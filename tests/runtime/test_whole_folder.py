"""A folder of files is whole or absent, whatever fails at whatever step."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from csflow.runtime.atomic import is_vacant, whole_folder, write_atomic


def fill(target: Path, error: type[BaseException] | None = None) -> None:
    with whole_folder(target) as folder:
        write_atomic(folder / "a", b"new")
        if error:
            raise error
        write_atomic(folder / "b", b"new")


def test_a_new_folder_appears_at_once(tmp_path: Path) -> None:
    target = tmp_path / "x/y"
    with whole_folder(target) as folder:
        write_atomic(folder / "good/a", b"1")
        assert not target.exists()
    assert (target / "good/a").read_bytes() == b"1"
    assert os.listdir(tmp_path / "x") == ["y"]
    assert stat.S_IMODE(target.stat().st_mode) == stat.S_IMODE((tmp_path / "x").stat().st_mode)


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_a_block_that_fails_leaves_nothing_not_even_the_parents(tmp_path: Path, error: type[BaseException]) -> None:
    with pytest.raises(error):
        fill(tmp_path / "x/y", error)
    assert not os.listdir(tmp_path)


def test_a_folder_that_is_there_keeps_what_is_not_replaced(tmp_path: Path) -> None:
    write_atomic(tmp_path / "a", b"old")
    write_atomic(tmp_path / "notes", b"mine")
    with pytest.raises(TypeError):
        fill(tmp_path, TypeError)
    assert {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)} == {"a": b"old", "notes": b"mine"}
    fill(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["a", "b", "notes"]
    assert (tmp_path / "a").read_bytes() == b"new"


def test_no_folder_is_mixed_with_another(tmp_path: Path) -> None:
    write_atomic(tmp_path / "good/old", b"")
    with pytest.raises(OSError, match="not empty"), whole_folder(tmp_path) as folder:
        write_atomic(folder / "good/new", b"")
    assert os.listdir(tmp_path / "good") == ["old"]


def test_an_error_names_the_place_where_the_file_was_to_be(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such") as caught, whole_folder(tmp_path / "x") as folder:
        (folder / "good/a").touch()
    assert caught.value.filename == str(tmp_path / "x/good/a")


def test_a_full_disk_names_the_file_that_was_to_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as caught:
        fill(tmp_path / "x")
    assert caught.value.filename == str(tmp_path / "x/a")


def test_what_was_killed_is_removed_by_the_next(tmp_path: Path) -> None:
    there = tmp_path / "there"
    for left in (tmp_path / ".x.ab12cd34.tmp", there / ".there.ab12cd34.tmp"):
        write_atomic(left / "good/a", b"half")
    write_atomic(tmp_path / ".y.ab12cd34.tmp/a", b"another's")
    assert is_vacant(there)
    assert not os.listdir(there)
    fill(tmp_path / "x")
    assert sorted(os.listdir(tmp_path)) == [".y.ab12cd34.tmp", "there", "x"]


@pytest.mark.parametrize("name", ["new", "."])
def test_two_do_not_fill_one_folder(tmp_path: Path, name: str) -> None:
    with whole_folder(tmp_path / name) as folder:
        with pytest.raises(BlockingIOError, match="another process writes it"):
            fill(tmp_path / name)
        assert folder.is_dir()
    fill(tmp_path / name)


def test_a_file_system_without_locks_is_tolerated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("csflow.runtime.atomic.fcntl.flock", no_locks)
    (tmp_path / ".x.ab12cd34.tmp").mkdir()
    fill(tmp_path / "x")
    assert sorted(os.listdir(tmp_path)) == [".x.ab12cd34.tmp", "x"], "who works there cannot be told"


def test_the_working_directory_can_be_filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    fill(Path())
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


def test_vacant_is_absent_or_empty(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("nowhere")
    assert is_vacant(tmp_path / "absent")
    assert not any(map(is_vacant, (tmp_path, tmp_path / "file", tmp_path / "link")))


@pytest.mark.parametrize("name", ["file", "file/below", "link"])
def test_what_can_be_no_folder_is_told_before_the_block(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(OSError, match=r"File exists|Not a directory"), whole_folder(tmp_path / name):
        pytest.fail("the block has begun")
    assert sorted(os.listdir(tmp_path)) == ["file", "link"]
