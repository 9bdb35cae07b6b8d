"""The report is complete, self-contained, safe against odd names, and whole or absent."""

from __future__ import annotations

import csv
import dataclasses
import errno
import json
import os
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from csflow.runtime.atomic import write_atomic
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.engines.fake import FakeEngine
from csflow.runtime.errors import DataError, SinkError
from csflow.toolkit.data.dataset import load_dataset
from csflow.toolkit.data.synthetic import write_dataset
from csflow.toolkit.evaluation import sheet
from csflow.toolkit.evaluation.evaluation import Evaluation, LostPart, evaluate
from csflow.toolkit.evaluation.report import report_folder, write_report
from csflow.toolkit.evaluation.sheet import panels, sheet_samples

FILES = {"evaluation.json", "histogram.png", "report.html", "roc.png", "scores.csv", "sheet.png", "viewer.html"}


class Page(HTMLParser):
    """Collects what a page shows and where its pictures come from."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.sources += [value or "" for key, value in attrs if key in ("src", "href")]
        if tag not in ("img", "meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def images(tmp_path: Path) -> Path:
    root = tmp_path / "images"
    write_dataset(root, train=1, calibration=1, test_good=3, test_defects_each=2, size=64, seed=1)
    return root


def evaluated(bundle: Bundle, images: Path) -> Evaluation:
    return evaluate(bundle, load_dataset(images), FakeEngine(bundle))


@pytest.fixture
def evaluation(calibrated_bundle: Bundle, images: Path) -> Evaluation:
    return evaluated(calibrated_bundle, images)


def test_all_files_are_there_and_readable(evaluation: Evaluation, tmp_path: Path) -> None:
    page = write_report(evaluation, tmp_path / "out")
    assert page == tmp_path / "out" / "report.html"
    assert {p.name for p in page.parent.iterdir()} == FILES
    for name in ("roc", "histogram", "sheet"):
        with Image.open(page.parent / f"{name}.png") as picture:
            assert np.asarray(picture.convert("L")).std() > 1
    numbers = json.loads((page.parent / "evaluation.json").read_text())
    rows = list(csv.DictReader((page.parent / "scores.csv").read_text().splitlines()))
    assert [(r["file"], float(r["score"])) for r in rows] == [(s["file"], s["score"]) for s in numbers["scores"]]


def test_the_page_needs_no_other_file(evaluation: Evaluation, tmp_path: Path) -> None:
    text = write_report(evaluation, tmp_path).read_text()
    page = Page(text)
    assert page.open == []
    assert len(page.sources) >= 3
    assert all(source.startswith("data:image/") for source in page.sources)
    assert not re.search(r"https?://|@import|<script", text)


def test_the_page_says_what_was_found(evaluation: Evaluation, tmp_path: Path) -> None:
    text = Page(write_report(evaluation, tmp_path).read_text()).text
    assert f"{evaluation.image_auroc:.4f}" in text
    assert evaluation.weights_sha256 in text
    for row in evaluation.defects:
        assert row.defect_type in text
    assert evaluation.rates is not None
    assert f"Escapes: {evaluation.rates.escapes}" in text
    assert f"False rejects: {evaluation.rates.false_rejects}" in text


def test_the_worst_escapes_are_shown(evaluation: Evaluation, tmp_path: Path) -> None:
    text = Page(write_report(evaluation, tmp_path).read_text()).text
    escaped = [s for s in evaluation.defective if s.verdict == "OK"]
    assert escaped
    for scored in escaped:
        assert scored.name in text


def test_a_bundle_without_thresholds_shows_the_hardest_instead(
    make_bundle: Callable[..., Bundle], images: Path, tmp_path: Path
) -> None:
    text = Page(write_report(evaluated(make_bundle(), images), tmp_path / "out").read_text()).text
    assert "csflow calibrate" in text
    assert "Hardest defects" in text
    assert "Escapes" not in text


def test_names_cannot_inject_markup(calibrated_bundle: Bundle, images: Path, tmp_path: Path) -> None:
    (images / "test/dent").rename(images / "test/<img src=x onerror=1>")
    text = write_report(evaluated(calibrated_bundle, images), tmp_path / "out").read_text()
    assert "<img src=x" not in text
    assert "&lt;img src=x" in text


def test_names_that_are_not_utf8_are_written_out(calibrated_bundle: Bundle, images: Path, tmp_path: Path) -> None:
    for folder, name in (("test/dent", b"Pr\xfcfteil.png"), ("test/good", b"Gut\xe4.png")):
        first = sorted((images / folder).iterdir())[0]
        os.rename(first, os.fsencode(images / folder) + b"/" + name)
    os.rename(images / "test/stain", os.fsencode(images / "test") + b"/Fl\xfcck")
    out = tmp_path / "out"
    text = write_report(evaluated(calibrated_bundle, images), out).read_text("utf-8")
    numbers = json.loads((out / "evaluation.json").read_text("utf-8"))
    assert "test/dent/Pr\\xfcfteil.png" in {score["file"] for score in numbers["scores"]}
    assert "Fl\\xfcck" in {row["defect_type"] for row in numbers["defects"]}
    assert "test/good/Gut\\xe4.png" in (out / "scores.csv").read_text("utf-8")
    assert "Fl\\xfcck" in text


def test_the_sheet_shows_the_extremes_of_each_type(evaluation: Evaluation) -> None:
    shown = sheet_samples(evaluation)
    assert len(shown) == 2 * 5
    good = [s.score for s in shown if s.good]
    assert good == [max(evaluation.scores("good")), min(evaluation.scores("good"))]


def test_panels_outline_the_defect_outside_of_its_mask(evaluation: Evaluation) -> None:
    scored = next(s for s in evaluation.samples if s.sample.label == "stain")
    outlined, hot, covered = panels(scored, evaluation)
    assert outlined.shape == hot.shape == covered.shape == (64, 64, 3)
    original = np.asarray(Image.open(scored.sample.path).convert("RGB"))
    mask = np.asarray(Image.open(scored.sample.mask)) > 0 if scored.sample.mask else None
    changed = (outlined != original).any(axis=2)
    assert changed.any()
    assert not (changed & mask).any()


def test_large_pictures_are_drawn_smaller_than_they_are(
    make_bundle: Callable[..., Bundle], images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = evaluated(make_bundle(roi=(0, 0, 32, 64)), images)
    monkeypatch.setattr(sheet, "DRAWN_PX", 32)
    outlined, hot, covered = panels(next(s for s in found.samples if s.sample.label == "stain"), found)
    assert outlined.shape == hot.shape == covered.shape == (32, 32, 3)
    assert (outlined == sheet.OUTLINE).all(axis=2).any()
    assert hot[:, :16].any()
    assert not hot[:, 16:].any()


def test_a_region_of_interest_limits_the_heat_map(
    make_bundle: Callable[..., Bundle], images: Path, tmp_path: Path
) -> None:
    found = evaluated(make_bundle(roi=(0, 0, 32, 64)), images)
    _, hot, _ = panels(found.samples[0], found)
    assert hot[:, :32].any()
    assert not hot[:, 32:].any()
    assert write_report(found, tmp_path / "out").is_file()


def test_a_picture_that_vanished_is_named_and_nothing_is_written(evaluation: Evaluation, tmp_path: Path) -> None:
    sheet_samples(evaluation)[0].sample.path.unlink()
    with pytest.raises(DataError, match="does not exist"):
        write_report(evaluation, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_pictures_without_the_part_are_counted_on_the_page_and_rows_without_a_score(
    evaluation: Evaluation, tmp_path: Path
) -> None:
    found = dataclasses.replace(evaluation, not_found=(LostPart("test/good/empty.png", "good"),))
    page = write_report(found, tmp_path)
    assert "1pictures without the part: ERROR, no score" in Page(page.read_text()).text
    assert (tmp_path / "scores.csv").read_text().splitlines()[-1] == "test/good/empty.png,good,,ERROR"


def test_a_disk_that_becomes_full_leaves_no_half_report(
    evaluation: Evaluation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = iter(range(3))

    def until_full(path: Path, data: bytes) -> None:
        if next(written, None) is None:
            raise OSError(errno.ENOSPC, "No space left on device")
        write_atomic(path, data)

    monkeypatch.setattr("csflow.toolkit.evaluation.report.write_atomic", until_full)
    with pytest.raises(OSError, match="No space"), report_folder(tmp_path / "out/report") as folder:
        write_report(evaluation, folder)
    assert not (tmp_path / "out").exists()


def test_a_report_takes_the_place_of_another(evaluation: Evaluation, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/report.html").write_text("old")
    (tmp_path / "out/notes.txt").write_text("mine")
    with report_folder(tmp_path / "out") as folder:
        write_report(evaluation, folder)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {*FILES, "notes.txt"}
    assert (tmp_path / "out/report.html").read_text() != "old"


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_where_no_report_can_be_is_told_before_the_scoring(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SinkError, match="name another with --report"), report_folder(tmp_path / name):
        pytest.fail("the scoring has begun")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_two_evaluations_do_not_share_a_report(tmp_path: Path) -> None:
    with (
        report_folder(tmp_path / "out"),
        pytest.raises(SinkError, match="another process writes it"),
        report_folder(tmp_path / "out"),
    ):
        pytest.fail("the scoring has begun")
