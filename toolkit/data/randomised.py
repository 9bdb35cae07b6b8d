"""Every picture turned and cropped at random: how much a detector leans on parts lying always the same.

The protocol of PaDiM's Rd-MVTec (Defard et al. 2021), which GLAD repeats with 5 seeds: training and test pictures are
rotated by an angle in ±10° and cropped to 224 of 256 pixels a side. What the papers leave open is csflow's: bicubic
rotation, with the picture mirrored at its edges; the crop is as likely at every place; pictures for thresholds are
changed like the others. A picture is changed by its name and the seed, whatever other pictures there are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from csflow.runtime.picture.images import read_picture
from csflow.toolkit.data.masks import load_mask
from csflow.toolkit.data.sample import Dataset, Sample

__all__ = ["randomised", "turned_and_cropped"]

MOST_DEGREES = 10.0
KEPT = 224 / 256
"""Of each side."""


@contextmanager
def randomised(dataset: Dataset, seed: int | None, *splits: str) -> Iterator[Dataset]:
    """The data set with the pictures of these splits ('train', 'calibration', 'test') changed, masks alike.

    The changed pictures lie in a temporary folder as long as the context lasts; splits that are not named are empty.
    With the seed None it is the data set itself.

    Raises DataError for a picture or mask that cannot be read, OSError where the folder cannot be written.
    """
    if seed is None:
        yield dataset
        return
    with TemporaryDirectory(prefix="csflow-randomised-") as name:
        root = Path(name)
        train, calibration, test = (
            tuple(_written(sample, dataset.root, root, seed) for sample in samples if split in splits)
            for split, samples in (
                ("train", dataset.train),
                ("calibration", dataset.calibration),
                ("test", dataset.test),
            )
        )
        told = f"every picture is turned by up to {MOST_DEGREES:g} degrees and cropped, seed {seed}"
        left_out = (*dataset.left_out, told)
        made = replace(dataset, root=root, train=train, calibration=calibration, test=test)
        yield replace(made, left_out=left_out, made_from=dataset.place)


def turned_and_cropped(picture: NDArray[np.uint8], seed: int, name: str) -> NDArray[np.uint8]:
    """(H, W, 3) or (H, W) uint8 turned about its middle and cropped, by nearest neighbour where it has no colours."""
    draw = np.random.default_rng([seed, int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")])
    angle, left, top = draw.uniform(-MOST_DEGREES, MOST_DEGREES), draw.random(), draw.random()
    height, width = picture.shape[:2]
    # Mirrored so far that no corner of the turned picture is empty.
    edge = (max(height, width) + 3) // 4
    pads = ((edge, edge), (edge, edge), (0, 0))[: picture.ndim]
    wide = Image.fromarray(np.pad(picture, pads, mode="symmetric"))
    method = Image.Resampling.BICUBIC if picture.ndim == 3 else Image.Resampling.NEAREST
    turned = np.asarray(wide.rotate(angle, method))[edge : edge + height, edge : edge + width]
    rows, columns = round(KEPT * height), round(KEPT * width)
    y, x = round(top * (height - rows)), round(left * (width - columns))
    return np.ascontiguousarray(turned[y : y + rows, x : x + columns])


def _written(sample: Sample, before: Path, root: Path, seed: int) -> Sample:
    name = sample.path.relative_to(before).as_posix()
    image = read_picture(sample.path)
    path = root / (name if name.endswith(".png") else f"{name}.png")
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(turned_and_cropped(image, seed, name)).save(path, compress_level=1)
    mask = None
    if sample.mask is not None:
        marked = load_mask(sample, (image.shape[1], image.shape[0])).astype(np.uint8) * 255
        mask = path.with_name(f"{path.stem}_mask.png")
        Image.fromarray(turned_and_cropped(marked, seed, name)).save(mask)
    return Sample(path, sample.label, mask)
