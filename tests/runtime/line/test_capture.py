"""Capturing a data set: which frames become pictures, where, and what each says about itself."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from PIL import Image

from csflow.runtime.cli.pictures.capture import capture as command
from csflow.runtime.errors import ConfigError, FrameError
from csflow.runtime.faults import Verdict
from csflow.runtime.line import capture as module
from csflow.runtime.line.capture import Capture, Captured, capture, place_of
from csflow.runtime.picture.origin import CAPTURE, decoder_in, record_in
from csflow.runtime.sources.fake import FakeSource
from csflow.runtime.trigger import Trigger
from csflow.runtime.triggers.fake import FakeTrigger
from csflow.runtime.types import Frame

LEVELS = (10, 10, 12, 90, 90, 91, 200)


def picture(level: int) -> NDArray[np.uint8]:
    return np.full((40, 30, 3), level, np.uint8)


Take = Callable[..., tuple[Captured, list[str]]]


@pytest.fixture
def take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Take:
    """`take(items, trigger, **wish)`: capture what a fake source gives; what was done, and what failed in words."""

    def run(items: Any, trigger: Trigger | None = None, **wish: Any) -> tuple[Captured, list[str]]:
        source, bad = FakeSource(items), []
        monkeypatch.setattr(module, "open_cameras", lambda _uris, _policy, stack: [stack.enter_context(source)])

        def stopping() -> AbstractContextManager[threading.Event]:
            return contextlib.nullcontext(threading.Event())

        request = Capture("synthetic://", tmp_path, **wish)
        return capture(request, trigger, lambda _: None, lambda *_: None, bad.append, stopping), bad

    return run


def levels(folder: Path) -> list[int]:
    return [int(np.asarray(Image.open(file))[0, 0, 0]) for file in sorted(folder.iterdir())]


def test_every_frame_becomes_a_picture_once(take: Take, tmp_path: Path) -> None:
    done, _ = take([picture(level) for level in LEVELS])
    assert levels(tmp_path / "train" / "good") == [10, 12, 90, 91, 200]
    assert (done.pictures, done.same) == (5, 2)


def test_each_nth_and_a_limit(take: Take, tmp_path: Path) -> None:
    done, _ = take([picture(level) for level in range(20)], every=3, pictures=4, place="test/good")
    assert levels(tmp_path / "test" / "good") == [0, 3, 6, 9]
    assert (done.pictures, done.passed_over) == (4, 6)


def test_only_what_changed(take: Take, tmp_path: Path) -> None:
    done, _ = take([picture(level) for level in LEVELS], change=5.0)
    assert levels(tmp_path / "train" / "good") == [10, 90, 200]
    assert done.passed_over == 2


def test_a_picture_at_each_trigger_which_hears_of_it(take: Take, tmp_path: Path) -> None:
    trigger = FakeTrigger(["a", "b"])
    done, _ = take([picture(level) for level in range(9)], trigger, place="test/deep scratch")
    assert done.pictures == 2
    assert len(levels(tmp_path / "test" / "deep scratch")) == 2
    answers = [result for _, result in trigger.answers]
    assert [(a.verdict, a.reason) for a in answers] == [(Verdict.NONE, "captured for test/deep scratch")] * 2


def test_a_bad_frame_is_told_and_the_next_is_taken(take: Take, tmp_path: Path) -> None:
    done, bad = take([picture(1), FrameError("cut off", 1, "camera"), picture(3)])
    assert levels(tmp_path / "train" / "good") == [1, 3]
    assert (done.bad, bad) == (1, ["cut off"])


def test_a_picture_says_how_it_was_taken(take: Take, tmp_path: Path) -> None:
    take([picture(7)], every=2)
    (file,) = (tmp_path / "train" / "good").iterdir()
    record = record_in(file, CAPTURE)
    assert decoder_in(file) == "Pillow"
    assert {key: record[key] for key in ("camera", "frame_index", "every", "change")} == {
        "camera": "synthetic://",
        "frame_index": 0,
        "every": 2,
        "change": None,
    }
    assert record["captured_unix_ns"] > 0
    assert record_in(file, "other") == {}


@pytest.mark.parametrize(
    ("source", "end"),
    [("lots/part 7.png", "part-7"), ("rtsp://camera/1", "00000042"), ("x" * 40 + ".png", "x" * 32)],
)
def test_names_sort_by_the_moment_of_capture_in_utc(source: str, end: str) -> None:
    frame = Frame(np.zeros((1, 1, 3), np.uint8), 42, 0, source)
    assert module._file_name(1_767_225_599_000_000_042, frame) == f"20251231T235959.000000042Z-{end}.png"


@pytest.mark.parametrize("text", ["train/dent", "calibration/ok", "images", "test/", "test/../x", "elsewhere/good"])
def test_what_is_no_folder_of_a_data_set_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="expected train/good, calibration/good, test/good or test/DEFECT"):
        place_of(text)


def test_the_command_counts_and_refuses_contradictions(tmp_path: Path) -> None:
    for number in range(3):
        Image.fromarray(picture(number)).save(tmp_path / f"{number}.png")
    words = ["--camera", str(tmp_path), str(tmp_path / "images")]
    done = CliRunner().invoke(command, [*words, "--every", "2"])
    assert (done.exit_code, done.stdout) == (0, f"2 pictures in {tmp_path}/images/train/good, 1 frames passed over\n")
    for wrong in (["--key", "--every", "2"], ["--key", "--trigger", "stdin"], ["--trigger", "pipe:"]):
        assert CliRunner().invoke(command, [*words, *wrong]).exit_code == 2
