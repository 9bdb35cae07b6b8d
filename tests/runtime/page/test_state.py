"""What the page counts."""

from __future__ import annotations

from dataclasses import replace

from csflow.runtime.page.state import LiveState
from csflow.runtime.types import Frame

from .results import ERROR, IMAGE, INFO, NOK, OK


def test_the_snapshot_has_counts_scores_and_the_state_of_each_camera() -> None:
    state = LiveState(INFO)
    for result in (OK, NOK, ERROR):
        state.add(result, Frame(IMAGE))
    got = state.snapshot(state.newest_of_each(), since=1)
    assert got["counts"] == {"OK": 1, "NOK": 1, "UNCERTAIN": 0, "ERROR": 1}
    assert got["dropped"] == 2
    assert got["scores"] == [(2, 2.5, "NOK"), (3, None, "ERROR")]
    assert [(part["camera"], part["verdict"], part["reason"]) for part in got["shown"]] == (
        [("cam", "ERROR", "unplugged"), ("cam2", "NOK", "")]
    )
    assert [(c["name"], c["state"], c["results"], c["errors"]) for c in got["cameras"]] == (
        [("cam", "error", 2, 1), ("cam2", "ok", 1, 0)]
    )


def test_a_camera_without_results_is_silent_not_ok() -> None:
    assert [c["state"] for c in LiveState(INFO).snapshot([], 0)["cameras"]] == ["silent", "silent"]


def test_memory_does_not_grow_with_the_run() -> None:
    state = LiveState(INFO)
    for index in range(2000):
        state.add(replace(NOK, frame_index=index), Frame(IMAGE))
    assert len(state.snapshot([], 0)["scores"]) == 300
    assert len(state.take_rejects()) == 12
    assert state.take_rejects() == []
