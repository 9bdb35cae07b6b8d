"""A file is whole or as it was before, whatever fails at whatever step."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import nullcontext
from pathlib import Path

import pytest

from csflow.runtime.atomic import alone_in, atomic_file, clear_killed, lock_file, sync_directory, write_atomic

from ..conftest import REAL_FSYNC  # noqa: TID252 - tests are no package that could be named


@pytest.fixture(autouse=True)
def syncs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here they are real."""
    monkeypatch.setattr(os, "fsync", REAL_FSYNC)


def test_replaces_the_content_and_leaves_nothing_else(tmp_path: Path) -> None:
    write_atomic(tmp_path / "a" / "b", b"old")
    write_atomic(tmp_path / "a" / "b", b"new")
    assert (tmp_path / "a" / "b").read_bytes() == b"new"
    assert os.listdir(tmp_path / "a") == ["b"]


def test_others_may_read_it_as_the_umask_says(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        write_atomic(tmp_path / "a", b"")
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o644


def test_the_umask_of_all_threads_is_never_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "umask", lambda _: pytest.fail("another thread may write a file just now"))
    write_atomic(tmp_path / "a", b"")


def test_a_secret_is_nobody_else_s_at_any_moment(tmp_path: Path) -> None:
    with atomic_file(tmp_path / "key", 0o600) as file:
        assert stat.S_IMODE(os.fstat(file.fileno()).st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600


def test_a_sibling_of_that_name_is_not_written_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = iter(["00000000", "00000001"])
    monkeypatch.setattr("csflow.runtime.atomic.secrets.token_hex", lambda _: next(names))
    (tmp_path / ".a.00000000.tmp").write_bytes(b"another's")
    write_atomic(tmp_path / "a", b"new")
    assert (tmp_path / ".a.00000000.tmp").read_bytes() == b"another's"
    assert (tmp_path / "a").read_bytes() == b"new"


def test_an_error_in_the_block_leaves_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    with pytest.raises(TypeError), atomic_file(path) as file:
        file.writelines([b"new", None])  # type: ignore[list-item]
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("step", ["fsync", "open", "replace", "fdopen"])
def test_a_failing_step_leaves_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(OSError, match="No space left"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


def test_a_directory_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(OSError, match="directory"):
        write_atomic(tmp_path / "a", b"new")
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize(("code", "tolerated"), [(errno.EINVAL, True), (errno.EIO, False)])
def test_a_file_system_without_directory_sync_is_tolerated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, tolerated: bool
) -> None:
    def fail(_: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fail)
    if tolerated:
        sync_directory(tmp_path)
    else:
        with pytest.raises(OSError, match=os.strerror(code)):
            sync_directory(tmp_path)


def test_what_killed_writers_left_is_cleared_and_nothing_else(tmp_path: Path) -> None:
    left = [".page.html.ab12_xyz.tmp", ".report.json.00000000.tmp"]
    kept = [".hidden", ".page.html.tmp", "page.html.ab12_xyz.tmp", ".page.html.AB12_xyz.tmp"]
    for name in (*left, *kept):
        (tmp_path / name).touch()
    clear_killed(tmp_path)
    clear_killed(tmp_path / "nowhere")
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(kept)


def test_a_lock_is_one_s_own_until_it_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "state" / "lock"
    with lock_file(path), pytest.raises(BlockingIOError):
        lock_file(path)
    lock_file(path).close()


def test_a_folder_is_held_by_one(tmp_path: Path) -> None:
    refused = pytest.raises(ValueError, match="mine")
    with alone_in(tmp_path / "work", ValueError()), refused, alone_in(tmp_path / "work", ValueError("mine")):
        pytest.fail("two at once")
    with alone_in(tmp_path / "work", ValueError()):
        pass


@pytest.mark.parametrize(("number", "refused"), [(errno.ENOLCK, False), (errno.EROFS, True)])
def test_without_locks_nobody_is_kept_out_and_without_a_disk_nothing_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, refused: bool
) -> None:
    def fail(_path: Path) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("csflow.runtime.atomic.lock_file", fail)
    with pytest.raises(OSError, match="Read-only") if refused else nullcontext(), alone_in(tmp_path, ValueError()):
        assert not refused


def test_a_lock_that_cannot_be_had_leaves_nothing_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("csflow.runtime.atomic.fcntl.flock", no_locks)
    before = set(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match="locks"):
        lock_file(tmp_path / "lock")
    assert set(os.listdir("/proc/self/fd")) <= before
