"""The synthetic data set on disk is one that the loader takes, and the same each time."""

from __future__ import annotations

import errno
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from csflow.runtime.atomic import write_atomic
from csflow.runtime.errors import ConfigError, DataError
from csflow.runtime.picture.images import read_image
from csflow.runtime.synthetic.product import DEFECTS
from csflow.toolkit.data.dataset import load_dataset, load_mask
from csflow.toolkit.data.synthetic import write_dataset


def write(root: Path, train: int = 3, size: int = 64) -> None:
    write_dataset(root, train=train, calibration=2, test_good=2, test_defects_each=2, size=size, seed=5)


def test_the_loader_finds_what_was_written(tmp_path: Path) -> None:
    write(tmp_path / "images")
    dataset = load_dataset(tmp_path / "images", image_size=64)
    assert (dataset.layout, len(dataset.train), len(dataset.calibration)) == ("mvtec", 3, 2)
    assert Counter(s.label for s in dataset.test) == {"good": 2, **dict.fromkeys(DEFECTS, 2)}
    for sample in dataset.test:
        assert load_mask(sample, (64, 64)).any() == (sample.label != "good")


def test_no_part_appears_twice(tmp_path: Path) -> None:
    write(tmp_path)
    dataset = load_dataset(tmp_path)
    samples = [*dataset.train, *dataset.calibration, *dataset.test]
    assert len({read_image(s.path).tobytes() for s in samples}) == len(samples)


def test_the_same_arguments_write_the_same_bytes(tmp_path: Path) -> None:
    write(tmp_path / "a")
    write(tmp_path / "b")
    first = sorted(p for p in (tmp_path / "a").rglob("*") if p.is_file())
    assert len(first) == 3 + 2 + 2 + 4 * 2 * 2
    for path in first:
        assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes()


def test_masks_are_black_and_white(tmp_path: Path) -> None:
    write(tmp_path)
    for mask in (tmp_path / "ground_truth").rglob("*_mask.png"):
        assert set(np.unique(read_image(mask))) == {0, 255}


def test_a_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(DataError, match="not empty"):
        write(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("arguments", [{"train": 0}, {"size": 63}])
def test_counts_and_sizes_out_of_range(tmp_path: Path, arguments: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        write(tmp_path / "images", **arguments)
    assert not (tmp_path / "images").exists()


def test_a_full_disk_leaves_no_part_of_a_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = iter(range(3))

    def until_full(path: Path, data: bytes) -> None:
        if next(written, None) is None:
            raise OSError(errno.ENOSPC, "No space left on device")
        write_atomic(path, data)

    monkeypatch.setattr("csflow.toolkit.data.synthetic.write_atomic", until_full)
    with pytest.raises(OSError, match="No space"):
        write_dataset(tmp_path / "x", train=2, calibration=2, test_good=1, test_defects_each=1, size=64, seed=0)
    assert not list(tmp_path.iterdir())
