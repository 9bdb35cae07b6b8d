"""From 16 bits to 8: the formula, the files that have them, and what keeps a picture from the wrong model."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from PIL import Image

from csflow.runtime import schema
from csflow.runtime.bundle.calibration import load_calibration
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.manifest import Preprocessing
from csflow.runtime.cli.pictures.roi import roi
from csflow.runtime.detector import Detector
from csflow.runtime.errors import DataError, SourceError
from csflow.runtime.line.stream import run_stream
from csflow.runtime.picture.images import read_picture
from csflow.runtime.picture.preprocess import prepare_file, preprocess
from csflow.runtime.picture.region import load_region
from csflow.runtime.picture.window import clipped, eight_bits, suggested, window_table
from csflow.runtime.sinks.memory import MemorySink
from csflow.runtime.sinks.record import result_record
from csflow.runtime.sources.fake import FakeSource
from csflow.runtime.types import Frame, Verdict

RAMP = np.arange(1 << 12, dtype=np.uint16).reshape(64, 64)


@pytest.mark.parametrize("window", [(0, 4095), (100, 101), (0, 65535), (1000, 1254), (65534, 65535)])
def test_a_level_is_its_share_of_the_window_rounded(window: tuple[int, int]) -> None:
    low, high = window
    table = window_table(window)
    for level in {0, low, low + 1, (low + high) // 2, (low + high) // 2 + 1, high - 1, high, 65535}:
        share = min(max(Fraction(level - low, high - low), Fraction(0)), Fraction(1))
        assert table[level] == int(share * 255 + Fraction(1, 2))
    assert (np.diff(table.astype(int)) >= 0).all()


def test_a_window_is_no_division_by_256() -> None:
    mapped = preprocess(RAMP, Preprocessing(64, window=(0, 4095)))
    assert len(np.unique(mapped)) == 256
    assert mapped[0, 0].tolist() == [0, 0, 0]
    assert mapped[-1, -1].tolist() == [255, 255, 255]


@pytest.mark.parametrize("suffix", ["png", "tiff", "pgm"])
def test_a_file_of_16_bits_keeps_every_level(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{suffix}"
    levels = RAMP * np.uint16(16) + np.uint16(7)
    if suffix == "pgm":
        path.write_bytes(b"P5 64 64 65535\n" + levels.astype(">u2").tobytes())
    else:
        Image.fromarray(levels).save(path)
    read = read_picture(path)
    assert read.dtype == np.uint16
    np.testing.assert_array_equal(read, levels)
    how = Preprocessing(32, (8, 0, 40, 60), window=(1000, 50000))
    np.testing.assert_array_equal(prepare_file(path, how), preprocess(levels, how))


@pytest.mark.parametrize("highest", [1023, 4095, 65534])
@pytest.mark.parametrize("plain", [False, True])
def test_a_pgm_of_fewer_bits_keeps_the_levels_of_its_camera(highest: int, plain: bool, tmp_path: Path) -> None:
    levels = np.linspace(0, highest, 64 * 64).astype(np.uint16).reshape(64, 64)
    path = tmp_path / "a.pgm"
    if plain:
        path.write_text(f"P2 64 64 {highest}\n" + "\n".join(" ".join(map(str, row)) for row in levels.tolist()) + "\n")
    else:
        path.write_bytes(b"P5 64 64 %d\n" % highest + levels.astype(">u2").tobytes())
    np.testing.assert_array_equal(read_picture(path), levels)


def test_a_tiff_that_is_big_endian_or_turned_is_as_it_was_seen(tmp_path: Path) -> None:
    tags = {274: 6}
    Image.fromarray(RAMP[:32]).save(tmp_path / "turned.tiff", tiffinfo=tags)
    np.testing.assert_array_equal(read_picture(tmp_path / "turned.tiff"), RAMP[:32].T[:, ::-1])
    big = Image.frombytes("I;16B", (64, 64), RAMP.astype(">u2").tobytes())
    big.save(tmp_path / "big.tiff")
    np.testing.assert_array_equal(read_picture(tmp_path / "big.tiff"), RAMP)


def test_white_as_zero_and_levels_below_zero_are_refused(tmp_path: Path) -> None:
    Image.fromarray(RAMP).save(tmp_path / "a.tiff", tiffinfo={262: 0})
    with pytest.raises(DataError, match="stores white as 0"):
        read_picture(tmp_path / "a.tiff")
    Image.fromarray(np.full((8, 8), -1, np.int32)).save(tmp_path / "b.tiff")
    with pytest.raises(DataError, match="not whole levels from 0 to 65535"):
        read_picture(tmp_path / "b.tiff")


@pytest.mark.parametrize(("image", "window"), [(RAMP, None), (np.zeros((8, 8, 3), np.uint8), (0, 4095))])
def test_a_depth_that_the_model_does_not_take_is_refused(
    image: NDArray[np.uint16], window: tuple[int, int] | None, tmp_path: Path
) -> None:
    with pytest.raises(SourceError, match="8 bits"):
        preprocess(image, Preprocessing(32, window=window))
    Image.fromarray(image).save(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"a\.png: the picture has"):
        prepare_file(tmp_path / "a.png", Preprocessing(32, window=window))


@pytest.mark.parametrize("window", [(5, 5), (6, 5), (-1, 5), (0, 65536)])
def test_a_window_that_is_none_is_refused(window: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="window must be"):
        Preprocessing(32, window=window)


def test_shares_outside_and_a_proposal() -> None:
    assert clipped(RAMP, (1024, 4094)) == (0.25, 1 / 4096)
    assert suggested(RAMP) == (4, 4091)
    assert suggested(np.zeros((4, 4), np.uint16)) == (0, 1)
    assert suggested(np.full((4, 4), 7, np.uint16)) == (6, 7)
    assert eight_bits(np.dstack([RAMP] * 3), (0, 4095)).shape == (64, 64, 3)


def deep(bundle: Bundle, folder: Path, window: tuple[int, int] = (0, 4095)) -> Bundle:
    """The same with a window, and thresholds for what it has become."""
    how = dataclasses.replace(bundle.manifest.preprocessing, window=window)
    files = {name: bundle.read(name) for name in bundle.manifest.files}
    made = Bundle.create(folder, dataclasses.replace(bundle.manifest, preprocessing=how, files={}), files)
    calibration = load_calibration(bundle)
    assert calibration is not None
    assert made.weights_sha256 != bundle.weights_sha256
    mine = dataclasses.replace(calibration, weights_sha256=made.weights_sha256)
    made.write_calibration(schema.dump_json(schema.to_mapping(mine)))
    return made


def test_the_line_maps_deep_pictures_and_refuses_the_wrong_depth(calibrated_bundle: Bundle, tmp_path: Path) -> None:
    made = deep(calibrated_bundle, tmp_path / "deep.csflow")
    script = [Frame(RAMP, 0), np.full((64, 64, 3), 90, np.uint8), Frame(RAMP, 2)]
    with Detector.open(made.path, "fake") as detector:
        expected = detector.detect(RAMP)
        memory = MemorySink()
        run_stream(FakeSource(script, live=False), detector, [memory])
    first, wrong, last = memory.results
    assert first.score == last.score == expected.score
    assert first.verdict is Verdict.OK
    assert (wrong.verdict, wrong.fault, "has 8 bits" in wrong.reason) == (Verdict.ERROR, "frame", True)
    with Detector.open(calibrated_bundle.path, "fake") as detector:
        memory = MemorySink()
        run_stream(FakeSource([Frame(RAMP, 0)]), detector, [memory])
    assert "no window" in memory.results[0].reason


def test_a_result_says_what_the_window_cut_off(calibrated_bundle: Bundle, tmp_path: Path) -> None:
    made = deep(calibrated_bundle, tmp_path / "deep.csflow", (1024, 2047))
    with Detector.open(made.path, "fake") as detector:
        alone, memory = detector.detect(RAMP), MemorySink()
        run_stream(FakeSource([Frame(RAMP, 0), np.zeros((64, 64, 3), np.uint8)]), detector, [memory])
    assert alone.clipped == pytest.approx((0.25, 0.5), abs=0.02)
    assert [result.clipped for result in memory.results] == [alone.clipped, None]
    assert result_record(alone)["clipped"] == list(alone.clipped or ())


def test_roi_proposes_a_window_shows_it_and_saves_it(tmp_path: Path) -> None:
    Image.fromarray(RAMP).save(tmp_path / "a.tiff")
    words = [str(tmp_path / "a.tiff"), "-o", str(tmp_path / "seen.png"), "--save", str(tmp_path / "region.json")]
    done = CliRunner().invoke(roi, words)
    assert done.exit_code == 0
    assert "levels   0 to 4095 of 16 bits" in done.output
    assert "window   4,4091: 0.10% below |@" in done.output
    assert load_region(tmp_path / "region.json").window == (4, 4091)
    shown = np.asarray(Image.open(tmp_path / "seen.png"))
    np.testing.assert_array_equal(shown, eight_bits(RAMP, (4, 4091)))
    done = CliRunner().invoke(roi, [str(tmp_path / "a.tiff"), "--window", "100,2000"])
    assert "window   100,2000" in done.output
    assert CliRunner().invoke(roi, [str(tmp_path / "seen.png"), "--window", "100,2000"]).exit_code == 5
    assert CliRunner().invoke(roi, [str(tmp_path / "a.tiff"), "--window", "5"]).exit_code == 2
