"""Aravis' fake GigE camera on loopback, through GStreamer."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from csflow.runtime.errors import SourceError
from csflow.runtime.source import open_source

from .gige import fake_gige
from .pipelines import first, has

pytestmark = pytest.mark.skipif(
    not has("videotestsrc", "gdppay"), reason="gstreamer1.0-tools, -plugins-base, -plugins-good or -plugins-bad missing"
)


@pytest.fixture
def gige(request: pytest.FixtureRequest) -> Iterator[str]:
    with fake_gige(getattr(request, "param", 0)) as uri:
        yield uri


def test_a_genicam_camera_gives_pictures_in_the_size_asked_for(gige: str) -> None:
    with open_source(gige + "?size=128x96&fps=20&exposure_us=5000", 60.0) as source:
        frames = [first(source) for _ in range(3)]
    assert [f.image.shape for f in frames] == [(96, 128, 3)] * 3
    assert all(f.image.std() > 10 for f in frames)


@pytest.mark.parametrize("gige", [300], indirect=True)
def test_lost_packets_never_give_half_a_picture(gige: str) -> None:
    # C10. The fake camera draws a ramp, (x + y + t) mod 255; a picture of this size needs four packets.
    ramp = np.add.outer(np.arange(48), np.arange(48))
    with open_source(gige + "?size=48x48&fps=20", 60.0) as source:
        frames = [first(source) for _ in range(4)]
    for frame in frames:
        grey = frame.image[:, :, 0].astype(int)
        assert ((grey - grey[0, 0] - ramp) % 255 == 0).all()


def test_a_size_that_the_camera_cannot_give_is_an_error_not_another_size(gige: str) -> None:
    with open_source(gige + "?size=4096x4096", 60.0) as source, pytest.raises(SourceError, match="aravis"):
        source.read(60.0)


def test_a_line_cameras_long_picture_arrives_whole() -> None:
    with open_source(
        "gst:videotestsrc num-buffers=1 ! video/x-raw,width=16384,height=8192,format=GRAY8", 60.0
    ) as source:
        assert first(source).image.shape == (8192, 16384, 3)
