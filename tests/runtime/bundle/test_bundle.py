"""A bundle opens or says why not, before any parser sees a byte, and survives being killed at every step."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from csflow.runtime.bundle.directory import CALIBRATION, MANIFEST, Bundle, default_path
from csflow.runtime.bundle.manifest import Definitions, Manifest, Preprocessing
from csflow.runtime.errors import BundleCorrupted, BundleError, BundleMissing, BundleVersionError

WEIGHTS = "weights/flow.safetensors"
GRAPH = "graphs/fp32/flow.onnx"


def manifest(name: str = "old") -> Manifest:
    return Manifest(Preprocessing(64), Definitions(), {"name": name}, {}, {})


@pytest.fixture
def old(tmp_path: Path) -> Bundle:
    made = Bundle.create(tmp_path / "b", manifest(), {WEIGHTS: b"old", GRAPH: b"graph"})
    made.write_calibration(b"{}")
    return made


def everything(path: Path) -> dict[str, bytes]:
    return {str(p.relative_to(path)): p.read_bytes() for p in path.rglob("*") if p.is_file()}


def test_create_open_read(old: Bundle) -> None:
    opened = Bundle.open(old.path)
    opened.verify()
    assert opened == old
    assert opened.read(WEIGHTS) == b"old"
    assert opened.has(GRAPH)
    assert opened.read_calibration() == b"{}"


def test_create_over_a_bundle_removes_what_belonged_to_its_weights(old: Bundle) -> None:
    new = Bundle.create(old.path, manifest("new"), {WEIGHTS: b"new"})
    assert everything(old.path).keys() == {MANIFEST, WEIGHTS}
    assert new.read_calibration() is None
    assert new.weights_sha256 != old.weights_sha256
    assert Bundle.open(old.path) == new


def test_update_adds_replaces_removes(old: Bundle) -> None:
    new = old.update({"golden/0.png": b"0", WEIGHTS: b"new"}, remove=(GRAPH, "no/such"))
    assert Bundle.open(old.path) == new
    assert everything(old.path).keys() == {MANIFEST, CALIBRATION, WEIGHTS, "golden/0.png"}
    assert new.read(WEIGHTS) == b"new"


def test_update_removes_nothing_outside_the_bundle(old: Bundle) -> None:
    (old.path.parent / "precious").write_bytes(b"")
    old.update({}, remove=("../precious", MANIFEST))
    assert (old.path.parent / "precious").exists()
    Bundle.open(old.path)


def test_a_staged_content_never_meets_another_file(old: Bundle) -> None:
    both = old.update({"a.staged": b"1"}).update({"a": b"2"})
    assert (both.read("a.staged"), both.read("a")) == (b"1", b"2")


@pytest.mark.fault("M5")
@pytest.mark.parametrize("name", ["../x", "/x", MANIFEST, CALIBRATION, ".hidden", "a//b", ""])
def test_no_name_outside_the_rules_is_written(tmp_path: Path, old: Bundle, name: str) -> None:
    before = everything(tmp_path)
    with pytest.raises(BundleError, match="no allowed file name"):
        old.update({name: b"x"})
    with pytest.raises(BundleError, match="no allowed file name"):
        Bundle.create(tmp_path / "c", manifest(), {name: b"x"})
    assert everything(tmp_path) == before


def test_weights_identity_follows_names_and_contents(tmp_path: Path) -> None:
    def identity(files: dict[str, bytes]) -> str:
        return Bundle.create(tmp_path / "i", manifest(), files).weights_sha256

    first = identity({"weights/a": b"1", "weights/b": b"2"})
    assert identity({"weights/b": b"2", "weights/a": b"1", "graphs/x": b""}) == first
    assert identity({"weights/a": b"2", "weights/b": b"1"}) != first
    assert identity({"weights/a": b"1"}) != first


def test_default_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CSFLOW_BUNDLE", raising=False)
    assert default_path() == Path("model.csflow")
    monkeypatch.setenv("CSFLOW_BUNDLE", "/x")
    assert default_path() == Path("/x")


# --- refusals -----------------------------------------------------------------------------------------------


def edit_manifest(path: Path, **changes: Any) -> None:
    body = json.loads((path / MANIFEST).read_bytes())
    (path / MANIFEST).write_text(json.dumps({**body, **changes}))


def swap_for_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def swap_for_file(path: Path) -> None:
    shutil.rmtree(path)
    path.touch()


def swap_for_link(path: Path) -> None:
    target = path.parent.parent / "elsewhere"
    shutil.move(path, target)
    path.symlink_to(target)


def swap_for_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


DAMAGE: dict[str, tuple[Callable[[Path], object], type[BundleError], str]] = {
    "no directory": (shutil.rmtree, BundleMissing, "no bundle at"),
    "no manifest": (lambda p: (p / MANIFEST).unlink(), BundleError, "has no manifest.json"),
    "empty manifest": (lambda p: (p / MANIFEST).write_bytes(b""), BundleCorrupted, "not valid JSON"),
    "truncated manifest": (lambda p: os.truncate(p / MANIFEST, 99), BundleCorrupted, "not valid JSON"),
    "edited manifest": (lambda p: edit_manifest(p, model={}), BundleCorrupted, "edited or damaged"),
    "newer format": (lambda p: edit_manifest(p, format_version=3), BundleVersionError, "update csflow"),
    "huge manifest": (lambda p: os.truncate(p / MANIFEST, 1 << 40), BundleCorrupted, "larger than"),
    "linked manifest": (lambda p: swap_for_link(p / MANIFEST), BundleCorrupted, "not a plain file"),
    "manifest directory": (lambda p: swap_for_directory(p / MANIFEST), BundleCorrupted, "not a plain file"),
    "manifest fifo": (lambda p: swap_for_fifo(p / MANIFEST), BundleCorrupted, "not a plain file"),
    "missing weights": (lambda p: (p / WEIGHTS).unlink(), BundleCorrupted, "is missing"),
    "truncated weights": (lambda p: os.truncate(p / WEIGHTS, 2), BundleCorrupted, "has 2 bytes, 3 were"),
    "linked weights": (lambda p: swap_for_link(p / WEIGHTS), BundleCorrupted, "not a plain file"),
    "weights directory": (lambda p: swap_for_directory(p / WEIGHTS), BundleCorrupted, "not a plain file"),
    "weights fifo": (lambda p: swap_for_fifo(p / WEIGHTS), BundleCorrupted, "not a plain file"),
    "linked folder": (lambda p: swap_for_link(p / "weights"), BundleCorrupted, "symbolic link"),
    "file for a folder": (
        lambda p: swap_for_file(p / "graphs"),
        BundleCorrupted,
        "missing",
    ),
}


@pytest.mark.fault("M1")
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_bundle_is_refused_on_opening(old: Bundle, damage: str) -> None:
    harm, error, message = DAMAGE[damage]
    harm(old.path)
    with pytest.raises(error, match=message) as caught:
        Bundle.open(old.path)
    assert caught.type is error
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.fault("M1")
def test_an_edited_file_of_the_same_size_is_refused_on_reading(old: Bundle) -> None:
    (old.path / WEIGHTS).write_bytes(b"bad")
    opened = Bundle.open(old.path)
    with pytest.raises(BundleCorrupted, match="SHA-256"):
        opened.read(WEIGHTS)
    with pytest.raises(BundleCorrupted, match=r"flow\.safetensors"):
        opened.verify()


def test_files_swapped_between_two_bundles_are_refused(tmp_path: Path, old: Bundle) -> None:
    other = Bundle.create(tmp_path / "c", manifest("other"), {WEIGHTS: b"new"})
    (old.path / WEIGHTS).rename(tmp_path / "w")
    (other.path / WEIGHTS).rename(old.path / WEIGHTS)
    (tmp_path / "w").rename(other.path / WEIGHTS)
    for swapped in (old, other):
        with pytest.raises(BundleCorrupted, match="SHA-256"):
            Bundle.open(swapped.path).read(WEIGHTS)


def test_a_link_to_a_whole_bundle_is_fine(tmp_path: Path, old: Bundle) -> None:
    (tmp_path / "current").symlink_to(old.path)
    Bundle.open(tmp_path / "current").verify()


@pytest.mark.parametrize("harm", [swap_for_directory, swap_for_fifo, swap_for_link])
def test_calibration_must_be_a_plain_file(old: Bundle, harm: Callable[[Path], None]) -> None:
    harm(old.path / CALIBRATION)
    with pytest.raises(BundleCorrupted, match=r"not a plain file.*csflow calibrate"):
        old.read_calibration()


def test_a_huge_calibration_is_refused_unread(old: Bundle) -> None:
    os.truncate(old.path / CALIBRATION, 1 << 40)
    with pytest.raises(BundleCorrupted, match="larger than"):
        old.read_calibration()


def test_reading_what_is_not_there(old: Bundle) -> None:
    with pytest.raises(BundleError, match=r"has no golden/0\.png"):
        old.read("golden/0.png")


@pytest.fixture
def unprivileged(tmp_path: Path) -> Iterator[None]:
    """Permissions mean nothing to root, so that the test gives its rights up for a moment."""
    if os.geteuid() != 0:
        yield
        return
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("name", [".", MANIFEST, WEIGHTS, "weights", CALIBRATION])
def test_an_unreadable_file_is_named(old: Bundle, unprivileged: None, name: str) -> None:  # noqa: ARG001
    owner, os_id = os.geteuid(), os.getuid()
    os.seteuid(os_id)
    (old.path / name).chmod(0)
    os.seteuid(owner)
    with pytest.raises(BundleError, match=r"cannot read.*Permission denied"):
        Bundle.open(old.path).read_calibration()
    os.seteuid(os_id)
    (old.path / name).chmod(0o755)
    os.seteuid(owner)


def test_a_path_too_long_for_the_file_system_is_refused() -> None:
    with pytest.raises(BundleError, match="cannot read"):
        Bundle.open("x" * 5000)


# --- what create refuses, and what it leaves ----------------------------------------------------------------


def test_create_does_not_touch_something_else(tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(b"")
    with pytest.raises(BundleError, match="is no bundle"):
        Bundle.create(tmp_path, manifest(), {})
    with pytest.raises(BundleError, match="is no bundle"):
        Bundle.create(tmp_path / "photo.png", manifest(), {})
    assert everything(tmp_path) == {"photo.png": b""}


def test_create_does_not_overwrite_a_damaged_bundle(old: Bundle) -> None:
    edit_manifest(old.path, model={})
    before = everything(old.path)
    with pytest.raises(BundleCorrupted, match="delete it"):
        Bundle.create(old.path, manifest("new"), {WEIGHTS: b"new"})
    assert everything(old.path) == before


def no_space(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.fault("S1")
@pytest.mark.parametrize("step", ["fsync", "mkdir", "open"])
def test_a_full_disk_leaves_the_old_bundle(old: Bundle, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    before = everything(old.path)
    real = getattr(os, step)

    def fail(*arguments: Any, **options: Any) -> Any:
        writes = step != "open" or (len(arguments) > 1 and arguments[1] & os.O_CREAT)
        return no_space() if writes else real(*arguments, **options)

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(OSError, match="No space left"):
        Bundle.create(old.path, manifest("new"), {WEIGHTS: b"new", "golden/0.png": b"0"})
    monkeypatch.undo()
    assert everything(old.path) == before
    Bundle.open(old.path).verify()


def test_a_first_create_that_failed_can_be_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Bundle, "_stage", no_space)
    with pytest.raises(OSError, match="No space left"):
        Bundle.create(tmp_path / "n", manifest(), {WEIGHTS: b"x"})
    monkeypatch.undo()
    assert Bundle.create(tmp_path / "n", manifest(), {WEIGHTS: b"x"}).read(WEIGHTS) == b"x"
