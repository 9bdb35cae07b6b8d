"""A line whose bundle aligns: parts may lie anyhow, and a picture without the part is an ERROR, never OK."""

import dataclasses
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from csflow.runtime.bundle.alignment import Alignment
from csflow.runtime.bundle.calibration import load_calibration
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.detector import Detector
from csflow.runtime.engines.fake import FakeEngine
from csflow.runtime.faults import Reason, Verdict, reason_of
from csflow.runtime.line.stream import run_stream
from csflow.runtime.picture.align import grey_levels
from csflow.runtime.sinks.memory import MemorySink
from csflow.runtime.source import open_source

SIDE = 96


def part(x: int) -> Image.Image:
    picture = Image.new("RGB", (SIDE, SIDE), (60, 70, 60))
    pen = ImageDraw.Draw(picture)
    pen.rectangle((20 + x, 25, 75 + x, 70), fill=(180, 170, 150))
    pen.ellipse((50 + x, 30, 70 + x, 50), fill=(30, 40, 90))
    return picture


def test_shifted_parts_are_judged_and_a_missing_one_is_an_error(calibrated_bundle: Bundle, tmp_path: Path) -> None:
    reference = grey_levels(np.asarray(part(0))).tobytes().hex()
    whole, calibration = calibrated_bundle.manifest, load_calibration(calibrated_bundle)
    assert calibration is not None
    how = dataclasses.replace(whole.preprocessing, image_size=SIDE, align=Alignment("translation", reference, 600))
    bundle = Bundle(calibrated_bundle.path, dataclasses.replace(whole, preprocessing=how))
    for i, picture in enumerate((part(0), part(12), Image.new("RGB", (SIDE, SIDE), (60, 70, 60)), part(-15))):
        picture.save(tmp_path / f"{i}.png")
    memory = MemorySink()
    with Detector(bundle, FakeEngine(bundle), calibration) as detector:
        run_stream(open_source(str(tmp_path)), detector, [memory])
    first, right, missing, left = memory.results
    assert [r.verdict for r in memory.results] == [Verdict.OK, Verdict.OK, Verdict.ERROR, Verdict.OK]
    assert right.score == first.score
    assert left.score == first.score
    assert (missing.fault, reason_of(missing.verdict, missing.fault)) == ("frame", Reason.PICTURE)
    assert missing.reason.startswith("the part was not found in the picture: its correlation")
