"""Which pictures the page draws, and which it keeps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from csflow.runtime.page.pictures import Pictures
from csflow.runtime.page.state import LiveState
from csflow.runtime.types import Frame

from .results import ERROR, IMAGE, INFO, NOK, OK


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """The drawing thread waits; the test takes its turns."""
    monkeypatch.setattr("csflow.runtime.page.pictures.TURNS_PER_S", 1e-3)


@pytest.mark.usefixtures("still")
def test_the_newest_frame_is_drawn_only_while_someone_watches() -> None:
    state = LiveState(INFO)
    pictures = Pictures(state)
    state.add(OK, Frame(IMAGE))
    pictures.turn()
    assert pictures.picture(1, "overlay") == b""
    pictures.watch()
    pictures.turn()
    for kind in ("raw", "overlay"):
        assert pictures.picture(1, kind).startswith(b"\xff\xd8")
    assert [seen.number for seen in pictures.watch()] == [1]
    pictures.close()


@pytest.mark.usefixtures("still")
def test_rejects_are_kept_without_their_camera_pictures_newest_first() -> None:
    state = LiveState(INFO)
    pictures = Pictures(state)
    for index in range(15):
        state.add(replace(NOK, frame_index=index), Frame(IMAGE))
        pictures.turn()
    state.add(ERROR, None)
    pictures.turn()
    rejects = pictures.rejects()
    assert [r.seen.number for r in rejects] == list(range(16, 0, -1))
    assert all(r.seen.frame is None for r in rejects)
    assert [r.to_mapping()["picture"] for r in rejects[:2]] == [False, True]
    pictures.close()


@pytest.mark.usefixtures("still")
def test_where_parts_may_be_labelled_their_own_pictures_are_at_hand() -> None:
    state = LiveState(INFO)
    pictures = Pictures(state, keep=True)
    for index, result in enumerate((NOK, OK)):
        pictures.watch()
        state.add(replace(result, frame_index=index), Frame(IMAGE + index))
        pictures.turn()
    for number in (1, 2):
        seen = pictures.seen(number)
        assert seen is not None
        assert seen.frame is not None
        assert (seen.frame.image == IMAGE + number - 1).all()
    assert pictures.seen(3) is None
    pictures.close()


@pytest.mark.usefixtures("still")
def test_an_odd_picture_is_no_picture() -> None:
    state = LiveState(INFO)
    pictures = Pictures(state)
    state.add(replace(ERROR, anomaly_map=OK.anomaly_map), Frame(IMAGE[:, :, 0].astype(np.complex64)))  # type: ignore[arg-type]
    pictures.watch()
    pictures.turn()
    assert [pictures.picture(1, kind) for kind in ("raw", "overlay", "thumbnail")] == [b"", b"", b""]
    pictures.close()
