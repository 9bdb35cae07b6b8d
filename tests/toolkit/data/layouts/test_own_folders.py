"""Folders as people make them: what they call good and bad, in which language, with what else lies there."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from csflow.runtime.errors import DataError
from csflow.toolkit.data.dataset import load_dataset


def put(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (64, 64), (90, 100, 110)).save(path)


NAMES = [("OK", "NOK"), ("OK", "NG"), ("gut", "schlecht"), ("iO", "niO"), ("i.O.", "Riss")]


@pytest.mark.parametrize(("good", "bad"), NAMES)
def test_good_and_bad_are_known_by_what_people_call_them(tmp_path: Path, good: str, bad: str) -> None:
    put(tmp_path, f"{good}/Prüfteil 1.jpg", f"{good}/Prüfteil 2.jpg", f"{bad}/Kratzer ä.png")
    for folder in (tmp_path, tmp_path / good):
        for name in ("Thumbs.db", ".DS_Store", "._Prüfteil 1.jpg", "desktop.ini"):
            (folder / name).write_bytes(b"\0")
    dataset = load_dataset(tmp_path)
    assert (dataset.layout, len(dataset.train)) == ("folder", 2)
    assert [sample.label for sample in dataset.test] == [bad]


@pytest.mark.parametrize("bad", ["NOK", "Schlecht", "ng"])
def test_folders_in_one_that_says_only_bad_are_the_types(tmp_path: Path, bad: str) -> None:
    put(tmp_path, "ok/1.png", f"{bad}/Kratzer/1.png", f"{bad}/Kratzer/lot 2/2.png", f"{bad}/Delle/1.png")
    assert Counter(s.label for s in load_dataset(tmp_path).test) == {"Kratzer": 2, "Delle": 1}


def test_a_folder_that_names_a_defect_is_its_type_whatever_folders_it_has(tmp_path: Path) -> None:
    put(tmp_path, "ok/1.png", "Kratzer/lot 1/1.png", "Kratzer/lot 2/1.png", "NOK/1.png", "NOK/lot 2/2.png")
    assert Counter(s.label for s in load_dataset(tmp_path).test) == {"Kratzer": 2, "NOK": 2}


def test_two_folders_of_good_parts_are_asked_about(tmp_path: Path) -> None:
    put(tmp_path, "good/1.png", "ok/1.png", "scratch/1.png")
    with pytest.raises(DataError, match="holds good and ok: put all good parts into one of these folders"):
        load_dataset(tmp_path)


def test_names_that_say_nothing_are_answered_with_those_that_do(tmp_path: Path) -> None:
    put(tmp_path, "Serie A/1.png", "Serie B/1.png")
    with pytest.raises(DataError, match=r"it holds Serie A, Serie B\): call the folder of good parts good, ok, "):
        load_dataset(tmp_path)
