"""The reference of an alignment: made of parts that lie anyhow, in their middle, or refused."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageDraw

from csflow.runtime.bundle.alignment import Alignment
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.manifest import Preprocessing
from csflow.runtime.errors import ConfigError, DataError
from csflow.runtime.picture.align import grey_levels, registered
from csflow.runtime.picture.preprocess import prepare_file, preprocess_placed
from csflow.toolkit.data.alignment import with_alignment, without_part
from csflow.toolkit.data.sample import Sample
from csflow.toolkit.plan import BackboneChoice, TrainPlan, model_plan

SIDE = 96
HOW = Preprocessing(SIDE)


def parts(folder: Path, places: list[tuple[float, float, float]]) -> list[Path]:
    """Pictures of a part, each turned by degrees and shifted by pixels."""
    paths = []
    for i, (angle, x, y) in enumerate(places):
        big = Image.new("RGB", (2 * SIDE, 2 * SIDE), (60, 70, 60))
        pen = ImageDraw.Draw(big)
        pen.rectangle((50, 60, 140, 130), fill=(180, 170, 150))
        pen.ellipse((100, 70, 130, 100), fill=(30, 40, 90))
        turned = big.rotate(-angle, Image.Resampling.BICUBIC, fillcolor=(60, 70, 60))
        place = (1, 0, -2 * x, 0, 1, -2 * y)
        turned = turned.transform(turned.size, Image.Transform.AFFINE, place, fillcolor=(60, 70, 60))
        paths.append(folder / f"{i}.png")
        turned.resize((SIDE, SIDE), Image.Resampling.BOX).save(paths[-1])
    return paths


def test_parts_that_lie_anyhow_give_a_sharp_reference_in_their_middle(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    # The first lies far out: it must not become the middle.
    places = [
        (8.0, 11.0, -11.0),
        *((float(draw.uniform(-6, 6)), *map(float, draw.uniform(-7, 7, 2))) for _ in range(8)),
    ]
    paths = parts(tmp_path, places)
    how, odd = with_alignment(HOW, "euclidean", paths)
    assert how.align is not None
    assert not odd
    assert 540 < how.align.floor < 600, "parts register well on one another"
    (straight,) = parts(tmp_path, [(0.0, 0.0, 0.0)])
    reference = np.frombuffer(bytes.fromhex(how.align.reference), np.uint8).reshape(64, 64)
    pose = registered(grey_levels(prepare_file(straight, HOW)), reference, "euclidean")
    assert abs(pose.turn / 64) < 4.0
    assert max(abs(pose.x), abs(pose.y)) * SIDE / 2048 < 5.0
    poses = [preprocess_placed(Image.open(path), how)[1] for path in paths[1:]]
    assert all(p is not None and p.correlation > 0.95 for p in poses)


def test_nothing_is_aligned_unless_asked() -> None:
    how, odd = with_alignment(HOW, None, [])
    assert how is HOW
    assert not odd
    assert not without_part(HOW, [Path("never/read.png")])


def noise(folder: Path, count: int) -> list[Path]:
    draw, paths = np.random.default_rng(0), [folder / f"odd_{i}.png" for i in range(count)]
    for path in paths:
        Image.fromarray(draw.integers(0, 256, (SIDE, SIDE, 3), np.uint8)).save(path)
    return paths


def test_pictures_without_anything_in_common_are_refused_by_name(tmp_path: Path) -> None:
    odd = noise(tmp_path, 2)
    with pytest.raises(DataError, match=r"2 of 4 good pictures do not register on the others, .*odd_\d\.png"):
        with_alignment(HOW, "translation", [*parts(tmp_path, [(0.0, 0.0, 0.0)] * 2), *odd])


def test_a_picture_of_something_else_is_left_out_of_the_reference(tmp_path: Path) -> None:
    paths, (odd,) = parts(tmp_path, [(0.0, 2.0 * i, 0.0) for i in range(3)]), noise(tmp_path, 1)
    alone, _ = with_alignment(HOW, "translation", paths)
    assert with_alignment(HOW, "translation", [*paths, odd]) == (alone, {odd})


def test_good_pictures_without_the_part_are_named_and_at_most_a_tenth(
    tmp_path: Path, moving_part: Callable[..., Image.Image], aligned_bundle: Bundle
) -> None:
    good = [tmp_path / f"{i:02d}.png" for i in range(11)]
    for i, path in enumerate(good):
        moving_part(None if i == 5 else i - 5).save(path)
    model, training = model_plan("padim", BackboneChoice("tf_efficientnet_lite0", SIDE))
    plan = TrainPlan(model, training, start=SimpleNamespace(bundle=aligned_bundle))  # type: ignore[arg-type]
    found = plan.prepared([Sample(path) for path in good])
    assert found.how == aligned_bundle.manifest.preprocessing
    assert [sample.path for sample in found.kept] == [path for path in good if path != good[5]]
    assert found.told.startswith("WARNING: the part was not found in 1 of 11 good pictures (05.png): they are left out")
    with pytest.raises(DataError, match=r"not found in 1 of 9 good pictures \(05\.png\), more than 10%: look whether"):
        plan.prepared([Sample(path) for path in good[:9]])
    # Held out are the third and the ninth.
    with pytest.raises(DataError, match="of 2 good pictures that are held out, 1 show the part: bring more"):
        plan.prepared([Sample(path) for path in (*good[:2], good[5], *good[2:5], *good[6:])], 0.1)


@pytest.mark.parametrize(
    ("how", "model", "problem"),
    [
        (HOW, "affine", "model must be one of"),
        (Preprocessing(32), "euclidean", "image_size of at least 64"),
        (Preprocessing(SIDE, ignore=((0, 0, 9, 9),)), "euclidean", "no ignored areas"),
    ],
)
def test_what_cannot_be_aligned_is_refused_before_any_picture_is_read(
    how: Preprocessing, model: str, problem: str
) -> None:
    with pytest.raises(ConfigError, match=problem):
        with_alignment(how, model, [Path("never/read.png")])


def test_what_is_adapted_keeps_the_alignment_that_it_has() -> None:
    how = Preprocessing(SIDE, align=Alignment("euclidean", "00" * 64 * 64, 500))
    bundle = SimpleNamespace(manifest=SimpleNamespace(preprocessing=how))
    model, training = model_plan("padim", BackboneChoice("tf_efficientnet_lite0", SIDE))
    plan = TrainPlan(model, training, start=SimpleNamespace(bundle=bundle))  # type: ignore[arg-type]
    assert plan.prepared([]).how == how
