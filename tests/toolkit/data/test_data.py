"""Layouts are recognised, splits are fixed, and every kind of bad data is named."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from csflow.runtime.errors import DataError
from csflow.runtime.labels.folder import LabelFolder
from csflow.toolkit.data.dataset import load_dataset, load_mask
from csflow.toolkit.data.masks import check_masks

MTD = Path(__file__).parents[3].parent / "shared" / "data" / "mtd"


def picture(path: Path, size: tuple[int, int] = (64, 48), level: int = 90) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, level).save(path)
    return path


@pytest.fixture
def mvtec(tmp_path: Path) -> Path:
    root = tmp_path / "images"
    for name in ("train/good/0.png", "train/good/1.png", "calibration/good/2.png", "test/good/3.png"):
        picture(root / name)
    picture(root / "test/scratch/4.png")
    picture(root / "test/scratch/5.png")
    mask = np.zeros((48, 64), np.uint8)
    mask[10:20, 30:50] = 255
    (root / "ground_truth/scratch").mkdir(parents=True)
    Image.fromarray(mask).save(root / "ground_truth/scratch/4_mask.png")
    return root


def test_mvtec_layout(mvtec: Path) -> None:
    dataset = load_dataset(mvtec, image_size=32)
    assert dataset.layout == "mvtec"
    assert [s.path.name for s in dataset.train] == ["0.png", "1.png"]
    assert [s.path.name for s in dataset.calibration] == ["2.png"]
    assert [(s.path.name, s.label) for s in dataset.test] == [
        ("3.png", "good"),
        ("4.png", "scratch"),
        ("5.png", "scratch"),
    ]
    assert [s.mask is not None for s in dataset.test] == [False, True, False]


def test_a_folder_of_pictures_is_for_training(tmp_path: Path) -> None:
    for name in ("b.png", "a.png"):
        picture(tmp_path / name)
    dataset = load_dataset(tmp_path)
    assert dataset.layout == "folder"
    assert [s.path.name for s in dataset.train] == ["a.png", "b.png"]
    assert dataset.test == ()


def test_mtd_layout_takes_the_listed_good_pictures_for_training(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        picture(tmp_path / f"MT_Free/Imgs/{name}.jpg", size=(30, 20))
        picture(tmp_path / f"MT_Free/Imgs/{name}.png", size=(30, 20), level=0)
    picture(tmp_path / "MT_Crack/Imgs/d.jpg", size=(50, 70))
    picture(tmp_path / "MT_Crack/Imgs/d.png", size=(50, 70), level=255)
    (tmp_path / "train_good.txt").write_text("a.jpg\nc.jpg\n")
    dataset = load_dataset(tmp_path, image_size=384)
    assert dataset.layout == "mtd"
    assert [s.path.name for s in dataset.train] == ["a.jpg", "c.jpg"]
    assert [(s.path.name, s.label) for s in dataset.test] == [("b.jpg", "good"), ("d.jpg", "crack")]
    assert load_mask(dataset.test[1], (50, 70)).all()


@pytest.mark.mtd
@pytest.mark.skipif(not MTD.is_dir(), reason="../shared/data/mtd is absent")
def test_mtd_counts_are_those_of_the_protocol() -> None:
    dataset = load_dataset(MTD, image_size=384)
    assert len(dataset.train) == 761
    counts = Counter(s.label for s in dataset.test)
    assert counts == {"good": 191, "blowhole": 115, "break": 85, "crack": 57, "fray": 32, "uneven": 103}
    assert not {s.path for s in dataset.train} & {s.path for s in dataset.test}
    assert all(s.mask is not None for s in dataset.test if s.label != "good")


def test_mask_marks_the_defect_and_nothing_else(mvtec: Path) -> None:
    good, masked, unmasked = load_dataset(mvtec).test
    truth = load_mask(masked, (64, 48))
    assert truth.sum() == 200
    assert truth[10:20, 30:50].all()
    assert load_mask(masked, (32, 24)).sum() == 50
    assert not load_mask(good, (64, 48)).any()
    with pytest.raises(DataError, match=r"5\.png has no mask"):
        load_mask(unmasked, (64, 48))


@pytest.mark.parametrize(
    "values", [(0, 255), (0, 1), (0, 234), (0, 1, 2, 3), (10, 245), tuple(range(40)) + tuple(range(215, 256))]
)
def test_masks_of_any_numbers_mark_the_same(mvtec: Path, values: tuple[int, ...]) -> None:
    file = mvtec / "ground_truth/scratch/4_mask.png"
    drawn = np.asarray(Image.open(file)) > 0
    low, high = (values[:1], values[1:]) if len(values) < 9 else (values[:40], values[40:])
    draw = np.random.default_rng(3)
    numbers = np.where(drawn, draw.choice(high, drawn.shape), draw.choice(low, drawn.shape)).astype(np.uint8)
    Image.fromarray(numbers).save(file)
    _, masked, _ = load_dataset(mvtec).test
    np.testing.assert_array_equal(load_mask(masked, (64, 48)), drawn)


def test_a_mask_that_cannot_be_one_is_refused(mvtec: Path) -> None:
    file = mvtec / "ground_truth/scratch/4_mask.png"
    _, masked, _ = load_dataset(mvtec).test
    Image.new("L", (32, 24)).save(file)
    assert load_mask(masked, (64, 48)).shape == (48, 64)
    Image.new("L", (48, 64)).save(file)
    with pytest.raises(DataError, match=r"4_mask\.png has 48x64 pixels, its picture .*4\.png 64x48"):
        load_mask(masked, (64, 48))
    photograph = np.random.default_rng(0).integers(60, 200, (48, 64), dtype=np.uint8)
    Image.fromarray(photograph).save(file)
    with pytest.raises(DataError, match=r"4_mask\.png is no mask: \d+% of its pixels are neither dark nor bright"):
        check_masks([masked])


def test_masks_that_fit_no_picture_are_told(mvtec: Path) -> None:
    (mvtec / "ground_truth/scratch/4_mask.png").rename(mvtec / "ground_truth/scratch/40_mask.png")
    told = load_dataset(mvtec).left_out
    assert told == (
        "1 mask under ground_truth/ fits no picture, for example scratch/40_mask.png",
        "2 defective pictures have no mask",
    )


def test_defects_inside_train_are_refused(mvtec: Path) -> None:
    picture(mvtec / "train/scratch/9.png")
    with pytest.raises(DataError, match=r"train holds scratch.*move defective parts to test"):
        load_dataset(mvtec)


@pytest.mark.parametrize("folder", ["train", "calibration"])
def test_no_good_pictures(mvtec: Path, folder: str) -> None:
    for path in (mvtec / folder / "good").iterdir():
        path.unlink()
    with pytest.raises(DataError, match=f"{folder}/good"):
        load_dataset(mvtec)


@pytest.mark.parametrize("inside", ["nothing", "cats"])
def test_a_root_without_pictures_says_what_it_holds(tmp_path: Path, inside: str) -> None:
    if inside != "nothing":
        (tmp_path / inside).mkdir()
    with pytest.raises(DataError, match=f"no good pictures.*{inside}"):
        load_dataset(tmp_path)


def test_a_root_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is no folder"):
        load_dataset(tmp_path / "images")


def test_one_picture_of_another_size(mvtec: Path) -> None:
    picture(mvtec / "train/good/odd.png", size=(70, 48))
    with pytest.raises(DataError, match=r"1 picture of 3 .* 64x48 pixels.*odd\.png \(70x48\); .*--any-size"):
        load_dataset(mvtec, image_size=32)
    assert len(load_dataset(mvtec, image_size=32, any_size=True).train) == 3


def test_pictures_smaller_than_the_model_input(mvtec: Path) -> None:
    with pytest.raises(DataError, match=r"64x48.*smaller than the model input of 64.*--image-size.*--any-size"):
        load_dataset(mvtec, image_size=64)
    assert load_dataset(mvtec, image_size=64, any_size=True).train


def test_a_file_that_is_no_picture(mvtec: Path) -> None:
    (mvtec / "train/good/2.png").write_bytes(b"not a picture")
    with pytest.raises(DataError, match=r"good/2\.png is not a picture"):
        load_dataset(mvtec, image_size=32)


def test_mtd_without_its_list_is_refused(tmp_path: Path) -> None:
    picture(tmp_path / "MT_Free/Imgs/a.jpg")
    with pytest.raises(DataError, match=r"train_good\.txt is missing"):
        load_dataset(tmp_path)


def test_pictures_that_are_too_small_and_far_from_square_are_told_to_be_both(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", size=(500, 200))
    with pytest.raises(DataError, match="far from square: see --roi"):
        load_dataset(tmp_path, image_size=256)


def test_pictures_of_formats_that_csflow_does_not_read_are_told(tmp_path: Path) -> None:
    picture(tmp_path / "train/good/a.png")
    (tmp_path / "train/good/b.heic").touch()
    (line,) = load_dataset(tmp_path).left_out
    assert "train/good/b.heic: save it as PNG or JPEG" in line


def test_a_folder_of_labelled_pictures_is_a_data_set(tmp_path: Path) -> None:
    folder = LabelFolder(tmp_path / "labelled")
    for i, (truth, place) in enumerate(
        [("good", "train"), ("good", "calibration"), ("good", "test"), ("dent", "test")]
    ):
        picture(tmp_path / f"{i}.png", level=40 * i)
        folder.add((tmp_path / f"{i}.png").read_bytes(), f"{i}.png", "UNCERTAIN", truth, "seen", "anna", place)
    found = load_dataset(folder.root)
    assert (len(found.train), len(found.calibration)) == (1, 1)
    assert sorted(sample.label for sample in found.test) == ["dent", "good"]
