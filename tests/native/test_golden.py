"""libcsflow and csflow.runtime on golden frames: the same errors, and the same refusals."""

from __future__ import annotations

import ctypes
import re
from types import ModuleType

import numpy as np
import pytest

from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.golden import GoldenFrame, write_golden
from csflow.runtime.detector import Detector
from csflow.runtime.engines.fake import FakeEngine
from csflow.runtime.errors import EngineMismatch
from csflow.runtime.types import Frame, Prediction

FOUND = re.compile(r"(\d+) of (\d+) verdicts differ, largest error of a score ([\d.]+|inf)%, of a map ([\d.]+|inf)%")


def with_golden(bundle: Bundle, level: int, score: float, map_offset: float, good_scores: tuple[float, ...]) -> Bundle:
    """A bundle whose golden frame of one grey level must score so, on a map off by turns to either side."""
    side = bundle.manifest.preprocessing.image_size
    image = np.full((side, side, 3), level, np.uint8)
    (found,) = FakeEngine(bundle).infer([Frame(image)])
    signs = np.where(np.indices(found.anomaly_map.shape).sum(axis=0) % 2, 1, -1)
    expected = Prediction(score, (found.anomaly_map + map_offset * signs).astype(np.float32))
    return bundle.update(write_golden([(image, GoldenFrame.of("0.png", "plain", expected))], good_scores))


@pytest.mark.parametrize(
    "golden",
    [
        (127, 0.503, 0.0, ()),  # in the band below a threshold, but not the trained model's
        (128, 0.497, 0.0, ()),
        (154, 0.597, 0.0, ()),
        (64, 0.3, 0.0, ()),
        (64, 0.24, 0.0, (0.20, 0.21)),
        (64, 0.30, 0.0, (0.20, 0.21)),
        (64, 64 / 255, 0.1, ()),
        (64, 64 / 255, 0.1, (0.2, 0.3)),
    ],
)
def test_what_disagrees_is_refused_with_the_same_errors(
    golden: tuple[int, float, float, tuple[float, ...]],
    calibrated_bundle: Bundle,
    library: ctypes.CDLL,
    binding: ModuleType,
) -> None:
    bundle = with_golden(calibrated_bundle, *golden)
    with pytest.raises(EngineMismatch) as theirs:
        Detector.open(bundle.path, "fake")
    with pytest.raises(binding.LibraryError) as ours:
        binding.Detector(library, str(bundle.path), device=b"fake").close()
    expected = FOUND.search(str(theirs.value))
    assert expected is not None
    got = FOUND.search(str(ours.value))
    assert got is not None, str(ours.value)
    assert got.groups() == expected.groups()


@pytest.mark.parametrize(
    "golden",
    [
        (127, 0.5015, 0.0, ()),  # both in the band
        (64, 0.26, 0.0, ()),
        (64, 0.27, 0.0, (0.2, 0.3, 0.4)),
        (64, 64 / 255, 0.02, ()),
    ],
)
def test_what_agrees_is_opened_by_both(
    golden: tuple[int, float, float, tuple[float, ...]],
    calibrated_bundle: Bundle,
    library: ctypes.CDLL,
    binding: ModuleType,
) -> None:
    bundle = with_golden(calibrated_bundle, *golden)
    Detector.open(bundle.path, "fake").close()
    binding.Detector(library, str(bundle.path), device=b"fake").close()
