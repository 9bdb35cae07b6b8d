"""What stands after the question mark of a source's URI: options with a type, each given once."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from csflow.runtime.errors import ConfigError

__all__ = ["Option", "read_options", "size_option", "switch_option"]

Option = tuple[Callable[[str], Any], str]
"""What turns the text into a value (ValueError where it cannot), and an example of the text."""


def read_options(uri: str, query: str, options: Mapping[str, Option]) -> dict[str, Any]:
    """The values in `query`, by name; options that are not given are left out.

    Args:
        uri: shown in messages.
        query: what stands after the question mark.
        options: the names there are.

    Raises:
        ConfigError: an unknown name, a name given twice, or a text that is no value.
    """
    values: dict[str, Any] = {}
    for key, text in parse_qsl(query, keep_blank_values=True):
        if key not in options:
            close = difflib.get_close_matches(key, list(options), n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"the options are {', '.join(options)}"
            raise ConfigError(f"{uri!r}: no option {key!r}; {hint}")
        if key in values:
            raise ConfigError(f"{uri!r}: option {key!r} appears twice; give it once")
        parse, example = options[key]
        try:
            values[key] = parse(text)
        except ValueError:
            raise ConfigError(f"{uri!r}: {key}={text!r} is no valid value; for example {example}") from None
    return values


def size_option(text: str) -> tuple[int, int]:
    """Width and height from '640x480'. Raises ValueError."""
    match = re.fullmatch(r"([0-9]{1,5})x([0-9]{1,5})", text)
    if match is None:
        raise ValueError(text)
    return int(match[1]), int(match[2])


def switch_option(text: str) -> bool:
    """False from '0', True from '1'. Raises ValueError."""
    if text not in ("0", "1"):
        raise ValueError(text)
    return text == "1"
