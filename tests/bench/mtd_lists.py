"""The lists of docs/mtd.md laid over Magnetic Tile Defects: which tiles train, calibrate and come down the line.

    python tests/bench/mtd_lists.py mtd/ --calibration calibration/ --line line/

writes train_good.txt into `mtd/`, and folders of links: the 96 good test tiles that calibrate, and all other test
tiles, named after what they are. `--draw` prints the 96 anew: the same ones, as their names and a seed decide.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
from pathlib import Path

LISTS = Path(__file__).resolve().parents[2] / "docs" / "lists"
TRAIN, CALIBRATION = (LISTS / f"mtd_{name}.txt" for name in ("train_good", "calibration"))
PARTS, SEED = 96, 0


def names(path: Path) -> list[str]:
    """One a line."""
    return path.read_text().split()


def drawn(mtd: Path) -> list[str]:
    """The good test tiles that calibrate, in order."""
    tests = {tile.name for tile in (mtd / "MT_Free" / "Imgs").glob("*.jpg")}.difference(names(TRAIN))
    return sorted(random.Random(SEED).sample(sorted(tests), PARTS))


def lay_out(mtd: Path, calibration: Path, line: Path) -> tuple[int, int]:
    """Make the folders, which must not be there; how many tiles are in each."""
    shutil.copyfile(TRAIN, mtd / "train_good.txt")
    training, thresholds = set(names(TRAIN)), set(names(CALIBRATION))
    for folder in (calibration, line):
        folder.mkdir(parents=True)
    for tile in sorted(mtd.glob("MT_*/Imgs/*.jpg")):
        kind = tile.parents[1].name.removeprefix("MT_").lower()
        if kind == "free" and tile.name in thresholds:
            (calibration / tile.name).symlink_to(tile.resolve())
        elif kind != "free" or tile.name not in training:
            (line / f"{'good' if kind == 'free' else kind}_{tile.name}").symlink_to(tile.resolve())
    return len(list(calibration.iterdir())), len(list(line.iterdir()))


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mtd", type=Path)
    parser.add_argument("--calibration", type=Path, default=Path("calibration"))
    parser.add_argument("--line", type=Path, default=Path("line"))
    parser.add_argument("--draw", action="store_true")
    said = parser.parse_args()
    if said.draw:
        sys.stdout.write("".join(f"{name}\n" for name in drawn(said.mtd)))
        return
    for_thresholds, for_line = lay_out(said.mtd, said.calibration, said.line)
    print(f"{len(names(TRAIN))} train, {for_thresholds} calibrate, {for_line} come down the line")


if __name__ == "__main__":
    main()
