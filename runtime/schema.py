"""Strict reading of JSON into frozen dataclasses: unknown keys, wrong types and missing values are errors.

Python's `json` accepts what a deployed file must not contain (NaN, duplicate keys, any depth), and a
dataclass accepts any type; this module closes both gaps in the one place where outside data enters.
"""

from __future__ import annotations

import codecs
import dataclasses
import difflib
import itertools
import json
import math
import re
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar, Union

from csflow.runtime.machine.names import shown_in_json

__all__ = ["SchemaError", "dump_json", "from_mapping", "is_cut", "json_line", "parse_json", "to_mapping"]

T = TypeVar("T")
MAX_JSON_BYTES = 8 << 20
MAX_DEPTH = 64
MAX_DIGITS = 20
_SURROGATE = re.compile("[\ud800-\udfff]")


class SchemaError(ValueError):
    """Data does not fit the dataclass; the message names the place and the expectation."""


def _no_constant(name: str) -> None:
    raise SchemaError(f"{name} is not allowed; numbers must be finite")


def _bounded_int(digits: str) -> int:
    # Python's conversion takes quadratic time, and not every 3.10 limits the length.
    if len(digits) > MAX_DIGITS:
        raise SchemaError(f"whole number {digits[:MAX_DIGITS]}... has more than {MAX_DIGITS} digits")
    return int(digits)


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    for key, value in pairs:
        if key in seen:
            raise SchemaError(f"key {_shown(key)} appears twice")
        seen[key] = value
    return seen


def _shown(key: object) -> str:
    # Keys are outside data: no line break, control character or lone surrogate may reach a terminal.
    text = str(key)[:64]
    return text if text.isprintable() else ascii(text)


def parse_json(data: bytes) -> Any:
    """Parse UTF-8 JSON of at most 8 MiB.

    Raises:
        SchemaError: not UTF-8, not JSON, NaN or infinity, a key twice, too large, nested deeper than 64
            levels, a whole number of more than 20 digits, or text that is no valid Unicode.
    """
    if len(data) > MAX_JSON_BYTES:
        raise SchemaError(f"{len(data)} bytes of JSON; at most {MAX_JSON_BYTES} are read")
    try:
        value = json.loads(
            data.decode("utf-8"),
            parse_constant=_no_constant,
            parse_int=_bounded_int,
            object_pairs_hook=_unique_keys,
        )
    except SchemaError:
        raise
    except RecursionError:
        raise SchemaError("nested too deep") from None
    except ValueError as error:
        mark = data.startswith(codecs.BOM_UTF8)
        why = "it begins with a byte order mark: save it as UTF-8 without" if mark else error
        raise SchemaError(f"not valid JSON ({why})") from None
    _check_values(value)
    return value


def is_cut(line: bytes) -> bool:
    """Whether a line of JSON objects ends in the middle, or holds nothing: what a power cut leaves of the last one."""
    text = line.strip(b"\0 \t\r\n")
    return not text or (text.startswith(b"{") and not text.endswith(b"}"))


def _check_values(value: Any) -> None:
    """What JSON's grammar allows and `dump_json` could not write back: depth, 1e999, lone surrogates."""
    level = [value]
    for _ in range(MAX_DEPTH):
        for item in level:
            _check_scalar(item)
        level = [child for item in level for child in _children(item)]
        if not level:
            return
    raise SchemaError("nested too deep")


def _children(item: Any) -> Iterable[Any]:
    if isinstance(item, dict):
        return itertools.chain(item, item.values())
    return item if isinstance(item, list) else ()


def _check_scalar(item: Any) -> None:
    if isinstance(item, float) and not math.isfinite(item):
        raise SchemaError("a number is too large; numbers must be finite")
    if isinstance(item, str) and _SURROGATE.search(item):
        raise SchemaError("text holds half of a surrogate pair; expected valid Unicode")


def dump_json(value: Any) -> bytes:
    """UTF-8 JSON with two spaces of indentation and a final newline; raises ValueError on NaN or infinity.

    File names that are not Unicode appear as `machine.names.shown` writes them.
    """
    return (shown_in_json(json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False)) + "\n").encode()


def json_line(value: Any) -> str:
    """JSON on one line, without spaces; file names that are not Unicode as `machine.names.shown` writes them.

    Raises ValueError on NaN or infinity.
    """
    return shown_in_json(json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":")))


def to_mapping(value: Any) -> dict[str, Any]:
    """The dataclass `value` as a mapping that `dump_json` takes and `from_mapping` reads back."""
    return dataclasses.asdict(value)


def from_mapping(cls: type[T], data: object, where: str = "") -> T:
    """Build the dataclass `cls` from parsed JSON.

    Types understood: bool, int, float, str, Any, Optional, tuple[T, ...], fixed tuples, dict[str, T] and
    dataclasses. A dataclass's own `__post_init__` may raise ValueError for values out of range.

    Raises:
        SchemaError: naming `where`, the key, and what was expected.
    """
    if not isinstance(data, Mapping):
        raise SchemaError(f"{where or cls.__name__}: expected an object, got {_kind(data)}")
    hints = typing.get_type_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cls) if f.init}  # type: ignore[arg-type]
    _refuse_unknown(data, fields, where)
    values: dict[str, Any] = {}
    for name, field in fields.items():
        place = f"{where}.{name}" if where else name
        if name in data:
            values[name] = _convert(hints[name], data[name], place)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise SchemaError(f"{place}: missing")
    try:
        return cls(**values)
    except SchemaError:
        raise
    except ValueError as error:
        raise SchemaError(f"{where}: {error}" if where else str(error)) from None


def _refuse_unknown(data: Mapping[Any, Any], fields: Mapping[str, Any], where: str) -> None:
    for key in data:
        if key not in fields:
            close = difflib.get_close_matches(str(key)[:64], list(fields), n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise SchemaError(f"{where + '.' if where else ''}{_shown(key)}: unknown key{hint}")


def _kind(value: object) -> str:
    return {dict: "an object", list: "an array", type(None): "null"}.get(type(value), type(value).__name__)


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin = typing.get_origin(hint)
    if hint is Any:
        return value
    if origin in (Union, types.UnionType):
        return _optional(hint, value, where)
    if origin is tuple:
        return _tuple(typing.get_args(hint), value, where)
    if origin is dict:
        return _dict(typing.get_args(hint)[1], value, where)
    if dataclasses.is_dataclass(hint):
        return from_mapping(typing.cast(Any, hint), value, where)
    return _scalar(hint, value, where)


def _optional(hint: Any, value: Any, where: str) -> Any:
    if value is None and type(None) in typing.get_args(hint):
        return None
    (inner,) = (arg for arg in typing.get_args(hint) if arg is not type(None))
    return _convert(inner, value, where)


def _tuple(args: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise SchemaError(f"{where}: expected an array, got {_kind(value)}")
    if len(args) == 2 and args[1] is Ellipsis:
        args = (args[0],) * len(value)
    if len(args) != len(value):
        raise SchemaError(f"{where}: expected {len(args)} entries, got {len(value)}")
    pairs = zip(args, value, strict=True)
    return tuple(_convert(arg, item, f"{where}[{i}]") for i, (arg, item) in enumerate(pairs))


def _dict(hint: Any, value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise SchemaError(f"{where}: expected an object, got {_kind(value)}")
    return {str(key): _convert(hint, item, f"{where}.{_shown(key)}") for key, item in value.items()}


def _scalar(hint: Any, value: Any, where: str) -> Any:
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        try:
            value = float(value)
        except OverflowError:
            value = math.inf
    if type(value) is not hint:
        raise SchemaError(f"{where}: expected {hint.__name__}, got {_kind(value)}")
    if hint is float and not math.isfinite(value):
        raise SchemaError(f"{where}: must be finite")
    return value
