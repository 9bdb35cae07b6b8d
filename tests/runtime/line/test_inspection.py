"""A whole run as one library call: what it opens, what it comes to, and what keeps it from beginning."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from csflow.runtime import schema
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.pictures import CALIBRATION_DECODERS, CalibrationDecoders, calibration_decoders
from csflow.runtime.errors import ConfigError, SinkError, SourceError
from csflow.runtime.line.inspection import Inspection, Opened, inspect
from csflow.runtime.line.outputs import OutputOptions
from csflow.runtime.line.stream import StreamPolicy
from csflow.runtime.pack.origin import Origin, write_origin
from csflow.runtime.sources.fake import FakeSource
from csflow.runtime.sources.opencv import OpenCVSource

from .playing import detector, picture

QUIET = OutputOptions(lines=False)


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    folder = tmp_path / "parts"
    folder.mkdir()
    for index, grey in enumerate((51, 204, 51)):
        Image.fromarray(picture(grey)).save(folder / f"{index}.png")
    return folder


@contextlib.contextmanager
def never() -> Iterator[threading.Event]:
    yield threading.Event()


def wish(bundle: Bundle, parts: Path, outputs: OutputOptions = QUIET, **more: object) -> Inspection:
    return Inspection((str(parts),), str(bundle.path), "fake", outputs=outputs, **more)  # type: ignore[arg-type]


def test_a_run_tells_what_it_consists_of_and_what_it_came_to(calibrated_bundle: Bundle, parts: Path) -> None:
    told: list[str] = []

    def opened(what: Opened) -> None:
        told.extend(what.lines())

    ended = inspect(wish(calibrated_bundle, parts), opened, never)
    assert (ended.summary.verdicts["OK"], ended.summary.verdicts["NOK"], ended.error) == (2, 1, None)
    assert [line for line in told if not line.startswith("WARNING")] == [
        f"bundle     {calibrated_bundle.path}",
        "engine     fake",
        f"source     {parts} (every frame)",
        "thresholds warn 0.5, reject 0.6",
    ]


@pytest.mark.parametrize(
    ("signer", "line"),
    [("anna", "signed by  anna"), ("", "WARNING    the bundle came in a pack that nobody signed")],
)
def test_a_run_tells_who_signed_its_bundle(calibrated_bundle: Bundle, parts: Path, signer: str, line: str) -> None:
    told: list[str] = []
    write_origin(calibrated_bundle, Origin(calibrated_bundle.weights_sha256, "ab" * 32, signer))
    inspect(wish(calibrated_bundle, parts), lambda what: told.extend(what.lines()), never)
    assert told[:2] == [f"bundle     {calibrated_bundle.path}", line]


def test_what_ends_a_run_that_had_begun_is_in_what_it_came_to(
    calibrated_bundle: Bundle, parts: Path, tmp_path: Path
) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    outputs = OutputOptions(results=str(full), csv_file=str(tmp_path / "parts.csv"), lines=False)
    ended = inspect(wish(calibrated_bundle, parts, outputs), lambda _: None, never)
    assert isinstance(ended.error, SinkError)
    assert ended.summary.frames == 1
    assert [report.name.split()[0] for report in ended.reports] == ["table"]


def test_it_ends_after_the_results_that_were_asked_for(calibrated_bundle: Bundle, parts: Path) -> None:
    ended = inspect(wish(calibrated_bundle, parts, policy=StreamPolicy(max_results=2)), lambda _: None, never)
    assert ended.summary.frames == 2


def test_what_cannot_begin_raises_and_tells_nothing(calibrated_bundle: Bundle, parts: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="there is no file"):
        inspect(wish(calibrated_bundle, tmp_path / "none.mp4"), pytest.fail, never)
    two = Inspection((str(parts), "0"), str(calibrated_bundle.path), "fake", trigger="stdin")
    with pytest.raises(ConfigError, match="asks one camera"):
        inspect(two, pytest.fail, never)


def warnings(bundle: Bundle, *decoders: str) -> list[str]:
    files = {CALIBRATION_DECODERS: schema.dump_json(schema.to_mapping(CalibrationDecoders(decoders)))}
    sources = [OpenCVSource(None, "rtsp://camera"), FakeSource([], name="lot")]
    opened = Opened(detector(bundle.update(files)), sources, None, None)
    return [line for line in opened.lines() if line.startswith("WARNING") and "decoded" in line]


def test_a_run_that_takes_another_way_than_the_calibration_says_so(calibrated_bundle: Bundle) -> None:
    (told,) = warnings(calibrated_bundle, "OpenCV")
    assert "the pictures of lot are decoded by Pillow, those of the calibration were by OpenCV" in told
    (told,) = warnings(Bundle.open(calibrated_bundle.path), "GStreamer", "Pillow")
    assert "of rtsp://camera are decoded by OpenCV, those of the calibration were by GStreamer and Pillow" in told


def test_nothing_is_said_where_the_way_is_the_same_or_not_known(calibrated_bundle: Bundle) -> None:
    assert calibration_decoders(calibrated_bundle) == ()
    assert warnings(calibrated_bundle, "OpenCV", "Pillow") == []
    assert warnings(Bundle.open(calibrated_bundle.path)) == []
