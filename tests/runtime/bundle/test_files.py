"""Sizes that lie, holes, and what killed writers left."""

from __future__ import annotations

import contextlib
import os
import struct
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.files import clear_leftovers, most_bytes
from csflow.runtime.bundle.golden import load_golden
from csflow.runtime.bundle.manifest import MANIFEST, FileEntry
from csflow.runtime.errors import BundleCorrupted

MakeBundle = Callable[..., Bundle]
WEIGHTS = "weights/flow.safetensors"


@contextlib.contextmanager
def little_memory() -> Iterator[None]:
    """Fails where more than 16 MiB are taken at a time."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


def claims(bundle: Bundle, name: str, size: int) -> Path:
    """The bundle at its path, sealed with a file that is a hole of so many bytes."""
    (bundle.path / name).parent.mkdir(parents=True, exist_ok=True)
    (bundle.path / name).touch()
    os.truncate(bundle.path / name, size)
    entry = FileEntry("0" * 64, size)
    manifest = replace(bundle.manifest, files={**bundle.manifest.files, name: entry})
    (bundle.path / MANIFEST).write_bytes(manifest.to_bytes())
    return bundle.path


@pytest.mark.fault("M5")
@pytest.mark.parametrize(
    ("name", "size", "word"),
    [
        (WEIGHTS, 3 << 30, r"flow\.safetensors is sparse: of 3221225472 bytes \d+ are there"),
        (WEIGHTS, 1 << 40, "claims 1099511627776 bytes, at most 8589934592 are taken"),
        ("graphs/fp32/flow.onnx", 3 << 30, "claims 3221225472 bytes, at most 2147483647"),
        ("golden/golden.json", 1 << 30, "claims 1073741824 bytes, at most 67108864"),
        ("golden/9.png", 1 << 30, "claims 1073741824 bytes"),
        ("notes.txt", 1 << 30, "claims 1073741824 bytes"),
    ],
)
def test_a_size_that_lies_is_refused_before_a_byte_is_read(
    make_bundle: MakeBundle, name: str, size: int, word: str
) -> None:
    path = claims(make_bundle(), name, size)
    with little_memory(), pytest.raises(BundleCorrupted, match=word):
        Bundle.open(path)


def test_large_files_without_holes_are_taken_and_hashed_in_little_memory(make_bundle: MakeBundle) -> None:
    bundle = make_bundle().update({WEIGHTS: os.urandom(32 << 20)})
    assert most_bytes(WEIGHTS) > 4 << 30
    with little_memory():
        Bundle.open(bundle.path).verify()


@pytest.mark.parametrize("side", [60000, 20000, 12000, 65])
def test_a_golden_picture_that_claims_another_size_is_no_picture(
    make_bundle: MakeBundle, side: int, recwarn: pytest.WarningsRecorder
) -> None:
    bundle = make_bundle()
    data = bytearray(bundle.read("golden/0.png"))
    data[16:24] = struct.pack(">II", side, side)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    with pytest.raises(BundleCorrupted, match=r"golden/0\.png is no PNG of 64 pixels square"):
        load_golden(bundle.update({"golden/0.png": bytes(data)}))
    assert not recwarn


def test_damaged_golden_pictures_are_one_line_of_ours(make_bundle: MakeBundle) -> None:
    bundle = make_bundle()
    whole = bundle.read("golden/0.png")
    for at in range(0, len(whole), 3):
        damaged = whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :]
        # Anything else than ours would end the test; a changed pixel may decode.
        with contextlib.suppress(BundleCorrupted):
            load_golden(bundle.update({"golden/0.png": damaged}))


def test_what_killed_writers_left_is_cleared_by_the_next_writer(make_bundle: MakeBundle, tmp_path: Path) -> None:
    bundle = make_bundle()
    outside = tmp_path / ".precious.tmp"
    outside.touch()
    (bundle.path / "weights" / ".link.tmp").symlink_to(outside)
    left = [".manifest.json.abc.tmp", "weights/.flow.safetensors.staged", "golden/.0.png.staged.x.tmp"]
    for name in left:
        (bundle.path / name).write_bytes(b"left")
    bundle.write_calibration(b"{}")
    assert [p.name for p in bundle.path.rglob(".*")] == []
    assert outside.exists()
    (bundle.path / left[1]).touch()
    bundle.update({"notes.txt": b"x"})
    assert [p.name for p in bundle.path.rglob(".*")] == []
    clear_leftovers(tmp_path / "nowhere")
    Bundle.open(bundle.path).verify()
