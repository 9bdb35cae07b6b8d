"""libcsflow refuses pictures of another size or aspect than the training's by Python's rule."""

from __future__ import annotations

import ctypes
import dataclasses
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from csflow.runtime import schema
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.manifest import MANIFEST
from csflow.runtime.bundle.pictures import CALIBRATION_PICTURES, CalibrationPictures, PictureSizes
from csflow.runtime.detector import Detector
from csflow.runtime.errors import SourceError
from csflow.runtime.types import Verdict

SIZES = [(640, 480), (1280, 960), (320, 240), (319, 240), (648, 480), (652, 480), (653, 480), (480, 640), (64, 64)]
SOURCE_ERROR = -11


def remembered(bundle: Bundle, kind: str) -> Path:
    """The bundle made with pictures of 640x480 pixels, or of several sizes, or as an import that was calibrated."""
    sizes = PictureSizes.of([(640, 480), (600, 500)] if "varied" in kind else [(640, 480)])
    if kind.startswith("import"):
        seen = CalibrationPictures(sizes, 0.1, 0.1, (1.0, 1.0))
        bundle.update({CALIBRATION_PICTURES: schema.dump_json(schema.to_mapping(seen))})
        return bundle.path
    how = bundle.manifest.preprocessing
    changed = dataclasses.replace(
        bundle.manifest,
        provenance={"training": {"pictures": schema.to_mapping(sizes)}},
        preprocessing=dataclasses.replace(how, ignore=((0, 0, 4, 4),)) if kind == "ignored areas" else how,
    )
    calibration = schema.parse_json((bundle.path / "calibration.json").read_bytes())
    (bundle.path / MANIFEST).write_bytes(changed.to_bytes())
    calibration["weights_sha256"] = Bundle.open(bundle.path).weights_sha256
    (bundle.path / "calibration.json").write_bytes(schema.dump_json(calibration))
    return bundle.path


@pytest.mark.parametrize("kind", ["trained", "varied", "ignored areas", "import", "import, varied"])
def test_both_refuse_the_same_pictures(
    kind: str, library: ctypes.CDLL, binding: ModuleType, calibrated_bundle: Bundle, picture: Callable[..., Any]
) -> None:
    path = remembered(calibrated_bundle, kind)
    refused = []
    with (
        binding.Detector(library, str(path), device=b"fake") as ours,
        binding.Detector(library, str(path), device=b"fake", any_size=1) as any_size,
        Detector.open(path, "fake") as theirs,
    ):
        for width, height in SIZES:
            pixels = np.full((height, width, 3), 51, np.uint8)
            assert any_size.detect(picture(pixels, "RGB8")).verdict == Verdict.OK
            try:
                assert theirs.detect(pixels).verdict is Verdict.OK
            except SourceError as error:
                refused.append((width, height))
                words = str(error).partition(",")[0].split()
                with pytest.raises(binding.LibraryError, match=rf"^{width}x{height} pixels {words[2]}") as told:
                    ours.detect(picture(pixels, "RGB8"))
                assert told.value.status == SOURCE_ERROR
            else:
                assert ours.detect(picture(pixels, "RGB8")).verdict == Verdict.OK
    assert len(refused) == {"trained": 4, "varied": 2, "ignored areas": 8, "import": 4, "import, varied": 0}[kind]


@pytest.mark.parametrize(
    "pictures", [{}, {"width_px": [64, 64]}, {"width_px": [9, 8], "height_px": [8, 8], "aspect": [1.0, 1.0]}]
)
def test_a_record_that_cannot_be_read_is_refused(
    pictures: dict[str, Any], library: ctypes.CDLL, binding: ModuleType, calibrated_bundle: Bundle
) -> None:
    manifest = dataclasses.replace(calibrated_bundle.manifest, provenance={"training": {"pictures": pictures}})
    (calibrated_bundle.path / MANIFEST).write_bytes(manifest.to_bytes())
    with pytest.raises(binding.LibraryError, match=r"provenance\.training\.pictures"):
        binding.Detector(library, str(calibrated_bundle.path), device=b"fake")


def test_the_flag_is_checked(library: ctypes.CDLL, binding: ModuleType, calibrated_bundle: Bundle) -> None:
    with pytest.raises(binding.LibraryError, match="any_size is 2"):
        binding.Detector(library, str(calibrated_bundle.path), device=b"fake", any_size=2)
