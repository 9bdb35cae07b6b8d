"""What libcsflow hashes and reads is what Python hashes and reads."""

from __future__ import annotations

import ctypes
import hashlib
import json
import math
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from csflow.runtime import schema

NIST = {  # FIPS 180-4 examples
    b"abc": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    b"": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq": (
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
    ),
}
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**19), 10**20 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)


def sha256(probe: ctypes.CDLL, data: bytes) -> str:
    out = ctypes.create_string_buffer(65)
    probe.probe_sha256(data, len(data), out)
    return out.value.decode()


def canonical(probe: ctypes.CDLL, data: bytes) -> str | None:
    """What libcsflow makes of JSON, None where it refuses."""
    needed = probe.probe_canonical(data, len(data), None, 0)
    if needed == 0:
        return None
    out = ctypes.create_string_buffer(needed)
    probe.probe_canonical(data, len(data), out, needed)
    return out.value.decode()


def python_canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def test_sha256_gives_nists_examples_and_hashlibs_everywhere_else(probe: ctypes.CDLL) -> None:
    for data, expected in NIST.items():
        assert sha256(probe, data) == expected
    for size in [*range(200), 1_000_000]:
        data = np.random.default_rng(size).bytes(size)
        assert sha256(probe, data) == hashlib.sha256(data).hexdigest()


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=VALUES)
def test_json_is_written_as_python_writes_it(probe: ctypes.CDLL, value: Any) -> None:
    try:
        data = schema.dump_json(value)
        expected = python_canonical(schema.parse_json(data))
    except (schema.SchemaError, UnicodeEncodeError):
        return
    assert canonical(probe, data) == expected


def test_floats_are_written_as_python_writes_them(probe: ctypes.CDLL) -> None:
    draw = np.random.default_rng(1)
    values = [struct.unpack("<d", draw.bytes(8))[0] for _ in range(5000)]
    values = [value for value in values if math.isfinite(value)]
    values += [float(f"{m}e{e}") for m in (1, 1.5, 9.999999999999999) for e in range(-25, 25)] + [0.0, -0.0, 5e-324]
    assert canonical(probe, json.dumps(values).encode()) == python_canonical(values)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"NaN",
        b"[Infinity]",
        b"1e999",
        b'{"a": 1, "a": 2}',
        b"[" * 65 + b"]" * 65,
        b'{"a":' * 64 + b"1" + b"}" * 64,
        b'"\\ud800"',
        b"\xff",
        b"\xef\xbb\xbf{}",
        b"123456789012345678901",
        b"[1,]",
        b'"\x01"',
        b"01",
        b"{} {}",
        b"'a'",
    ],
)
def test_both_refuse(probe: ctypes.CDLL, text: bytes) -> None:
    with pytest.raises(schema.SchemaError):
        schema.parse_json(text)
    assert canonical(probe, text) is None


@pytest.mark.parametrize("text", [b"[" * 64 + b"]" * 64, b'{"a":' * 63 + b"1" + b"}" * 63, b"-0", b"[1e-400]"])
def test_both_accept(probe: ctypes.CDLL, text: bytes) -> None:
    assert canonical(probe, text) == python_canonical(schema.parse_json(text))
