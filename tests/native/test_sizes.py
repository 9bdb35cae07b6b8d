"""Sizes that lie: no byte is read and no picture allocated before a size was compared with a limit of our own."""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from csflow.runtime import schema
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.files import most_bytes
from csflow.runtime.errors import BundleCorrupted

ROOT = Path(__file__).resolve().parents[2]
MOST_KIB = 40_000
"""What opening a bundle of 64 pixels may add to a process; a library that believes the sizes below adds gigabytes."""
PROGRAM = """
import resource, sys
sys.path.insert(0, sys.argv[1])
import csflow_ctypes as c
library = c.load(sys.argv[2])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    c.Detector(library, sys.argv[3], device=b"fake").close()
    print(0, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, "opened")
except c.LibraryError as error:
    print(error.status, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, error)
"""
Opened = Callable[[Path], tuple[int, str]]


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, rows: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


@pytest.fixture
def opened(built: Path) -> Opened:
    """`opened(bundle) -> (status, words)`, in a process of its own whose memory is watched."""

    def run(bundle: Path) -> tuple[int, str]:
        examples = ROOT / "runtime" / "native" / "examples"
        command = [sys.executable, "-c", PROGRAM, str(examples), str(built / "libcsflow.so"), str(bundle)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        status, grown_kib, words = done.stdout.split(maxsplit=2)
        assert int(grown_kib) < MOST_KIB
        return int(status), words

    return run


def sealed(bundle: Bundle, name: str, size: int, sha256: str = "0" * 64) -> None:
    """A sparse file in place of one of the bundle's, and a manifest that agrees with it."""
    body = schema.parse_json((bundle.path / "manifest.json").read_bytes())
    del body["manifest_sha256"]
    body["files"][name] = {"sha256": sha256, "size": size}
    seal = hashlib.sha256(canonical(body).encode()).hexdigest()
    (bundle.path / "manifest.json").write_bytes(schema.dump_json({**body, "manifest_sha256": seal}))
    os.truncate(bundle.path / name, size)


def canonical(body: Any) -> str:
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def test_a_bundle_that_does_not_lie_opens(opened: Opened, calibrated_bundle: Bundle) -> None:
    assert opened(calibrated_bundle.path)[0] == 0


@pytest.mark.parametrize("name", ["golden/golden.json", "golden/0.png"])
def test_a_file_that_is_too_large(opened: Opened, calibrated_bundle: Bundle, name: str) -> None:
    sealed(calibrated_bundle, name, 8 << 30)
    status, words = opened(calibrated_bundle.path)
    assert status == -6
    assert f"{name} claims 8589934592 bytes, at most {most_bytes(name)} are taken" in words


@pytest.mark.parametrize("name", ["weights/flow.safetensors", "golden/0.png"])
def test_a_sparse_file(opened: Opened, calibrated_bundle: Bundle, name: str) -> None:
    sealed(calibrated_bundle, name, 100 << 20)
    with pytest.raises(BundleCorrupted) as theirs:
        Bundle.open(calibrated_bundle.path)
    assert "is sparse: of 104857600 bytes" in str(theirs.value)
    assert opened(calibrated_bundle.path) == (-6, f"{theirs.value}\n")


def test_the_limits_are_those_of_python(probe: ctypes.CDLL) -> None:
    for name in ("weights/a.safetensors", "graphs/fp32/a.onnx", "golden/0.png", "golden/golden.json", "b.html", "png"):
        assert probe.probe_most_bytes(name.encode()) == most_bytes(name)


@pytest.mark.parametrize("name", ["manifest.json", "calibration.json"])
def test_a_sparse_file_that_carries_no_hash(opened: Opened, calibrated_bundle: Bundle, name: str) -> None:
    os.truncate(calibrated_bundle.path / name, 8 << 30)
    status, words = opened(calibrated_bundle.path)
    assert status == -6
    assert f"{name} is larger than 8388608 bytes" in words


@pytest.mark.parametrize(
    "content",
    [
        png(60_000, 60_000, b"\0" * 100),
        png(64, 64, b"\0" * (200 << 20)),  # inflates to a thousand times its size
        png(64, 64, b"\0" * (64 * 193 + 1)),
        png(64, 64, b"\0" * (64 * 193 - 1)),
    ],
    ids=["a header of gigapixels", "rows of 200 MiB", "a byte too many", "a byte too few"],
)
def test_a_golden_picture_of_another_size(opened: Opened, calibrated_bundle: Bundle, content: bytes) -> None:
    status, words = opened(calibrated_bundle.update({"golden/0.png": content}).path)
    assert status == -6
    assert "golden/0.png is not an RGB PNG of 64 pixels square" in words
