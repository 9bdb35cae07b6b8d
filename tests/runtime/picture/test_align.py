"""Registration: the pose of a part is found, the picture moved, the map moved back, and what shows no part refused."""

import dataclasses

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from csflow.runtime.bundle.alignment import Alignment
from csflow.runtime.bundle.manifest import Preprocessing
from csflow.runtime.errors import InferenceError, SourceError
from csflow.runtime.picture.align import aligned, grey_levels, moved, moved_back, registered
from csflow.runtime.picture.preprocess import place, preprocess, preprocess_placed
from csflow.runtime.types import Pose, Prediction

SIDE = 160


def part(angle: float = 0.0, x: float = 0.0, y: float = 0.0, size: tuple[int, int] = (SIDE, SIDE)) -> Image.Image:
    """A part with a notch, turned clockwise by `angle` degrees about the middle, then shifted by (x, y) pixels."""
    width, height = size
    big = Image.new("RGB", (4 * width, 4 * height), (60, 70, 60))
    draw = ImageDraw.Draw(big)
    cx, cy = 2 * width, 2 * height
    draw.rectangle((cx - 160, cy - 110, cx + 160, cy + 110), fill=(180, 170, 150))
    draw.ellipse((cx + 40, cy - 80, cx + 120, cy), fill=(30, 40, 90))
    draw.rectangle((cx - 160, cy + 40, cx - 90, cy + 110), fill=(60, 70, 60))
    turned = big.rotate(-angle, Image.Resampling.BICUBIC, fillcolor=(60, 70, 60))
    shifted = turned.transform(
        turned.size, Image.Transform.AFFINE, (1, 0, -4 * x, 0, 1, -4 * y), fillcolor=(60, 70, 60)
    )
    return shifted.resize(size, Image.Resampling.BOX)


def pixels(picture: Image.Image) -> NDArray[np.uint8]:
    return np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def alignment(model: str = "euclidean", size: tuple[int, int] = (SIDE, SIDE)) -> Alignment:
    return Alignment(model, grey_levels(pixels(part(size=size))).tobytes().hex(), 700)


@pytest.mark.parametrize(
    ("angle", "x", "y"), [(0.0, 0.0, 0.0), (8.0, -9.0, 12.0), (-6.5, 14.0, 3.5), (2.0, 0.5, -17.0), (13.0, 4.0, -4.0)]
)
def test_place_and_turn_are_found(angle: float, x: float, y: float) -> None:
    picture = pixels(part(angle, x, y))
    made, pose = aligned(picture, alignment(), (SIDE, SIDE))
    found = pose.turn / 64, pose.x * SIDE / 2048, pose.y * SIDE / 2048
    assert found == pytest.approx((angle, x, y), abs=0.4)
    inside = slice(40, -40)
    errors = [np.abs(p[inside, inside].astype(float) - pixels(part())[inside, inside]).mean() for p in (picture, made)]
    assert errors[1] < 2.5
    assert errors[1] <= errors[0]


def test_translation_turns_nothing() -> None:
    pose = registered(grey_levels(pixels(part(0.0, 8.0, -5.0))), grey_levels(pixels(part())), "translation")
    assert pose.turn == 0
    assert (pose.x * SIDE / 2048, pose.y * SIDE / 2048) == pytest.approx((8.0, -5.0), abs=0.4)
    turned = registered(grey_levels(pixels(part(7.0))), grey_levels(pixels(part())), "translation")
    assert turned.turn == 0


def test_what_is_squeezed_turns_as_it_was() -> None:
    size = (2 * SIDE, SIDE)
    _, pose = aligned(pixels(part(8.0, size=size)), alignment(size=size), size)
    assert pose.turn / 64 == pytest.approx(8.0, abs=0.4)
    assert pose.correlation > 0.97


def test_where_no_part_lies_nothing_is_judged() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    for picture in (noise, np.full((SIDE, SIDE, 3), 128, np.uint8)):
        with pytest.raises(SourceError, match=r"the part was not found .* at least 0\.700 was expected"):
            aligned(picture, alignment(), (SIDE, SIDE))


def test_a_map_is_moved_back_to_where_the_defect_lies() -> None:
    _, pose = aligned(pixels(part(7.0, 10.0, -8.0)), alignment(), (SIDE, SIDE))
    values = np.zeros((20, 20), np.float32)
    values[5, 13] = 1.0
    back = moved_back(Prediction(1.5, values), pose)
    assert back.score == 1.5
    row, column = divmod(int(back.anomaly_map.argmax()), 20)
    # A spot there, seen by the model, lies in the cell that the map marked.
    spot = np.zeros((SIDE, SIDE), np.uint8)
    spot[row * 8 : row * 8 + 8, column * 8 : column * 8 + 8] = 255
    seen = moved(spot, pose).astype(float)
    rows, columns = np.indices(seen.shape)
    centre = (seen * rows).sum() / seen.sum(), (seen * columns).sum() / seen.sum()
    assert centre == pytest.approx((5.5 * 8, 13.5 * 8), abs=6.0)


def test_what_lies_as_the_reference_does_keeps_its_bytes() -> None:
    picture = pixels(part())
    made, pose = aligned(picture, alignment(), (SIDE, SIDE))
    assert pose == dataclasses.replace(Pose(aspect=(SIDE, SIDE)), correlation=pose.correlation)
    assert np.array_equal(made, picture)
    values = np.random.default_rng(0).random((20, 20), np.float32)
    assert np.array_equal(moved_back(Prediction(1.0, values), pose).anomaly_map, values)


def test_without_a_pose_a_prediction_stays_itself_and_a_map_must_be_square() -> None:
    prediction = Prediction(1.0, np.zeros((3, 4), np.float32))
    assert moved_back(prediction, None) is prediction
    with pytest.raises(InferenceError, match="square"):
        moved_back(prediction, Pose())


def test_preprocessing_aligns_last() -> None:
    how = Preprocessing(SIDE, align=alignment())
    made, pose = preprocess_placed(part(5.0, 6.0, 6.0), how)
    assert pose is not None
    assert np.array_equal(made, preprocess(part(5.0, 6.0, 6.0), how))
    assert np.array_equal(place(pixels(part(5.0, 6.0, 6.0)), how, (SIDE, SIDE))[0], made)
    assert preprocess_placed(part(), Preprocessing(SIDE))[1] is None


@pytest.mark.parametrize(
    ("change", "problem"),
    [({"model": "affine"}, "model must"), ({"reference": "0g" * 4096}, "reference must"), ({"floor": 0}, "floor must")],
)
def test_what_cannot_be_aligned_on_is_refused(change: dict[str, object], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        dataclasses.replace(alignment(), **change)
    with pytest.raises(ValueError, match="align needs"):
        Preprocessing(32, align=alignment())
    with pytest.raises(ValueError, match="no ignored areas"):
        Preprocessing(SIDE, ignore=((0, 0, 1, 1),), align=alignment())
