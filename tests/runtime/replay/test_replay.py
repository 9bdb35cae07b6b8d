"""Parts judged again: by the same bundle to the last bit, by another one exactly the parts that changed."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.cli.main import main
from csflow.runtime.machine.names import shown
from csflow.runtime.replay.parts import parts_of
from csflow.runtime.schema import json_line


def command(*words: object) -> Any:
    return CliRunner().invoke(main, [str(word) for word in words])


CHECKS = ("--blur", "0", "--exposure", "0")


@pytest.fixture
def line(calibrated_bundle: Bundle, tmp_path: Path) -> tuple[Bundle, Path, Path]:
    """A bundle, 200 parts in two folders with the same names, and what a run said about them."""
    draw = np.random.default_rng(5)
    for kind, levels in (("a", (0.2, 0.58)), ("b", (0.4, 0.9))):
        folder = tmp_path / "parts" / kind
        folder.mkdir(parents=True)
        for number in range(100):
            level = 255 * draw.uniform(*levels)
            grey = np.clip(draw.normal(level, 20, (16, 16)), 0, 255).astype(np.uint8)
            Image.fromarray(grey).convert("RGB").save(folder / f"{number}.png")
    results = tmp_path / "results.jsonl"
    done = command("run", "--bundle", calibrated_bundle.path, "--backend", "fake", "--quiet", *CHECKS,
                   "--camera", tmp_path / "parts/*/*.png", "--results", results)  # fmt: skip
    assert done.exit_code == 0, done.output
    return calibrated_bundle, tmp_path / "parts", results


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def with_threshold(bundle: Bundle, path: Path, threshold: float) -> Path:
    copied = Path(shutil.copytree(bundle.path, path))
    settings = json.loads((copied / "calibration.json").read_text())
    (copied / "calibration.json").write_text(json.dumps({**settings, "reject_threshold": threshold}))
    return copied


def test_the_same_bundle_says_the_same_to_the_last_bit(line: tuple[Bundle, Path, Path]) -> None:
    bundle, _, results = line
    done = command("replay", results, "--bundle", bundle.path, "--backend", "fake", "--json")
    assert done.exit_code == 0, done.output
    counts = json.loads(done.stdout)
    judged = sum(r["verdict"] != "ERROR" for r in lines(results))
    assert judged >= 190
    assert (counts["parts"], counts["identical"], counts["other_model"], counts["other_engine"]) == (200, judged, 0, 0)


def test_another_bundle_names_exactly_the_parts_that_change(line: tuple[Bundle, Path, Path], tmp_path: Path) -> None:
    bundle, parts, results = line
    other = with_threshold(bundle, tmp_path / "new.csflow", 0.7)
    shutil.move(parts, tmp_path / "moved")
    page = tmp_path / "differences.html"
    done = command("replay", results, "--bundle", other, "--backend", "fake", "--pictures", tmp_path / "moved",
                   "--report", page)  # fmt: skip
    assert done.exit_code == 1, done.output
    changed = [r["source"] for r in lines(results) if r["verdict"] == "NOK" and r["score"] < 0.7]
    assert len(changed) > 5
    listed = [text.split(": was ")[0] for text in done.stdout.splitlines() if ": was " in text]
    assert listed == changed[:20]
    text = page.read_text()
    assert text.count("<figure>") == len(changed)
    assert f"<p>{len(changed)} parts differ.</p>" in text
    assert all(f"<figcaption>{source}: <b>was NOK" in text for source in changed)


def test_a_picture_that_was_changed_is_found(line: tuple[Bundle, Path, Path]) -> None:
    bundle, parts, results = line
    Image.new("RGB", (16, 16), (255, 255, 255)).save(parts / "a/7.png")
    (parts / "a/8.png").write_bytes(b"no picture")
    (parts / "a/9.png").unlink()
    done = command("replay", results, "--bundle", bundle.path, "--backend", "fake")
    assert done.exit_code == 1
    assert [text.rpartition("is ")[2] for text in done.stdout.splitlines()[:2]] == ["NOK", "ERROR"]
    assert "1 without a picture" in done.stdout


def test_names_that_fit_several_pictures_are_told(line: tuple[Bundle, Path, Path]) -> None:
    bundle, parts, results = line
    shutil.copytree(parts / "a", parts / "c/a")
    done = command("replay", results, "--bundle", bundle.path, "--backend", "fake", "--pictures", parts)
    assert done.exit_code == 1
    assert "several pictures are named" in done.stderr


def test_pictures_whose_names_are_no_unicode_are_found(tmp_path: Path) -> None:
    picture = Path(os.fsdecode(os.fsencode(tmp_path) + b"/te\xfcst.png"))
    Image.new("RGB", (8, 8)).save(picture)
    record = {"source": shown(str(picture)), "verdict": "OK", "score": 0.5}
    (tmp_path / "r.jsonl").write_text(json_line(record))
    for folder in (None, tmp_path):
        (part,) = parts_of(tmp_path / "r.jsonl", folder)
        assert part.picture == picture


@pytest.mark.parametrize("content", ["no json\n", '{"verdict": "OK"}\n', "[]\n"])
def test_what_is_no_record(calibrated_bundle: Bundle, tmp_path: Path, content: str) -> None:
    (tmp_path / "r.jsonl").write_text(content)
    done = command("replay", tmp_path / "r.jsonl", "--bundle", calibrated_bundle.path, "--backend", "fake")
    assert done.exit_code == 1
    assert "r.jsonl, line 1: " in done.stderr


def test_a_shadow_is_recorded_and_never_acted_on(line: tuple[Bundle, Path, Path], tmp_path: Path) -> None:
    bundle, parts, results = line
    other = with_threshold(bundle, tmp_path / "new.csflow", 0.7)
    again = tmp_path / "again.jsonl"
    done = command("run", "--bundle", bundle.path, "--backend", "fake", "--quiet", *CHECKS,
                   "--camera", parts / "*/*.png", "--results", again,
                   "--shadow", other, tmp_path / "shadow")  # fmt: skip
    assert done.exit_code == 0, done.output
    first, second = lines(results), lines(again)
    assert [(r["verdict"], r["score"]) for r in second] == [(r["verdict"], r["score"]) for r in first]
    seen = lines(tmp_path / "shadow/shadow.jsonl")
    assert [r["source"] for r in seen] == [r["source"] for r in second]
    assert [(r["line_verdict"], r["line_score"]) for r in seen] == [(r["verdict"], r["score"]) for r in second]
    assert {r["bundle"] for r in seen} == {"new.csflow"}
    differ = [r for r in seen if r["verdict"] != r["line_verdict"] and r["line_verdict"] != "ERROR"]
    assert {(r["line_verdict"], r["verdict"]) for r in differ} == {("NOK", "UNCERTAIN")}
    assert len(list((tmp_path / "shadow/pictures").glob("*.jpg"))) >= len(differ)


def test_a_shadow_that_cannot_be_opened_ends_the_run_before_it_begins(
    line: tuple[Bundle, Path, Path], tmp_path: Path
) -> None:
    bundle, parts, _ = line
    done = command("run", "--bundle", bundle.path, "--backend", "fake", "--camera", parts / "*/*.png",
                   "--shadow", tmp_path / "none", tmp_path / "shadow")  # fmt: skip
    assert done.exit_code == 3
    assert "no bundle at" in done.stderr
