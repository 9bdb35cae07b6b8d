"""The grammar of genicam:NAME?feature=value&option=value."""

from __future__ import annotations

import pytest

from csflow.runtime.errors import ConfigError
from csflow.runtime.source import source_kind
from csflow.runtime.sources.genicam.wish import Wish


def test_features_keep_their_order_and_options_are_csflows() -> None:
    uri = (
        "genicam:Line%203?TriggerSelector=FrameStart&TriggerMode=On&TriggerSelector=LineStart&UserSetLoad=&strict=0"
        "&buffers=7&cti=/opt/a.cti"
    )
    assert source_kind(uri) == "genicam"
    assert Wish.parse(uri) == Wish(
        "Line 3",
        (
            ("TriggerSelector", "FrameStart"),
            ("TriggerMode", "On"),
            ("TriggerSelector", "LineStart"),
            ("UserSetLoad", ""),
        ),
        "/opt/a.cti",
        False,
        7,
    )
    assert Wish.parse("genicam:") == Wish("")


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("genicam:1?exposure=5", "no option 'exposure'"),
        ("genicam:1?buffers=0", "buffers='0' is no valid value"),
        ("genicam:1?strict=no", "for example 0 or 1"),
        ("genicam:1?cti=", "cti='' is no valid value"),
        ("genicam:1?strict=0&strict=1", "appears twice"),
        ("genicam:1?DeviceUserID=a%0Ab", "cannot be printed"),
    ],
)
def test_what_is_no_wish_is_refused(uri: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Wish.parse(uri)
