"""The operator's word: what it makes of a verdict, where the picture goes, and what is counted."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from csflow.calibration.calibrate import calibrate
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.cli.label import label as command
from csflow.runtime.engines.fake import FakeEngine
from csflow.runtime.errors import ConfigError, DataError, SinkError
from csflow.runtime.labels.folder import LABELS, LabelFolder
from csflow.runtime.labels.label import LabelCounts, truth_of
from csflow.runtime.labels.results import results_of
from csflow.runtime.picture.images import list_images
from csflow.runtime.picture.origin import RESULT, raw_png


@pytest.mark.parametrize(
    ("verdict", "right", "defect", "good", "truth"),
    [
        ("OK", True, None, False, "good"),
        ("OK", False, None, False, "defect"),
        ("OK", False, "scratch", False, "scratch"),
        ("NOK", False, None, False, "good"),
        ("NOK", True, "dent", False, "dent"),
        ("NOK", None, None, True, "good"),
        ("UNCERTAIN", None, "dent", False, "dent"),
        ("UNCERTAIN", None, None, True, "good"),
    ],
)
def test_a_word_on_a_verdict_tells_what_the_part_is(
    verdict: str, right: bool | None, defect: str | None, good: bool, truth: str
) -> None:
    assert truth_of(verdict, right, defect, good) == truth


@pytest.mark.parametrize(
    ("verdict", "right", "defect", "good", "word"),
    [
        ("UNCERTAIN", True, None, False, "neither right nor wrong"),
        ("UNCERTAIN", None, None, False, "neither right nor wrong"),
        ("OK", None, None, False, "say --right, --wrong"),
        ("OK", True, "dent", False, "contradicts --defect"),
        ("NOK", True, None, True, "contradicts --good"),
        ("OK", None, "dent", True, "cannot be good and have a defect"),
        ("OK", False, "../up", False, "no name for a type of defect"),
        ("OK", False, ".hidden", False, "no name for a type of defect"),
        ("OK", False, "Good", False, "no name for a type of defect"),
    ],
)
def test_a_word_that_contradicts_itself_is_refused(
    verdict: str, right: bool | None, defect: str | None, good: bool, word: str
) -> None:
    with pytest.raises(ConfigError, match=word):
        truth_of(verdict, right, defect, good)


def test_the_last_word_on_a_picture_counts_and_says_where_it_lies(tmp_path: Path) -> None:
    folder = LabelFolder(tmp_path / "labelled")
    assert (folder.read(), folder.counts()) == ([], LabelCounts(0, 0, 0, 0))
    first = folder.add(b"one", "cam 1/part 7.PNG", "OK", "scratch", "a scratch at the edge", "anna")
    digest = hashlib.sha256(b"one").hexdigest()
    assert first.picture == f"test/scratch/part-7-{digest[:12]}.png"
    assert (folder.root / first.picture).read_bytes() == b"one"
    assert first.overruled
    folder.add(b"two", "8.png", "NOK", "good", "only dust", "anna", "train", {"score": 1.5})
    folder.add(b"three", "9.png", "UNCERTAIN", "good", "fine", "anna")
    assert folder.counts() == LabelCounts(3, 1, 1, 1)
    second = folder.add(b"one", "part 7.PNG", "OK", "good", "it was a hair", "boris", "calibration")
    assert not (folder.root / first.picture).exists()
    assert second.picture.startswith("calibration/good/")
    assert folder.counts() == LabelCounts(3, 1, 0, 1)
    assert [one.by for one in folder.read()] == ["anna", "anna", "anna", "boris"]
    assert folder.read()[1].result == {"score": 1.5}
    assert sorted(p.parent.relative_to(folder.root).as_posix() for p in folder.root.rglob("*.png")) == [
        "calibration/good",
        "test/good",
        "train/good",
    ]


def test_a_disk_that_fails_leaves_whole_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = LabelFolder(tmp_path)
    folder.add(b"one", "1.png", "OK", "dent", "dented", "anna")
    before = (tmp_path / LABELS).read_bytes()
    real = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: real(handle, data[:10]))
    with pytest.raises(SinkError, match="No space left on device"):
        folder.add(b"two", "2.png", "OK", "dent", "dented", "anna")
    assert (tmp_path / LABELS).read_bytes() == before


@pytest.mark.parametrize(
    "line", ["x", "{}", "[]", json.dumps({"picture": "../x", "sha256": "0" * 64, "verdict": "OK", "truth": "good",
                                          "reason": "r", "by": "b", "time_utc": "t", "result": {}})]
)  # fmt: skip
def test_lines_that_are_not_csflow_s_are_named(tmp_path: Path, line: str) -> None:
    (tmp_path / LABELS).write_text(f"\n{line}\n")
    with pytest.raises(DataError, match=r"labels\.jsonl, line 2: "):
        LabelFolder(tmp_path).read()


# The command


def run(*arguments: object) -> Result:
    return CliRunner().invoke(command, [str(a) for a in arguments])


@pytest.fixture
def line(tmp_path: Path) -> Path:
    """A folder of pictures with the results of a run on them."""
    verdicts = ["OK", "NOK", "UNCERTAIN", "ERROR"]
    records = []
    for i, verdict in enumerate(verdicts):
        path = tmp_path / "line" / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((64, 64, 3), 50 + i, np.uint8)).save(path)
        records.append({"source": str(path), "verdict": verdict, "score": 0.5, "reason": "why"})
    (tmp_path / "results.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    return tmp_path / "line"


def test_verdicts_come_from_the_results_of_the_run(line: Path, tmp_path: Path) -> None:
    options = ("--results", tmp_path / "results.jsonl", "--to", tmp_path / "l", "--by", "anna")
    done = run(line / "0.png", *options, "--wrong", "--defect", "crack", "--reason", "cracked")
    assert done.exit_code == 0, done.output
    assert "OK, overruled: crack: test/crack/0-" in done.stdout
    done = run(line / "1.png", *options, "--wrong", "--reason", "dust", "--use", "train")
    assert "NOK, overruled: good: train/good/1-" in done.stdout
    told = json.loads(run(line / "2.png", *options, "--good", "--reason", "fine", "--json").stdout)
    assert told["counts"] == {"labels": 3, "false_rejects": 1, "escapes": 1, "decided": 1, "overruled": 2}
    assert told["labels"][0]["result"]["score"] == 0.5
    assert "labelled pictures: 3, verdicts overruled: 2" in run("--to", tmp_path / "l").stdout
    assert run(line / "3.png", *options, "--good", "--reason", "x").exit_code == 1


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (["--verdict", "OK", "--right"], 2, "say why"),
        (["--right", "--reason", "x"], 2, "what did csflow say"),
        (["--verdict", "UNCERTAIN", "--right", "--reason", "x"], 1, "neither right nor wrong"),
        (["--verdict", "OK", "--wrong", "--defect", "a/b", "--reason", "x"], 1, "no name for a type"),
        (["--verdict", "OK", "--right", "--reason", "x" * 2000], 1, "at most 1000"),
    ],
)
def test_what_cannot_be_said_is_one_line_and_writes_nothing(
    line: Path, tmp_path: Path, arguments: list[str], code: int, word: str
) -> None:
    done = run(line / "0.png", "--to", tmp_path / "l", *arguments)
    assert done.exit_code == code
    assert word in done.output
    assert not (tmp_path / "l").exists()


def test_a_file_that_is_no_picture_or_unknown_to_the_run_is_refused(line: Path, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no picture")
    options = ("--to", tmp_path / "l", "--reason", "x", "--right")
    assert "not a picture" in run(tmp_path / "a.png", *options, "--verdict", "OK").output
    assert "says nothing about" in run(tmp_path / "a.png", *options, "--results", tmp_path / "results.jsonl").output
    other = tmp_path / "other" / "0.png"
    other.parent.mkdir()
    other.write_bytes((line / "0.png").read_bytes())
    assert results_of(tmp_path / "results.jsonl", [other])[other]["verdict"] == "OK"
    with (tmp_path / "results.jsonl").open("a") as file:
        file.write(json.dumps({"source": "elsewhere/0.png", "verdict": "NOK"}) + "\n")
    with pytest.raises(DataError, match=r"several pictures named 0\.png"):
        results_of(tmp_path / "results.jsonl", [other])


def test_calibrate_takes_what_was_labelled(make_bundle: Callable[..., Bundle], tmp_path: Path) -> None:
    folder = LabelFolder(tmp_path / "labelled")
    for i in range(12):
        picture = tmp_path / f"{i}.png"
        Image.fromarray(np.full((64, 64, 3), 50 + i, np.uint8)).save(picture)
        folder.add(picture.read_bytes(), picture.name, "NOK", "good", "fine", "anna", "calibration")
    good = folder.root / "calibration/good"
    assert len(list_images(good)) == 12
    bundle = make_bundle()
    made = calibrate(bundle, [good], FakeEngine(bundle), 0.35, 0.9).calibration
    assert len(made.scores) == 12


def test_a_raw_picture_of_the_line_tells_its_own_verdict(tmp_path: Path) -> None:
    image = np.full((8, 8, 3), 90, np.uint8)
    told, silent = tmp_path / "told.png", tmp_path / "silent.png"
    told.write_bytes(raw_png(image, "Pillow", RESULT, {"verdict": "NOK", "score": 0.9, "source": "camera"}))
    silent.write_bytes(raw_png(image, "Pillow", RESULT, {"verdict": "ERROR"}))
    done = run(told, "--wrong", "--reason", "dust", "--to", tmp_path / "labelled")
    assert done.exit_code == 0, done.output
    (label,) = LabelFolder(tmp_path / "labelled").read()
    assert (label.verdict, label.truth, label.result["score"]) == ("NOK", "good", 0.9)
    refused = run(silent, "--wrong", "--reason", "dust", "--to", tmp_path / "labelled")
    assert (refused.exit_code, "--results FILE" in refused.output) == (2, True)


def test_where_one_picture_is_not_there_none_is_labelled(tmp_path: Path) -> None:
    told = tmp_path / "told.png"
    told.write_bytes(raw_png(np.full((8, 8, 3), 90, np.uint8), "Pillow", RESULT, {"verdict": "NOK", "score": 0.9}))
    done = run(told, tmp_path / "gone.png", "--wrong", "--reason", "dust", "--to", tmp_path / "labelled")
    assert (done.exit_code, "there is no picture" in done.output, "gone.png" in done.output) == (1, True, True)
    assert not (tmp_path / "labelled").exists()
