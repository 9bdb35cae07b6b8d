"""What a bundle's model is: old bundles keep their identity for ever, new fields with defaults change none."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from csflow.runtime.bundle.calibration import load_calibration
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.golden import load_golden
from csflow.runtime.bundle.identity import identity
from csflow.runtime.bundle.manifest import Definitions, FileEntry, Manifest, Preprocessing
from csflow.runtime.bundle.verification import load_verification
from csflow.runtime.detector import Detector
from csflow.runtime.picture.preprocess import Pieces

OLD = Path(__file__).parents[2] / "fixtures" / "format1"
IDENTITIES: dict[str, str] = json.loads((OLD / "identities.json").read_text())
FILES = {"weights/flow.safetensors": FileEntry("ab" * 32, 1), "golden/golden.json": FileEntry("cd" * 32, 2)}
NEW = Manifest(Preprocessing(64), Definitions(), {"k": [0.1, 1e22, 3]}, {"csflow": "0.2"}, FILES)


@pytest.mark.parametrize("name", IDENTITIES)
def test_a_bundle_of_format_1_keeps_its_identity_and_its_verdicts(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    shutil.copytree(OLD / name, path)
    bundle = Bundle.open(path)
    assert bundle.manifest.format_version == 1
    assert bundle.weights_sha256 == IDENTITIES[name]
    verification, calibration = load_verification(bundle), load_calibration(bundle)
    assert verification is not None
    assert calibration is not None
    assert verification.engines["openvino-fp32"].problems(calibration) == []
    with Detector.open(path, "fake") as detector:
        for frame, expected in load_golden(bundle):
            result = detector.decide([frame], [Pieces(frame.image, bundle.manifest.preprocessing)], [0.0])[0]
            assert (result.score, result.verdict) == (expected.score, calibration.verdict(expected.score))


@pytest.mark.parametrize("name", IDENTITIES)
def test_an_updated_bundle_of_format_1_stays_one(name: str, tmp_path: Path) -> None:
    shutil.copytree(OLD / name, tmp_path / name)
    before = (tmp_path / name / "manifest.json").read_bytes()
    bundle = Bundle.open(tmp_path / name)
    updated = bundle.update({"graphs/fp16/flow.onnx": b"3"})
    assert updated.weights_sha256 == IDENTITIES[name]
    updated.update({}, remove=("graphs/fp16/flow.onnx",))
    assert (tmp_path / name / "manifest.json").read_bytes() == before


def test_the_identity_of_format_2_is_the_hash_of_canonical_json() -> None:
    text = (
        '{"definitions":{},"graphs":["backbone","flow"],"method":"cs-flow","model":{"k":[0.1,1e+22,3]},'
        '"preprocessing":{"image_size":64},"weights":{"weights/flow.safetensors":"' + "ab" * 32 + '"}}'
    )
    assert identity(NEW) == hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(
    "change",
    [
        {"method": "mahalanobis"},
        {"graphs": ("backbone", "head")},
        {"model": {"k": [0.1, 1e22, 4]}},
        {"preprocessing": Preprocessing(64, roi=(0, 0, 9, 9))},
        {"definitions": Definitions(score="another")},
        {"files": {"weights/flow.safetensors": FileEntry("ac" * 32, 1)}},
        {"files": {"weights/other.safetensors": FileEntry("ab" * 32, 1)}},
    ],
)
def test_whatever_scores_follow_from_changes_it(change: dict[str, object]) -> None:
    assert identity(dataclasses.replace(NEW, **change)) != identity(NEW)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change", [{"provenance": {}}, {"files": {**FILES, "golden/golden.json": FileEntry("0" * 64, 2)}}]
)
def test_what_they_do_not_follow_from_does_not(change: dict[str, object]) -> None:
    assert identity(dataclasses.replace(NEW, **change)) == identity(NEW)  # type: ignore[arg-type]


def test_golden_frames_of_format_1_are_judged_by_shares_of_the_score() -> None:
    golden = load_golden(Bundle.open(OLD / "plain.csflow"))
    assert golden.spread is None
    assert golden.unit(0.5) == 0.5
    assert np.isclose(golden.unit(-2.0), 2.0)
