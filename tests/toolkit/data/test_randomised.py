"""Pictures turned and cropped at random: the same for the same seed and name, masks alike, no empty corners."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from csflow.runtime.picture.images import read_image
from csflow.toolkit.data.masks import load_mask
from csflow.toolkit.data.randomised import randomised, turned_and_cropped
from csflow.toolkit.data.sample import Dataset, Sample


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """A bright disc on grey, and its mask."""
    y, x = np.mgrid[:64, :96]
    disc = (y - 30) ** 2 + (x - 50) ** 2 < 81
    picture = np.full((64, 96, 3), 90, np.uint8)
    for folder in ("train", "test"):
        (tmp_path / folder).mkdir()
        Image.fromarray(picture).save(tmp_path / folder / "plain.png")
    picture[disc] = 250
    Image.fromarray(picture).save(tmp_path / "test" / "disc.png")
    Image.fromarray(disc.astype(np.uint8) * 255).save(tmp_path / "mask.png")
    test = (Sample(tmp_path / "test/plain.png"), Sample(tmp_path / "test/disc.png", "disc", tmp_path / "mask.png"))
    return Dataset(tmp_path, "mvtec", (Sample(tmp_path / "train/plain.png"),), (), test)


def test_pictures_keep_their_folders_and_masks_follow_what_they_mark(dataset: Dataset) -> None:
    with randomised(dataset, 3, "train", "test") as changed:
        plain, disc = changed.test
        assert disc.path.relative_to(changed.root).as_posix() == "test/disc.png"
        assert len(changed.train) == 1
        image = read_image(disc.path)
        assert image.shape == (56, 84, 3)
        mask = load_mask(disc, (84, 56))
        assert (mask ^ (image[..., 0] > 170)).mean() < 0.01
        assert (read_image(plain.path) == 90).all(), "the edges are mirrored, no corner is empty"
        assert "seed 3" in changed.lines()[-1]
        assert changed.lines()[0].startswith(f"{dataset.root}: layout"), "the user's folder, not the temporary one"
    assert not changed.root.exists()


def test_a_picture_depends_on_its_name_and_the_seed_alone() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    one = turned_and_cropped(picture, 1, "a.png")
    assert np.array_equal(one, turned_and_cropped(picture, 1, "a.png"))
    assert not np.array_equal(one, turned_and_cropped(picture, 2, "a.png"))
    assert not np.array_equal(one, turned_and_cropped(picture, 1, "b.png"))


def test_without_a_seed_nothing_is_changed_and_other_splits_are_left_out(dataset: Dataset) -> None:
    with randomised(dataset, None, "test") as same:
        assert same is dataset
    with randomised(dataset, 0, "test") as changed:
        assert changed.train == ()
