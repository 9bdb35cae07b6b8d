"""Outside data enters through `schema`: what it accepts it can write back; all else is a SchemaError."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csflow.runtime.schema import (
    MAX_DEPTH,
    MAX_JSON_BYTES,
    SchemaError,
    dump_json,
    from_mapping,
    parse_json,
    to_mapping,
)

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
SCALARS = st.none() | st.booleans() | st.integers(-(10**18), 10**18) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(SCALARS | TEXT, lambda x: st.lists(x, max_size=4) | st.dictionaries(TEXT, x, max_size=4))


@dataclass(frozen=True)
class Inner:
    pair: tuple[int, float]
    flag: bool = False


@dataclass(frozen=True)
class Outer:
    name: str
    ratio: float
    inner: Inner
    many: tuple[int, ...] = ()
    table: dict[str, Inner] | None = None
    anything: Any = None

    def __post_init__(self) -> None:
        if self.ratio < 0:
            raise ValueError("ratio must not be negative")


FLOATS = st.floats(allow_nan=False, allow_infinity=False)
INNERS = st.builds(Inner, st.tuples(st.integers(-(2**53), 2**53), FLOATS), st.booleans())
OUTERS = st.builds(
    Outer,
    TEXT,
    st.floats(0, 1e300),
    INNERS,
    st.lists(st.integers(-(2**53), 2**53)).map(tuple),
    st.none() | st.dictionaries(TEXT, INNERS, max_size=3),
    JSON,
)
GOOD: dict[str, Any] = {"name": "a", "ratio": 1, "inner": {"pair": [1, 2.5]}}


def refusal(call: Callable[..., object], *arguments: object) -> str | None:
    """The message with which `call` refuses, or None where it accepts."""
    try:
        call(*arguments)
    except SchemaError as error:
        return str(error)
    return None


@given(JSON)
def test_what_is_written_is_read_back(value: Any) -> None:
    assert parse_json(dump_json(value)) == value


@given(OUTERS)
def test_a_dataclass_survives_the_round_trip(value: Outer) -> None:
    assert from_mapping(Outer, parse_json(dump_json(to_mapping(value)))) == value


@given(st.binary(max_size=200) | JSON.map(lambda v: json.dumps(v).encode()))
def test_any_bytes_parse_to_something_writable_or_are_refused(data: bytes) -> None:
    message = refusal(parse_json, data)
    if message is None:
        dump_json(parse_json(data))
    else:
        assert len(message.splitlines()) == 1


@given(JSON)
def test_any_json_is_an_outer_or_is_refused_in_one_printable_line(value: Any) -> None:
    assert (refusal(from_mapping, Outer, value) or "accepted").isprintable()


@given(st.sampled_from(sorted(GOOD)), JSON)
def test_one_wrong_value_names_its_place(key: str, value: Any) -> None:
    assert key in (refusal(from_mapping, Outer, {**GOOD, key: value}) or key)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"NaN", "finite"),
        (b"[Infinity]", "finite"),
        (b"1e999", "finite"),
        (b"-1e999", "finite"),
        (b'{"a": 1, "a": 2}', "twice"),
        (b'"\\ud800"', "Unicode"),
        (b'{"\\udc00": 1}', "Unicode"),
        (b"\xff\xfe", "not valid JSON"),
        (b"\xef\xbb\xbf{}", r"not valid JSON \(it begins with a byte order mark: save it as UTF-8 without\)"),
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"1" * 21, "20 digits"),
        (b"-" + b"1" * 21, "20 digits"),
        (b"[" * 1_000_000, "deep"),
        (b'{"a":' * 100_000, "deep"),
        (b" " * (MAX_JSON_BYTES + 1), "at most"),
    ],
)
def test_what_json_accepts_and_a_bundle_must_not_hold(text: bytes, reason: str) -> None:
    with pytest.raises(SchemaError, match=reason):
        parse_json(text)


def test_nesting_is_allowed_up_to_the_limit_exactly() -> None:
    parse_json(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
    with pytest.raises(SchemaError, match="deep"):
        parse_json(b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [float("-inf")]])
def test_non_finite_numbers_are_not_written(value: Any) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        dump_json(value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"nam": "b"}, "nam: unknown key; did you mean 'name'?"),
        ({"a\nb": 1}, "'a\\nb': unknown key"),
        ({"name": 1}, "name: expected str, got int"),
        ({"ratio": True}, "ratio: expected float, got bool"),
        ({"ratio": "1"}, "ratio: expected float, got str"),
        ({"ratio": -1}, "ratio must not be negative"),
        ({"ratio": 10**400}, "ratio: must be finite"),
        ({"inner": []}, "inner: expected an object, got an array"),
        ({"inner": {"pair": [1]}}, "inner.pair: expected 2 entries, got 1"),
        ({"inner": {"pair": [1.5, 2]}}, r"inner.pair\[0\]: expected int, got float"),
        ({"inner": {"pair": [1, 2], "flag": 1}}, "inner.flag: expected bool, got int"),
        ({"inner": {}}, "inner.pair: missing"),
        ({"many": {}}, "many: expected an array, got an object"),
        ({"many": [1, None]}, r"many\[1\]: expected int, got null"),
        ({"table": 3}, "table: expected an object, got int"),
        ({"table": {"k": {"pair": [1, None]}}}, r"table.k.pair\[1\]: expected float, got null"),
    ],
)
def test_messages_name_the_place_and_the_expectation(change: dict[str, Any], message: str) -> None:
    with pytest.raises(SchemaError, match=message.replace("\\n", r"\\n").replace("?", r"\?")):
        from_mapping(Outer, {**GOOD, **change})


def test_optional_takes_null_and_absence() -> None:
    assert from_mapping(Outer, {**GOOD, "table": None}).table is None
    assert from_mapping(Outer, GOOD).table is None
