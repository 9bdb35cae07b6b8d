"""Plan headers: what is read, and that foreign or damaged files are refused in words."""

from __future__ import annotations

import contextlib
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csflow.runtime.engines.tensorrt.plan_header import HEADER_BYTES, PlanHeader, parse_plan_header, read_plan_header
from csflow.runtime.errors import EngineError

# The first 40 bytes of a plan of one convolution, built by TensorRT-RTX 1.7.1.116 for compute capability 8.6 and 12.0.
REAL_RTX = bytes.fromhex("767472740000000002000000000000001c1204000000000001070174767472741400000000000000")


def plan(tag: bytes = b"ftrt", version: tuple[int, ...] = (10, 3, 0, 26), mask: int = 0, size: int = 64) -> bytes:
    header = tag + struct.pack("<IIIQ", 0, 2, 0, size) + bytes(version) + tag + bytes([mask])
    return header.ljust(size, b"\0")


def parsed(data: bytes) -> PlanHeader:
    return parse_plan_header(data[:HEADER_BYTES], len(data), "x.plan")


def test_tensorrt() -> None:
    header = parsed(plan())
    assert (header.flavour, header.version_text, header.compute_capabilities) == ("tensorrt", "10.3.0.26", None)


def test_rtx_names_its_gpus() -> None:
    header = parse_plan_header(REAL_RTX, 0x4121C, "x.plan")
    assert header.flavour == "tensorrt-rtx"
    assert header.version == (1, 7, 1, 116)
    assert header.compute_capabilities == ("8.6", "12.0")


@pytest.mark.parametrize(
    ("mask", "expected"),
    [(0x01, ("7.5",)), (0x7E, ("8.0", "8.6", "8.9", "12.0", "12.1", "above 12.0")), (0, ()), (0x80, ("unknown",))],
)
def test_masks(mask: int, expected: tuple[str, ...]) -> None:
    assert parsed(plan(b"vtrt", (1, 7, 1, 116), mask)).compute_capabilities == expected


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "is no TensorRT plan"),
        (b"ftr", "is no TensorRT plan"),
        (b"\x08\x0a\x12\x07pytorch", "is no TensorRT plan"),
        (plan()[: HEADER_BYTES - 1], "is cut off"),
        (plan(b"vtrt")[:-1], "it is damaged"),
        (plan(b"vtrt") + b"x", "it is damaged"),
        (b"ftrt\x01" + plan()[5:], "serialisation version 1"),
    ],
)
def test_other_files_are_refused_in_words(tmp_path: Path, data: bytes, says: str) -> None:
    path = tmp_path / "flow.plan"
    path.write_bytes(data)
    with pytest.raises(EngineError, match=says) as caught:
        read_plan_header(path)
    assert str(path) in str(caught.value)


@given(st.binary(max_size=80), st.sampled_from([b"", b"ftrt", b"vtrt", b"ftrt\0\0\0\0"]))
def test_no_bytes_raise_anything_else(data: bytes, start: bytes) -> None:
    with contextlib.suppress(EngineError):
        parsed(start + data)
