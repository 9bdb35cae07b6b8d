"""Good pictures that nobody parted: how many go where, and that nothing is used for two ends."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from csflow.calibration.thresholds import required_parts, upper_bound
from csflow.runtime.errors import DataError
from csflow.runtime.labels.folder import LabelFolder
from csflow.toolkit.cli.split import split as command
from csflow.toolkit.data.dataset import Dataset, Sample, load_dataset
from csflow.toolkit.data.split import Promise, calibrate_words, set_aside_words, with_set_aside, write_split


def numbered(root: Path, count: int, first: int = 0) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    for number in range(first, first + count):
        Image.fromarray(np.full((4, 4, 3), number, np.uint8)).save(root / f"{number:03d}.png")
    return root


def good(count: int) -> Dataset:
    """A data set of so many good pictures, which nobody opens."""
    return Dataset(Path("parts"), "folder", tuple(Sample(Path(f"parts/{i:04d}.png")) for i in range(count)))


@pytest.mark.parametrize(("count", "aside"), [(10, 0), (20, 6), (300, 100), (897, 299), (2000, 299)])
def test_as_many_as_the_promise_needs_but_at_most_a_third(count: int, aside: int) -> None:
    made = with_set_aside(good(count))
    assert (len(made.train), len(made.calibration), made.set_aside) == (count - aside, aside, aside)
    assert not {s.path for s in made.train} & {s.path for s in made.calibration}
    assert required_parts(0.01, 0.95) == 299


@pytest.mark.parametrize(("parts", "rate"), [(299, ""), (100, "3%"), (59, "5%"), (20, "14%")])
def test_the_next_command_promises_what_the_pictures_can(parts: int, rate: str) -> None:
    assert Promise().option(parts) == (f" --false-reject-rate {rate}" if rate else "")
    assert upper_bound(parts, 1, 0.95) <= float(rate.rstrip("%") or 1) / 100


def test_what_the_operator_said_to_train_with_is_not_set_aside(tmp_path: Path) -> None:
    numbered(tmp_path / "train" / "good", 30)
    before = with_set_aside(load_dataset(tmp_path)).calibration[0].path
    heard = [
        LabelFolder(tmp_path).add(before.read_bytes(), name, "NOK", "good", "only dust", "anna", "train").picture
        for name in ("a.png", "m.png", "z.png")
    ]
    made = with_set_aside(load_dataset(tmp_path))
    assert made.set_aside == len(made.calibration) == 10
    assert {tmp_path / picture for picture in heard[-1:]} <= {sample.path for sample in made.train}


def test_it_is_said_aloud() -> None:
    made = with_set_aside(good(300))
    (line,) = set_aside_words(made)
    assert "100 of 300 good pictures are set aside for csflow calibrate: they can promise at most 3 % false rej" in line
    assert calibrate_words(made) == "parts --false-reject-rate 3%"
    assert "--set-aside N" in set_aside_words(with_set_aside(good(300), 0))[0]


def test_what_is_parted_already_stays_as_it_is(tmp_path: Path) -> None:
    numbered(tmp_path / "train" / "good", 30)
    numbered(tmp_path / "test" / "good", 2, 40)
    tested = load_dataset(tmp_path)
    assert with_set_aside(tested) == tested
    assert with_set_aside(tested, 5).set_aside == 5
    numbered(tmp_path / "calibration" / "good", 2, 50)
    calibrated = load_dataset(tmp_path)
    assert with_set_aside(calibrated) == with_set_aside(calibrated, 0) == calibrated
    with pytest.raises(DataError, match="holds 2 pictures for thresholds already: leave --set-aside out"):
        with_set_aside(calibrated, 5)
    assert set_aside_words(calibrated) == []
    with pytest.raises(DataError, match="cannot be set aside and 2 be trained with"):
        with_set_aside(tested, 29)


@pytest.mark.parametrize("name", ["good", "Good", "ok", "NORMAL"])
def test_good_parts_beside_folders_of_defects(tmp_path: Path, name: str) -> None:
    numbered(tmp_path / name, 24)
    numbered(tmp_path / "dent", 3, 100)
    dataset = load_dataset(tmp_path)
    assert (dataset.layout, len(dataset.train)) == ("folder", 24)
    assert {sample.label for sample in dataset.test} == {"dent"}
    assert with_set_aside(dataset).set_aside == 8


def contents(folder: Path) -> set[str]:
    return {hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir()}


def test_a_split_is_a_data_set_whose_parts_share_nothing(tmp_path: Path) -> None:
    numbered(tmp_path / "parts" / "ok", 30)
    (tmp_path / "parts" / "ok" / "copy.png").write_bytes((tmp_path / "parts" / "ok" / "003.png").read_bytes())
    numbered(tmp_path / "parts" / "dent", 4, 100)
    done = CliRunner().invoke(command, [str(tmp_path / "parts"), str(tmp_path / "images")])
    assert done.exit_code == 0, done.output
    assert "1 copies of other pictures left out" in done.output
    made = load_dataset(tmp_path / "images")
    assert (made.layout, len(made.train), len(made.calibration), len(made.test)) == ("mvtec", 15, 10, 9)
    parts = [contents(tmp_path / "images" / place) for place in ("train/good", "calibration/good", "test/good")]
    assert len(set.union(*parts)) == sum(map(len, parts)) == 30
    assert with_set_aside(made) == made


def test_masks_go_with_their_pictures(tmp_path: Path) -> None:
    good_parts = numbered(tmp_path / "parts" / "train" / "good", 24)
    numbered(tmp_path / "parts" / "test" / "dent", 1, 100)
    Image.fromarray(np.eye(4, dtype=np.uint8) * 255).save(tmp_path / "mask.png")
    (tmp_path / "parts" / "ground_truth" / "dent").mkdir(parents=True)
    os.link(tmp_path / "mask.png", tmp_path / "parts" / "ground_truth" / "dent" / "100_mask.png")
    write_split(load_dataset(tmp_path / "parts"), tmp_path / "images", Promise(), test_share=0.25)
    (defect,) = [s for s in load_dataset(tmp_path / "images").test if s.label == "dent"]
    assert defect.mask is not None
    assert len(load_dataset(tmp_path / "images").test) == 7
    assert len(list(good_parts.iterdir())) == 24


def test_a_split_leaves_nothing_behind_and_writes_over_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = load_dataset(numbered(tmp_path / "parts", 30))
    with pytest.raises(DataError, match="not empty"):
        write_split(dataset, tmp_path, Promise())

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("csflow.toolkit.data.split.os.link", full)
    monkeypatch.setattr("csflow.toolkit.data.split.shutil.copyfile", full)
    with pytest.raises(OSError, match="No space"):
        write_split(dataset, tmp_path / "images", Promise())
    assert [path.name for path in tmp_path.iterdir()] == ["parts"]
