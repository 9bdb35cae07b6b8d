"""Layouts of public data sets, each a small tree as its authors distribute it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from csflow.runtime.errors import DataError
from csflow.runtime.picture.images import image_size
from csflow.toolkit.data.dataset import Dataset, check_test, load_dataset, load_mask

SPOT = np.zeros((40, 60), dtype=bool)
SPOT[10:20, 30:50] = True


def photograph(path: Path, size: tuple[int, int] = (60, 40)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (90, 100, 110)).save(path)
    return path


def mask(path: Path, high: int = 255, empty: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.where(SPOT & (not empty), high, 0).astype(np.uint8)).save(path)


def photographs(paths: Iterable[Path]) -> None:
    for path in paths:
        photograph(path)


def mvtec(root: Path, good: str = "good", defect: str = "scratch", test: str = "test", suffix: str = ".png") -> Path:
    photographs(root / f"train/{good}/{i:03d}{suffix}" for i in range(3))
    photographs(root / f"{test}/{good}/{i:03d}{suffix}" for i in range(2))
    photographs(root / f"{test}/{defect}/{i:03d}{suffix}" for i in range(2))
    return root


def mvtec_ad(root: Path) -> Path:
    for i in range(2):
        mask(mvtec(root) / f"ground_truth/scratch/{i:03d}_mask.png")
    return root


def mvtec_ad_2(root: Path) -> Path:
    mvtec(root, defect="bad", test="test_public")
    photographs(root / f"validation/good/{i:03d}_regular.png" for i in range(2))
    photographs([root / "test_private/000_regular.png"])
    for i in range(2):
        mask(root / f"test_public/ground_truth/bad/{i:03d}_mask.png")
    return root


def loco(root: Path) -> Path:
    mvtec(root, defect="logical_anomalies")
    photographs(root / f"validation/good/{i:03d}.png" for i in range(2))
    for i in range(2):
        mask(root / f"ground_truth/logical_anomalies/{i:03d}/000.png", high=234)
    return root


def autovi(root: Path) -> Path:
    for i in range(2):
        mask(mvtec(root, defect="unclipped") / f"ground_truth/unclipped/{i:03d}/0000.png")
    return root


def btad(root: Path) -> Path:
    for i in range(2):
        mask(mvtec(root, "ok", "ko", suffix=".bmp") / f"ground_truth/ko/{i:03d}.png")
    return root


def visa_prepared(root: Path) -> Path:
    for i in range(2):
        mask(mvtec(root, defect="bad", suffix=".JPG") / f"ground_truth/bad/{i:03d}.png")
    return root


def visa(root: Path) -> Path:
    photographs(root / f"Data/Images/Normal/{i:04d}.JPG" for i in range(5))
    photographs(root / f"Data/Images/Anomaly/{i:03d}.JPG" for i in range(2))
    rows = [
        f"{root.name},{'train' if i < 3 else 'test'},normal,{root.name}/Data/Images/Normal/{i:04d}.JPG,"
        for i in range(5)
    ]
    for i in range(2):
        mask(root / f"Data/Masks/Anomaly/{i:03d}.png", high=1)
    (root.parent / "split_csv").mkdir()
    (root.parent / "split_csv/1cls.csv").write_text("\n".join(["object,split,label,image,mask", *rows]) + "\n")
    return root


def kolektor(root: Path) -> Path:
    for item in range(1, 4):
        for part in range(3):
            photograph(root / f"kos{item:02d}/Part{part}.jpg", (60, 40 + item))
            path = root / f"kos{item:02d}/Part{part}_label.bmp"
            Image.fromarray(np.pad(np.where(SPOT & (part == 0), 255, 0).astype(np.uint8), ((0, item), (0, 0)))).save(
                path
            )
    return root


def kolektor_2(root: Path) -> Path:
    for folder, first in (("train", 10000), ("test", 20000)):
        for i in range(4):
            photograph(root / f"{folder}/{first + i}.png")
            mask(root / f"{folder}/{first + i}_GT.png", empty=i != 0)
    return root


def dagm(root: Path) -> Path:
    for folder in ("Train", "Test"):
        photographs(root / f"{folder}/{i:04d}.PNG" for i in range(1, 5))
        mask(root / f"{folder}/Label/0002_label.PNG")
        (root / f"{folder}/Label/Labels.txt").write_text("1\n")
    return root


def real_iad(root: Path) -> Path:
    for specimen in range(1, 4):
        photographs(root / f"OK/S{specimen:04d}/x_{specimen:04d}_OK_C{c}.jpg" for c in range(1, 3))
    for c in range(1, 3):
        photograph(root / f"NG/BX/S0010/x_0010_NG_BX_C{c}.jpg")
        mask(root / f"NG/BX/S0010/x_0010_NG_BX_C{c}.png")
    return root


LAYOUTS: dict[str, tuple[Callable[[Path], Path], str, tuple[int, int, int, int]]] = {
    "MVTec AD, MPDD": (mvtec_ad, "mvtec", (3, 0, 2, 2)),
    "MVTec AD 2": (mvtec_ad_2, "mvtec-ad-2", (3, 2, 2, 2)),
    "MVTec LOCO": (loco, "mvtec-loco", (3, 2, 2, 2)),
    "AutoVI": (autovi, "autovi", (3, 0, 2, 2)),
    "BTAD": (btad, "btad", (3, 0, 2, 2)),
    "VisA prepared": (visa_prepared, "visa", (3, 0, 2, 2)),
    "VisA": (visa, "visa", (3, 0, 2, 2)),
    "KolektorSDD": (kolektor, "kolektorsdd", (4, 0, 2, 3)),
    "KolektorSDD2": (kolektor_2, "kolektorsdd2", (3, 0, 3, 1)),
    "DAGM": (dagm, "dagm", (3, 0, 3, 1)),
    "Real-IAD": (real_iad, "real-iad", (4, 0, 2, 2)),
}


def counts(dataset: Dataset) -> tuple[int, int, int, int]:
    tested = Counter(sample.label == "good" for sample in dataset.test)
    return len(dataset.train), len(dataset.calibration), tested[True], tested[False]


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_public_layout_is_recognised_with_every_mask(tmp_path: Path, name: str) -> None:
    make, layout, expected = LAYOUTS[name]
    dataset = load_dataset(make(tmp_path / "sets" / "part"), image_size=32)
    assert (dataset.layout, counts(dataset)) == (layout, expected)
    assert dataset.layout in dataset.lines()[0]
    assert not any("mask" in line for line in dataset.left_out)
    trained = {s.path for s in dataset.train}
    assert not trained & {s.path for s in (*dataset.test, *dataset.calibration)}
    for sample in dataset.test:
        if sample.label != "good":
            np.testing.assert_array_equal(load_mask(sample, image_size(sample.path))[:40], SPOT)


def test_each_layout_has_its_row_in_the_table_of_the_guide() -> None:
    guide = (Path(__file__).parents[4] / "docs" / "data.md").read_text()
    for layout in {layout for _, layout, _ in LAYOUTS.values()} | {"mtd", "folder"}:
        assert f"| `{layout}` |" in guide


def test_what_a_layout_leaves_out_is_told(tmp_path: Path) -> None:
    told = {name: load_dataset(make(tmp_path / name / "x")).left_out for name, (make, *_) in LAYOUTS.items()}
    assert told["MVTec AD, MPDD"] == told["AutoVI"] == told["BTAD"] == ()
    assert told["MVTec AD 2"][0] == "left out: 1 picture in test_private/"
    assert told["KolektorSDD2"] == ("left out: 1 defective picture in train/",)
    assert told["DAGM"] == ("left out: 1 defective picture in Train/",)
    assert "every third item" in told["KolektorSDD"][0]
    assert "every third specimen" in told["Real-IAD"][0]
    (tmp_path / "VisA" / "split_csv" / "1cls.csv").unlink()
    visa_alone = load_dataset(tmp_path / "VisA" / "x")
    assert "1cls.csv is missing" in visa_alone.left_out[0]
    assert counts(visa_alone) == (5, 0, 0, 2)
    with pytest.raises(DataError, match=r"no good test pictures .*; as a data set of layout visa it is not whole"):
        check_test(visa_alone)


def test_a_list_that_an_editor_saved_with_a_byte_order_mark(tmp_path: Path) -> None:
    table = visa(tmp_path / "x").parent / "split_csv" / "1cls.csv"
    table.write_bytes(b"\xef\xbb\xbf" + table.read_bytes().replace(b"\n", b"\r\n"))
    assert counts(load_dataset(tmp_path / "x")) == (3, 0, 2, 2)


def test_a_list_that_names_a_picture_which_is_not_there(tmp_path: Path) -> None:
    (visa(tmp_path / "x") / "Data/Images/Normal/0001.JPG").unlink()
    with pytest.raises(DataError, match=r"names 1 training picture of x that .* lacks, for example .*/0001\.JPG: copy"):
        load_dataset(tmp_path / "x")


def test_a_folder_that_links_lead_to_twice_counts_once(tmp_path: Path) -> None:
    photographs(mvtec(tmp_path) / f"train/good/lot7/{i}.png" for i in range(4))
    (tmp_path / "train/good/again").symlink_to(tmp_path / "train/good")
    (tmp_path / "train/good/newest").symlink_to(tmp_path / "train/good/lot7")
    assert len(load_dataset(tmp_path).train) == 7


def test_a_folder_of_data_sets_names_them(tmp_path: Path) -> None:
    for name in ("cable", "bottle"):
        mvtec_ad(tmp_path / name)
    with pytest.raises(DataError, match=r"several products \(bottle, cable\): name one"):
        load_dataset(tmp_path)


@pytest.mark.parametrize("good", ["good", "Good", "OK", "normal"])
def test_folders_below_good_are_taken_whatever_good_is_called(tmp_path: Path, good: str) -> None:
    mvtec(tmp_path, good)
    photographs(tmp_path / f"train/{good}/lot7/{i}.png" for i in range(4))
    dataset = load_dataset(tmp_path)
    assert len(dataset.train) == 7
    assert f"train/{good}: 4 of 7 pictures lie in its folders, and are taken too" in dataset.left_out
    assert {s.label for s in dataset.test} == {"good", "scratch"}


def test_masks_beside_the_pictures_are_no_pictures(tmp_path: Path) -> None:
    mvtec(tmp_path)
    for i in range(2):
        mask(tmp_path / f"test/scratch/{i:03d}_mask.png")
        mask(tmp_path / f"train/good/{i:03d}_mask.png")
    dataset = load_dataset(tmp_path)
    assert counts(dataset) == (3, 0, 2, 2)
    assert all(sample.mask for sample in dataset.test if sample.label == "scratch")
    assert "left out: 2 masks beside the good pictures of train/good" in dataset.left_out
    folder = load_dataset(kolektor(tmp_path / "sets") / "kos01")
    assert (folder.layout, counts(folder)) == ("folder", (2, 0, 0, 0))
    assert folder.left_out == ("left out: 1 picture whose mask marks a defect",)


def test_pictures_elsewhere_are_told(tmp_path: Path) -> None:
    mvtec_ad(tmp_path)
    photographs([tmp_path / "extra/a/1.png", tmp_path / "train/loose.png"])
    assert load_dataset(tmp_path).left_out == (
        "left out: 1 picture in train/ itself",
        "left out: 1 picture in extra/",
    )
