"""By what a picture's pixels were made: written by csflow into what it saves, read back, and unknown of all else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from click.testing import CliRunner
from PIL import Image

from csflow.runtime.cli.pictures.roi import roi
from csflow.runtime.picture.origin import GSTREAMER, OPENCV, PILLOW, decoder_in, decoder_of, png_info
from csflow.runtime.sources.fake import FakeSource
from csflow.runtime.sources.opencv import OpenCVSource
from csflow.runtime.sources.reconnect import Reconnecting
from csflow.runtime.sources.warm_up import WarmingUp

GREY = Image.fromarray(np.full((8, 8, 3), 99, np.uint8))


def test_a_picture_that_csflow_saved_tells_and_no_other_file_does(tmp_path: Path) -> None:
    told, silent, other = tmp_path / "a.png", tmp_path / "b.png", tmp_path / "c.jpg"
    GREY.save(told, pnginfo=png_info(GSTREAMER))
    GREY.save(silent)
    GREY.save(other)
    (tmp_path / "d.png").write_bytes(told.read_bytes()[:30])
    names = ("a.png", "b.png", "c.jpg", "d.png", "nowhere.png")
    assert [decoder_in(tmp_path / name) for name in names] == [GSTREAMER, "", "", "", ""]


def test_a_source_tells_through_whatever_is_wrapped_around_it() -> None:
    assert decoder_of(FakeSource([])) == PILLOW
    assert decoder_of(OpenCVSource(None, "video", encoded=True)) == PILLOW
    camera = OpenCVSource(None, "camera")
    assert decoder_of(WarmingUp(camera, 1.0)) == OPENCV
    assert decoder_of(Reconnecting(lambda: camera, 1.0)) == OPENCV
    assert decoder_of(Reconnecting(lambda: camera, 1.0, absent=("camera", "not there"))) == ""


def test_roi_saves_where_a_cameras_picture_came_from(tmp_path: Path) -> None:
    GREY.save(tmp_path / "part.jpg")
    for source, decoder in (("synthetic://?size=64x64", PILLOW), (str(tmp_path / "part.jpg"), "")):
        saved = tmp_path / "seen.png"
        done = CliRunner().invoke(roi, [source, "-o", str(saved)])
        assert done.exit_code == 0, done.output
        assert decoder_in(saved) == decoder
