"""libcsflow and every method in turn: the same scores, maps and verdicts as Python on the golden frames."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.golden import load_golden
from csflow.runtime.detector import Detector

from ..large_files import with_large_files_shared  # noqa: TID252 - tests are no package that could be named
from .conftest import write_thresholds


def test_golden_frames_are_judged_as_in_python(
    method_bundle: Path, tmp_path: Path, with_record: Callable[..., Bundle], openvino: Any, picture: Any
) -> None:
    bundle = Bundle.open(with_large_files_shared(method_bundle, tmp_path / "model.csflow"))
    write_thresholds(bundle)
    bundle = with_record(bundle, "openvino-fp32")
    with openvino(bundle.path, "openvino-fp32") as ours, Detector.open(bundle.path, "openvino-fp32") as theirs:
        assert ours.describe().method.decode() == bundle.manifest.method
        for frame, golden in load_golden(bundle):
            result, expected = ours.detect(picture(frame.image, "RGB8")), theirs.detect(frame.image)
            assert (result.verdict, result.score) == (expected.verdict, expected.score)
            assert abs(result.score - golden.score) < 1e-3 * load_golden(bundle).unit(golden.score)
            height, width, values = ours.anomaly_map()
            np.testing.assert_array_equal(np.array(values, np.float32).reshape(height, width), expected.anomaly_map)
