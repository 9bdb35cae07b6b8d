"""The grammar of --trigger, and what is said when it names nothing."""

from __future__ import annotations

import pytest

from csflow.runtime.errors import ConfigError
from csflow.runtime.trigger import open_trigger, trigger_kind


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("stdin", "stdin"),
        ("http://127.0.0.1:8500", "http"),
        ("127.0.0.1:8500", "http"),
        ("pipe:", "pipe"),
        ("pipe:3,4", "pipe"),
        ("gpio:/dev/gpiochip0:17", "gpio"),
    ],
)
def test_the_string_selects_the_kind_of_trigger(text: str, kind: str) -> None:
    assert trigger_kind(text) == kind


@pytest.mark.parametrize(
    "text", ["gpio", "http://127.0.0.1", "stdin:x", "https://127.0.0.1:1", "http://[::1]:99999", ""]
)
def test_what_is_no_trigger_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="expected stdin, http"):
        open_trigger(text)
