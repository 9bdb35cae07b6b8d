"""The lists that docs/mtd.md and docs/benchmarks.md rest on: they are what the seed draws, and lay a folder out."""

from __future__ import annotations

from pathlib import Path

import pytest

from .mtd_lists import CALIBRATION, TRAIN, drawn, lay_out, names

MTD = Path(__file__).resolve().parents[3] / "shared" / "data" / "mtd"


def test_no_tile_trains_and_calibrates() -> None:
    assert (len(set(names(TRAIN))), len(set(names(CALIBRATION)))) == (761, 96)
    assert not set(names(TRAIN)) & set(names(CALIBRATION))
    assert names(CALIBRATION) == sorted(names(CALIBRATION))


@pytest.mark.mtd
@pytest.mark.skipif(not MTD.is_dir(), reason="../shared/data/mtd is absent")
def test_the_seed_draws_the_list_again() -> None:
    assert drawn(MTD) == names(CALIBRATION)
    assert {tile.name for tile in MTD.glob("MT_Free/Imgs/*.jpg")} >= set(names(TRAIN))


def test_folders_hold_what_the_lists_say(tmp_path: Path) -> None:
    mtd = tmp_path / "mtd"
    train, calibrate, other = names(TRAIN)[0], names(CALIBRATION)[0], "exp9_num_1.jpg"
    for kind, tiles in (("Free", (train, calibrate, other)), ("Crack", (other,))):
        folder = mtd / f"MT_{kind}" / "Imgs"
        folder.mkdir(parents=True)
        for tile in tiles:
            (folder / tile).write_bytes(b"")
    assert lay_out(mtd, tmp_path / "calibration", tmp_path / "line") == (1, 2)
    assert sorted(path.name for path in (tmp_path / "line").iterdir()) == [f"crack_{other}", f"good_{other}"]
    assert (tmp_path / "line" / f"crack_{other}").resolve().parent.parent.name == "MT_Crack"
    assert (mtd / "train_good.txt").read_text().split() == names(TRAIN)
