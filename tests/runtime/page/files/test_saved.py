"""Saved pictures by time, and nothing else of the folder."""

from __future__ import annotations

import io
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from csflow.runtime.page.files.saved import THUMBNAIL_PX, SavedPictures
from csflow.runtime.sinks.overlay import OverlaySink, SavedName
from csflow.runtime.types import Frame, Result, Verdict

NOK = Result(Verdict.NOK, 2.5, 1.0, 0.4, np.ones((2, 2), np.float32), (0, 0), "", 0, 0, 0.012, "lot/part 7.png")
IMAGE = np.full((480, 640, 3), 120, dtype=np.uint8)
DAY_S = 1_790_000_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with OverlaySink(tmp_path / "saved") as sink:
        for number in range(3):
            sink.write(replace(NOK, frame_index=number, captured_unix_ns=(DAY_S + number) * 10**9 + 7), Frame(IMAGE))
    (tmp_path / "saved" / "notes.jpg").write_bytes(b"of somebody else")
    (tmp_path / "secret.jpg").write_bytes(b"no picture of a part")
    return tmp_path / "saved"


def test_they_are_listed_newest_first_and_before_a_moment(folder: Path) -> None:
    saved = SavedPictures(folder)
    assert [one["unix_s"] for one in saved.before(math.inf)] == [DAY_S + 2, DAY_S + 1, DAY_S]
    assert [one["unix_s"] for one in saved.before(DAY_S + 2, most=1)] == [DAY_S + 1]
    first = saved.before(DAY_S + 1)[0]
    assert (first["verdict"], first["source"]) == ("NOK", "part-7-png")


def test_only_what_the_sink_named_is_read(folder: Path) -> None:
    saved = SavedPictures(folder)
    name = saved.before(math.inf)[0]["name"]
    with Image.open(io.BytesIO(saved.picture(name, small=True))) as small:
        assert max(small.size) == THUMBNAIL_PX
    assert len(saved.picture(name)) > len(saved.picture(name, small=True)) > 0
    for other in ("notes.jpg", "../secret.jpg", "../saved/" + name, name.replace("NOK", "OK"), ""):
        assert saved.picture(other) == b"", other
    (folder / name).write_bytes(b"torn")
    assert saved.picture(name, small=True) == b""


def test_a_folder_that_is_gone_is_empty(tmp_path: Path) -> None:
    assert SavedPictures(tmp_path / "none").before(math.inf) == []


def test_a_name_tells_what_it_was_made_of() -> None:
    got = SavedName.parse("20260301T102030.123456789Z-00000042-NOK-17-png.jpg")
    assert got is not None
    assert (got.unix_ns, got.verdict, got.source) == (1_772_360_430_123_456_789, "NOK", "17-png")
    assert SavedName.parse("20261301T102030.123456789Z-00000042-NOK-17-png.jpg") is None
