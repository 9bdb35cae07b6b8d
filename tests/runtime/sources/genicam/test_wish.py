"""The grammar of genicam:NAME?feature=value&option=value."""

from __future__ import annotations

from pathlib import Path

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
        ("genicam:1?missed=counter", "for example CounterValue"),
        ("genicam:1?stamp=middle", "for example begin or end"),
        ("genicam:1?strict=no", "for example 0 or 1"),
        ("genicam:1?cti=", "cti='' is no valid value"),
        ("genicam:1?strict=0&strict=1", "appears twice"),
        ("genicam:1?DeviceUserID=a%0Ab", "cannot be printed"),
    ],
)
def test_what_is_no_wish_is_refused(uri: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Wish.parse(uri)


def test_a_file_of_features_comes_before_those_of_the_uri(tmp_path: Path) -> None:
    saved = tmp_path / "line3.pfs"
    saved.write_text("# {05D8C294}\n\nTriggerMode\tOn\nDeviceUserID\tline 3, top\nGain 6.5\n")
    wish = Wish.parse(f"genicam:7?Gain=7&load={saved}")
    assert wish == Wish("7", (("TriggerMode", "On"), ("DeviceUserID", "line 3, top"), ("Gain", "6.5"), ("Gain", "7")))


def test_a_file_that_was_saved_on_windows_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.pfs").write_bytes(b"\xef\xbb\xbf# {05D8C294}\r\nGain\t6.5\r\n")
    assert Wish.parse(f"genicam:7?load={tmp_path}/a.pfs").features == (("Gain", "6.5"),)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"Gain\n", "line 1: 'Gain' is no feature with a value"),
        (b"# x\ngain 5", "line 2"),
        (b"\xff\xfe", "is no text"),
        (b"# x\n\n", "lists no feature"),
    ],
)
def test_a_file_of_something_else_is_refused(text: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "a.pfs").write_bytes(text)
    with pytest.raises(ConfigError, match=words):
        Wish.parse(f"genicam:7?load={tmp_path}/a.pfs")
    with pytest.raises(ConfigError, match="cannot read the features"):
        Wish.parse(f"genicam:7?load={tmp_path}/nowhere.pfs")


def test_what_counts_and_what_a_stamp_means_are_options() -> None:
    wish = Wish.parse("genicam:7?missed=CounterValue&stamp=begin&CounterSelector=Counter1")
    assert (wish.missed, wish.stamp, wish.features) == ("CounterValue", "begin", (("CounterSelector", "Counter1"),))
