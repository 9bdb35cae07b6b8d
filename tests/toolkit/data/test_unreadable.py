"""Pictures that cannot be read are all named at once, before any work."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from csflow.calibration.pictures import each, pixels_sha256
from csflow.runtime.errors import DataError
from csflow.toolkit.data.dataset import check_test, load_dataset
from csflow.toolkit.data.provenance import listing

NOISE = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)


def put(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.fromarray(NOISE).save(folder / name)


def test_training_pictures_by_their_headers(tmp_path: Path) -> None:
    put(tmp_path, "1.png", "2.png", "3.png")
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("hello")
    with pytest.raises(DataError, match=r"empty\.jpg is empty: .*; .*text\.jpg is not a picture that can be read: "):
        load_dataset(tmp_path, image_size=64)


def test_what_is_damaged_inside(tmp_path: Path) -> None:
    put(tmp_path, *(f"{number:02d}.png" for number in range(13)))
    for number in range(1, 13):
        path = tmp_path / f"{number:02d}.png"
        path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(
        DataError, match=r"01\.png cannot be decoded .*; the same of .*10\.png.*; and 2 more$"
    ) as refused:
        each(sorted(tmp_path.iterdir()), pixels_sha256)
    assert str(refused.value).count("cannot be decoded") == 1
    assert len(each([tmp_path / "00.png"], pixels_sha256)) == 1


def test_pictures_that_do_not_fit_the_window(tmp_path: Path) -> None:
    put(tmp_path, "1.png", "2.png")
    for name in ("3.png", "4.png"):
        Image.fromarray(NOISE[..., 0].astype(np.uint16) * 256).save(tmp_path / name)
    hashes = dict.fromkeys(sorted(tmp_path.iterdir()), "x")
    with pytest.raises(DataError, match=r"3\.png: the picture has more than 8 bits .*; the same of .*4\.png$"):
        listing(tmp_path, hashes, None)
    with pytest.raises(DataError, match=r"1\.png: the picture has 8 bits, .*; the same of .*2\.png$"):
        listing(tmp_path, hashes, (0, 65535))


def test_test_pictures_before_the_first_is_scored(tmp_path: Path) -> None:
    put(tmp_path / "good", "1.png")
    put(tmp_path / "scratch", "1.png")
    dataset = load_dataset(tmp_path)
    with pytest.raises(DataError, match=r"no good test pictures in .*: evaluation compares .*, and the good ones in "):
        check_test(dataset)
    put(tmp_path / "train" / "good", "1.png")
    put(tmp_path / "test" / "good", "1.png", "2.png")
    put(tmp_path / "test" / "dent", "1.png")
    (tmp_path / "test" / "good" / "2.png").write_bytes(b"")
    (tmp_path / "test" / "dent" / "2.png").write_bytes(b"x")
    with pytest.raises(DataError, match=r"dent/2\.png is not a picture .*; .*good/2\.png is empty"):
        check_test(load_dataset(tmp_path))
