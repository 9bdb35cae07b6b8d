"""What a user says about a training becomes one plan, or one for each candidate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from csflow.calibration.paired import Paired
from csflow.runtime.atomic import lock_file
from csflow.runtime.errors import BundleError, ConfigError
from csflow.runtime.picture.region import Region, save_region
from csflow.toolkit.choosing import settings as module
from csflow.toolkit.choosing.choose import Choice
from csflow.toolkit.choosing.settings import TrainSettings, choose_beside
from csflow.toolkit.data.dataset import load_dataset
from csflow.toolkit.methods.reporter import Silent

LITE: dict[str, Any] = {"backbone": "tf_efficientnet_lite0", "image_size": 128}


@pytest.mark.parametrize(
    ("said", "given", "share"),
    [
        ({}, {}, 0.0),
        ({"method": "cs-flow?early_stop=yes"}, {}, 0.1),
        ({}, {"early_stop": True}, 0.1),
        ({"method": "cs-flow?early_stop=yes", "hold_out": 0.2}, {}, 0.2),
        ({"method": "cs-flow?early_stop=yes", "hold_out": 0.0}, {}, 0.0),
        ({"method": "padim", "hold_out": 0.3}, {}, 0.3),
    ],
)
def test_pictures_are_held_out_for_who_stops_early(said: dict[str, Any], given: dict[str, Any], share: float) -> None:
    (plan,) = TrainSettings(**LITE, **said).plans(given).values()
    assert plan.hold_out == share


def test_a_quarter_of_a_tile_overlaps_unless_told() -> None:
    for said, tiles in (({}, None), ({"tile": 256}, (256, 64)), ({"tile": 256, "overlap": 0}, (256, 0))):
        (plan,) = TrainSettings(**LITE, **said).plans().values()
        assert plan.tiles == tiles


def test_region_and_window_come_from_one_place(tmp_path: Path) -> None:
    save_region(Region((1, 2, 64, 64)), tmp_path / "region.json")
    save_region(Region(window=(10, 900)), tmp_path / "window.json")
    found = TrainSettings(region=str(tmp_path / "region.json"), window=(0, 4095)).area
    assert (found.roi, found.window) == ((1, 2, 64, 64), (0, 4095))
    with pytest.raises(ConfigError, match="roi and region"):
        _ = TrainSettings(region=str(tmp_path / "region.json"), roi=(0, 0, 64, 64)).area
    with pytest.raises(ConfigError, match="window and region"):
        _ = TrainSettings(region=str(tmp_path / "window.json"), window=(0, 4095)).area


@pytest.mark.parametrize("said", [{"hold_out": 0.6}, {"set_aside": -1}, {"tile": 0}, {"overlap": -1}])
def test_what_cannot_be_is_refused(said: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected"):
        TrainSettings(**said)


def test_one_of_the_candidates_is_chosen_beside_the_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(4):
        Image.fromarray(np.full((128, 128, 3), i, np.uint8)).save(tmp_path / f"{i}.png")
    settings = TrainSettings(**LITE, method="auto", candidates="padim?channels=50,nearest")
    dataset = load_dataset(tmp_path, 128)
    left = tmp_path / "out" / "a.csflow.choosing" / "work" / "of-a-killed-one"
    left.mkdir(parents=True)

    def choose(_dataset: Any, candidates: Any, work: Path, _reporter: Any) -> Choice:
        assert not any(work.iterdir())
        (work / "features").touch()
        return Choice(candidates[1], (), Paired(0.0, 0.0, 0.0, 0.0, 0.0))

    monkeypatch.setattr(module, "choose", choose)
    choice = choose_beside(tmp_path / "out" / "a.csflow", dataset, settings.plans(), Silent())
    assert (choice.chosen.method, choice.chosen.plan.model.method) == ("nearest", "nearest")
    assert not any((tmp_path / "out").iterdir())


def test_two_trainings_do_not_choose_in_one_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "choose", lambda *_: pytest.fail("two at once"))
    Image.fromarray(np.zeros((128, 128, 3), np.uint8)).save(tmp_path / "0.png")
    Image.fromarray(np.ones((128, 128, 3), np.uint8)).save(tmp_path / "1.png")
    dataset = load_dataset(tmp_path, 128)
    with lock_file(tmp_path / "a.csflow.choosing/lock"), pytest.raises(BundleError, match="another training works in"):
        choose_beside(tmp_path / "a.csflow", dataset, TrainSettings(**LITE).plans(), Silent())
    assert (tmp_path / "a.csflow.choosing/lock").is_file()
