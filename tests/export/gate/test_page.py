"""The page about a run of the gate: pictures, axes, and widths that fit a desk and a phone."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

pytest.importorskip("openvino", reason="the extra openvino is not installed")

from csflow.export.gate.report import page
from csflow.export.gate.verify import GateReport, verify
from csflow.runtime.bundle.calibration import load_calibration
from csflow.runtime.bundle.directory import Bundle
from csflow.toolkit.data.dataset import Sample, load_dataset

from ...runtime.page.conftest import browser, chromium  # noqa: F401, TID252 - fixtures

MISSING = "/nowhere/a-name-that-is-as-long-as-names-of-cameras-and-their-shifts-can-be.png"


@pytest.fixture
def report(calibrated: Bundle, product_line: Path) -> GateReport:
    samples = [next(s for s in load_dataset(product_line).test if s.label != "good")]
    return verify(calibrated, load_calibration(calibrated), ["openvino-fp32"], samples)


def test_the_nearest_pictures_are_shown_and_the_axes_are_labelled(report: GateReport) -> None:
    html = page(report)
    assert report.calibration is not None
    assert f"{report.calibration.reject_threshold:.4g}</text>" in html
    assert "score of the trained model</text>" in html
    pictures = re.findall('src="data:image/jpeg;base64,([^"]+)"', html)
    assert len(pictures) == len(report.names)
    for picture in pictures:
        assert Image.open(io.BytesIO(base64.b64decode(picture))).size == (128, 128)
    gone = GateReport(**{**vars(report), "samples": (Sample(Path(MISSING)),)})
    assert page(gone).count("data:image/jpeg") == len(report.names) - 1, "its row has no picture"


def test_it_fits_a_desk_and_a_phone(report: GateReport, browser: Any, tmp_path: Path) -> None:  # noqa: F811
    names = (*report.names[:-1], MISSING)
    (tmp_path / "page.html").write_text(page(GateReport(**{**vars(report), "names": names})))
    browser.open((tmp_path / "page.html").as_uri())
    browser.wait("document.querySelector('svg text') !== null")
    overflowing = "[...document.querySelectorAll('.scroll')].filter((e) => e.scrollWidth > e.clientWidth).length"
    for width in (1280, 390):
        browser.view(width, 844)
        browser.screenshot(tmp_path / f"page-{width}.png")
        assert browser.value("document.documentElement.scrollWidth") <= width
        assert browser.value(overflowing) == 0
