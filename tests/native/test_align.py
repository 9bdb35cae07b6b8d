"""Alignment in libcsflow: the same pose, pixels and map as in Python, and no verdict where the part is not found."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from csflow.runtime import schema
from csflow.runtime.bundle.alignment import Alignment
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.detector import Detector
from csflow.runtime.errors import SourceError
from csflow.runtime.picture.align import grey_levels
from csflow.runtime.picture.preprocess import preprocess

SIDE = 128
SIZE = (200, 140)


def part(draw: np.random.Generator, far: float) -> NDArray[np.uint8]:
    """A part that lies up to `far` of its reach from where it should, on a background of noise."""
    big = Image.new("RGB", (400, 280), (60, 70, 60))
    pen = ImageDraw.Draw(big)
    pen.rectangle((90, 80, 300, 200), fill=(180, 170, 150))
    pen.ellipse((200, 90, 260, 150), fill=(30, 40, 90))
    turned = big.rotate(float(far * draw.uniform(-11, 11)), Image.Resampling.BICUBIC, fillcolor=(60, 70, 60))
    x, y = (float(v) for v in far * draw.uniform(-60, 60, 2))
    picture = turned.transform((400, 280), Image.Transform.AFFINE, (1, 0, x, 0, 1, y), fillcolor=(60, 70, 60))
    noise = draw.normal(0.0, 4.0, (SIZE[1], SIZE[0], 3))
    return np.clip(np.asarray(picture.resize(SIZE)) + noise, 0, 255).astype(np.uint8)


def aligned_bundle(
    path: Path, like: Bundle, model: str, roi: tuple[int, int, int, int] | None, exposure: int | None = None
) -> Bundle:
    """A copy that aligns on the part as it should lie."""
    how = dataclasses.replace(like.manifest.preprocessing, roi=roi, exposure=exposure)
    reference = grey_levels(preprocess(part(np.random.default_rng(0), 0.0), how)).tobytes().hex()
    aligning = dataclasses.replace(how, align=Alignment(model, reference, 500))
    manifest = dataclasses.replace(like.manifest, preprocessing=aligning, format_version=2)
    kept = {name: like.read(name) for name in like.manifest.files}
    bundle = Bundle.create(path, dataclasses.replace(manifest, files={}), kept)
    calibration = schema.parse_json((like.path / "calibration.json").read_bytes())
    bundle.write_calibration(schema.dump_json({**calibration, "weights_sha256": bundle.weights_sha256}))
    return bundle


def same(ours: Any, theirs: Any, picture: NDArray[np.uint8], described: Any) -> None:
    """That both say the same of a picture: score, peak and every value of the map."""
    result = theirs.detect(picture)
    found = ours.detect(described(picture, "RGB8"))
    assert (found.verdict, found.score) == (result.verdict, result.score)
    assert (found.peak_x, found.peak_y) == result.peak_xy
    width, height, values = ours.anomaly_map()
    np.testing.assert_array_equal(np.array(values, np.float32).reshape(height, width), result.anomaly_map)


@pytest.mark.parametrize(
    ("model", "roi", "exposure"),
    [
        ("euclidean", None, None),
        ("translation", None, None),
        ("euclidean", (10, 4, 180, 130), None),
        ("translation", (10, 4, 180, 130), 200),
    ],
)
def test_pose_pixels_and_map_are_those_of_python(
    calibrated_bundle: Bundle,
    library: Any,
    binding: ModuleType,
    picture: Any,
    tmp_path: Path,
    model: str,
    roi: Any,
    exposure: int | None,
) -> None:
    bundle = aligned_bundle(tmp_path / "aligned.csflow", calibrated_bundle, model, roi, exposure)
    draw = np.random.default_rng(5)
    with (
        binding.Detector(library, str(bundle.path), device=b"fake") as ours,
        Detector.open(bundle.path, "fake") as theirs,
    ):
        assert ours.describe().weights_sha256.decode() == bundle.weights_sha256
        for _ in range(8):
            same(ours, theirs, part(draw, 1.0), picture)


def test_where_the_part_is_not_found_there_is_no_verdict(
    calibrated_bundle: Bundle, library: Any, binding: ModuleType, picture: Any, tmp_path: Path
) -> None:
    bundle = aligned_bundle(tmp_path / "aligned.csflow", calibrated_bundle, "euclidean", None)
    empty = np.random.default_rng(1).integers(0, 256, (SIZE[1], SIZE[0], 3), np.uint8)
    with (
        binding.Detector(library, str(bundle.path), device=b"fake") as ours,
        Detector.open(bundle.path, "fake") as theirs,
    ):
        with pytest.raises(SourceError) as python:
            theirs.detect(empty)
        with pytest.raises(binding.LibraryError) as c:
            ours.detect(picture(empty, "RGB8"))
    assert "the part was not found" in str(python.value)
    assert str(python.value) in str(c.value)
