"""Options of a method: the fields of frozen dataclasses, read from a line of text, out of range only once."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from csflow.runtime.errors import ConfigError
from csflow.runtime.options import Option, read_options

__all__ = ["checked", "chosen", "later", "option_fields", "read_fields", "settled", "without_later"]

T = TypeVar("T")
SETTLED = {"settled": True}
LATER = {"later": True}
EXAMPLES: dict[Any, str] = {int: "8", float: "0.1", bool: "yes", str: "constant"}


def settled(default: Any) -> Any:
    """A field that follows from the backbone or from the fit, so that no user sets it."""
    return dataclasses.field(default=default, metadata=SETTLED)


def later(default: Any, *, is_settled: bool = False) -> Any:
    """A field that older manifests have not: left out of a manifest where it says what was so then."""
    return dataclasses.field(default=default, metadata=LATER | (SETTLED if is_settled else {}))


def without_later(config: Any, mapping: Mapping[str, Any]) -> dict[str, Any]:
    """The mapping of a configuration for a manifest, without the `later` fields that hold their default."""
    same = {
        f.name for f in dataclasses.fields(config) if f.metadata.get("later") and getattr(config, f.name) == f.default
    }
    return {name: value for name, value in mapping.items() if name not in same}


def option_fields(cls: type) -> tuple[dataclasses.Field[Any], ...]:
    """The fields of a dataclass that a user sets."""
    return tuple(field for field in dataclasses.fields(cls) if not field.metadata.get("settled"))


def read_fields(shown: str, query: str, *classes: type) -> dict[str, Any]:
    """The values in `query` ('shrinkage=0.1&seed=3') for fields of these dataclasses, by name.

    Numbers of a tuple are separated by commas, a truth value is yes or no.

    Raises ConfigError, showing `shown`, for an unknown name, a name twice, or a text that is no value.
    """
    table: dict[str, Option] = {}
    for cls in classes:
        hints = typing.get_type_hints(cls)
        table |= {field.name: _option(hints[field.name]) for field in option_fields(cls)}
    if query and not table:
        raise ConfigError(f"{shown!r}: there are no options: leave out what follows the question mark")
    return read_options(shown, query, table)


def checked(build: Callable[..., T], *args: Any, **values: Any) -> T:
    """Call a configuration class; a value out of range comes out as ConfigError."""
    try:
        return build(*args, **values)
    except ValueError as error:
        raise ConfigError(f"{error}") from None


def chosen(cls: type[T], values: Mapping[str, Any]) -> T:
    """The dataclass with those of `values` that are its fields; a value out of range comes out as ConfigError."""
    names = {field.name for field in option_fields(cls)}
    return checked(cls, **{name: value for name, value in values.items() if name in names})


def _option(hint: Any) -> Option:
    if typing.get_origin(hint) is tuple:
        kind, *others = typing.get_args(hint)
        count = None if others == [Ellipsis] else 1 + len(others)
        return (lambda text: _numbers(kind, count, text)), ",".join([EXAMPLES[kind]] * (count or 3))
    if typing.get_origin(hint) is not None or hint not in EXAMPLES:
        inner = next(kind for kind in typing.get_args(hint) if kind is not type(None))
        return _option(inner)
    return (_truth if hint is bool else hint), EXAMPLES[hint]


def _numbers(kind: type, count: int | None, text: str) -> tuple[Any, ...]:
    numbers = tuple(kind(part) for part in text.split(","))
    if count is not None and len(numbers) != count:
        raise ValueError(text)
    return numbers


def _truth(text: str) -> bool:
    if text not in ("yes", "no"):
        raise ValueError(text)
    return text == "yes"
