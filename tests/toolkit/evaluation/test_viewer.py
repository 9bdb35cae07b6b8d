"""The page of all pictures: it holds each of them, needs nothing else, and counts as Python counts."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from csflow.calibration.thresholds import upper_bound
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.engines.fake import FakeEngine
from csflow.toolkit.data.dataset import load_dataset
from csflow.toolkit.data.synthetic import write_dataset
from csflow.toolkit.evaluation.evaluation import Evaluation, evaluate
from csflow.toolkit.evaluation.viewer import viewer_page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    root = tmp_path / "images"
    write_dataset(root, train=1, calibration=1, test_good=3, test_defects_each=2, size=64, seed=1)
    return root


@pytest.fixture
def evaluation(calibrated_bundle: Bundle, images: Path) -> Evaluation:
    return evaluate(calibrated_bundle, load_dataset(images), FakeEngine(calibrated_bundle))


def data_of(page: str) -> dict[str, object]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    data: dict[str, object] = json.loads(found[1])
    return data


def opened(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


def test_every_picture_is_there_with_its_score_and_mask(evaluation: Evaluation) -> None:
    page = viewer_page(evaluation)
    parts = data_of(page)["parts"]
    assert isinstance(parts, list)
    assert [(p["name"], p["score"]) for p in parts] == [
        (s.name, s.score) for s in sorted(evaluation.samples, key=lambda s: -s.score)
    ]
    for part in parts:
        assert opened(part["raw"]).size == opened(part["map"]).size == (64, 64)
        assert bool(part["mask"]) != part["good"]
        if part["mask"]:
            assert opened(part["mask"]).getextrema() == (0, 255)
    assert not re.search(r"https?://|@import|src=\"[^d]", page)


def test_names_cannot_become_markup(calibrated_bundle: Bundle, images: Path) -> None:
    (images / "test" / "dent").rename(images / "test" / "<b>&'")
    page = viewer_page(evaluate(calibrated_bundle, load_dataset(images), FakeEngine(calibrated_bundle)))
    assert "<b>&'" not in page
    parts = data_of(page)["parts"]
    assert isinstance(parts, list)
    assert "<b>&'" in {part["label"] for part in parts}


def test_without_thresholds_the_page_has_none(make_bundle: Callable[..., Bundle], images: Path) -> None:
    bundle = make_bundle()
    data = data_of(viewer_page(evaluate(bundle, load_dataset(images), FakeEngine(bundle))))
    assert (data["reject"], data["calibration"]) == (None, [])


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed (Debian: chromium)")
def test_the_browser_counts_as_python_does(evaluation: Evaluation, tmp_path: Path) -> None:
    known = evaluation.calibration
    assert known is not None
    assert CHROMIUM is not None
    page = tmp_path / "viewer.html"
    page.write_text(viewer_page(evaluation))
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom"]
    command = [CHROMIUM, *options, page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    said = dict(re.findall(r'<(?:b|span)[^>]*id="([\w-]+)"[^>]*>([^<]*)<', done.stdout))
    escaped = sum(s.score <= known.reject_threshold for s in evaluation.defective)
    rejected = sum(s.score > known.reject_threshold for s in evaluation.good)
    over = sum(score > known.reject_threshold for score in known.scores)
    assert said["escapes"] == f"{escaped} of {len(evaluation.defective)} escape"
    unsure = sum(known.warn_threshold < s.score <= known.reject_threshold for s in evaluation.defective)
    assert unsure
    assert said["escape-rate"].endswith(f"; {unsure} of them UNCERTAIN, above the warn threshold")
    for verdict in ("OK", "UNCERTAIN"):
        assert f"judged {verdict}<" in done.stdout
    assert said["rejects"] == f"{rejected} of {len(evaluation.good)} rejected falsely"
    bound = float(f"{100 * upper_bound(len(known.scores), over + 1, known.confidence):.3g}")
    assert said["bound"] == f"at most {bound:g} % false rejects"
    assert said["count"] == f"{len(evaluation.samples)} of {len(evaluation.samples)} pictures"
