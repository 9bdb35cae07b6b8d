"""The synthetic camera: what repeats, what is late, and which options it takes."""

from __future__ import annotations

import time

import numpy as np
import pytest

from csflow.runtime.errors import ConfigError, EndOfStream
from csflow.runtime.source import open_source
from csflow.runtime.types import Frame


def parts(uri: str) -> list[Frame]:
    frames = []
    with open_source(uri) as source:
        while True:
            try:
                frame = source.read(1.0)
            except EndOfStream:
                return frames
            assert frame is not None
            frames.append(frame)


def test_synthetic_parts_repeat_with_their_seed_and_say_what_is_true() -> None:
    uri = "synthetic://?frames=8&fps=0&defects=0.5&seed=3&size=64x80"
    first, second = (parts(uri) for _ in range(2))
    assert all(np.array_equal(a.image, b.image) for a, b in zip(first, second, strict=True))
    assert first[0].image.shape == (80, 64, 3)
    truths = {f.source.rpartition("-")[2] for f in first}
    assert "good" in truths
    assert len(truths) > 1


def test_a_live_synthetic_camera_does_not_wait_for_a_late_reader() -> None:
    with open_source("synthetic://?fps=100&size=64x64") as source:
        assert source.live
        time.sleep(0.1)
        frame = source.read(1.0)
    assert frame is not None
    assert frame.index >= 9


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("defect=0.1", "did you mean 'defects'"),
        ("colour=red", "the options are defects, fps, seed, frames, size"),
        ("fps=fast", "fps='fast' is no valid value; for example 10"),
        ("fps=nan", "fps must lie in"),
        ("defects=2", r"defects must lie in 0\.\.1"),
        ("seed=1&seed=2", "'seed' appears twice"),
        ("frames=0", "frames at least 1"),
        ("size=64", "for example 640x480"),
        ("size=8x8", "from 64 to 8192"),
    ],
)
def test_a_wrong_synthetic_option_is_refused(query: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        open_source(f"synthetic://?{query}")


def test_a_synthetic_camera_takes_options_and_nothing_else() -> None:
    with pytest.raises(ConfigError, match="expected synthetic://"):
        open_source("synthetic://plates?fps=1")


def test_parts_that_pass_at_the_end_show_in_the_index_of_the_last() -> None:
    with open_source("synthetic://?fps=1000&frames=20&size=64x64") as source:
        time.sleep(0.1)
        frame = source.read(1.0)
        assert frame is not None
        assert frame.index == 19
        with pytest.raises(EndOfStream):
            source.read(1.0)
