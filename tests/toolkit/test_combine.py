"""`csflow combine`: one bundle of several over one backbone, and refusals in words of what does not fit."""

import dataclasses
import shutil
import statistics
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from csflow.calibration.calibrate import calibrate
from csflow.calibration.pictures import refuse_seen
from csflow.runtime.bundle.calibration import load_calibration
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.golden import load_golden
from csflow.runtime.engines.opening import open_engine
from csflow.runtime.errors import CalibrationError, ConfigError, DataError
from csflow.runtime.picture.images import read_image
from csflow.runtime.picture.preprocess import preprocess
from csflow.toolkit.cli.combine import combine as command
from csflow.toolkit.combine import Combination, combine
from csflow.toolkit.methods.combined import CombinedHead
from csflow.toolkit.methods.reporter import Silent
from csflow.toolkit.model import Model

Quick = Callable[[str], Bundle]


@pytest.fixture
def members(quick_bundle: Quick) -> list[Bundle]:
    return [quick_bundle("mahalanobis"), quick_bundle("padim")]


@pytest.fixture
def pictures(product_line: Path) -> list[Path]:
    return sorted((product_line / "test" / "good").iterdir())


def test_members_judge_as_alone_and_their_scores_are_standardised(
    members: list[Bundle], tmp_path: Path, pictures: list[Path]
) -> None:
    made = combine(members, tmp_path / "both.csflow", Combination(), Silent())
    model, alone = Model.load(made), [Model.load(bundle) for bundle in members]
    assert made.manifest.graphs == ("backbone", "mahalanobis", "padim", "joined")
    assert model.config.backbone.stages == (2, 4, 5)
    how = made.manifest.preprocessing
    frames = torch.from_numpy(np.stack([preprocess(read_image(path), how) for path in pictures]))
    assert isinstance(model.head, CombinedHead)
    with torch.inference_mode():
        judged = model.head.judged(model.backbone(frames))
    expected = [one.predict(frames) for one in alone]
    for score, predictions in zip(judged[::2], expected, strict=True):
        assert score.tolist() == pytest.approx([p.score for p in predictions], rel=1e-5)
    spreads = [load_golden(bundle).spread for bundle in members]
    z = [
        statistics.fmean((p.score - spread[0]) / spread[1] for p, spread in zip(row, spreads, strict=True) if spread)
        for row in zip(*expected, strict=True)
    ]
    joined = [p.score for p in model.predict(frames)]
    # A shift and a factor, and nothing else.
    assert np.corrcoef(joined, z)[0, 1] == pytest.approx(1.0, abs=1e-5)
    assert load_golden(made).spread is not None


def test_given_pictures_standardise_and_are_not_left_for_thresholds(
    members: list[Bundle], tmp_path: Path, product_line: Path
) -> None:
    good = product_line / "calibration" / "good"
    made = combine(members, tmp_path / "both.csflow", Combination("maximum", (1,), (good,)), Silent())
    how = made.manifest.preprocessing
    images = [preprocess(read_image(path), how) for path in sorted(good.iterdir())]
    scores = [p.score for p in Model.load(made).predict(torch.from_numpy(np.stack(images)))]
    assert load_golden(made).spread == pytest.approx((statistics.fmean(scores), statistics.pstdev(scores)), rel=1e-4)
    assert made.manifest.provenance["training"]["standardised_by"] == 20
    with pytest.raises(CalibrationError, match="20 of 20 pictures were used in training"):
        refuse_seen(made, sorted(good.iterdir()))
    with pytest.raises(CalibrationError, match="24 of 24 pictures were used in training"):
        refuse_seen(made, sorted((product_line / "train" / "good").iterdir()))


def test_a_combination_is_calibrated_like_any_bundle(members: list[Bundle], tmp_path: Path, product_line: Path) -> None:
    made = combine(members, tmp_path / "both.csflow", Combination(), Silent())
    with open_engine(made, "torch") as engine:
        calibrate(made, [product_line / "calibration" / "good"], engine, 0.2)
    found = load_calibration(Bundle.open(made.path))
    assert found is not None
    assert len(found.scores) == 20


def test_the_command_says_what_it_joined(members: list[Bundle], tmp_path: Path) -> None:
    target = tmp_path / "both.csflow"
    arguments = [*(str(bundle.path) for bundle in members), "--bundle", str(target), "--map", "2"]
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 0, result.output
    assert "joined mahalanobis, padim by the mean of standardised scores: factor of mahalanobis" in result.output
    assert Bundle.open(target).manifest.model["head"]["maps"] == [1]


def test_two_heads_of_one_method_have_graphs_of_their_own(members: list[Bundle], tmp_path: Path) -> None:
    again = Bundle.open(shutil.copytree(members[1].path, tmp_path / "again.csflow"))
    made = combine([members[1], again], tmp_path / "both.csflow", Combination(), Silent())
    assert made.manifest.graphs == ("backbone", "padim", "padim_2", "joined")
    assert Model.load(made).graphs == made.manifest.graphs


def test_bundles_that_do_not_fit_are_refused_in_words(
    members: list[Bundle], trained: Path, tmp_path: Path, product_line: Path
) -> None:
    first, target = members[0], tmp_path / "both.csflow"
    with pytest.raises(ConfigError, match="one bundle is no combination"):
        combine([first], target, Combination(), Silent())
    with pytest.raises(ConfigError, match="is named twice"):
        combine([first, first], target, Combination(), Silent())
    both = combine(members, tmp_path / "made.csflow", Combination(), Silent())
    with pytest.raises(ConfigError, match="is a combination itself"):
        combine([first, both], target, Combination(), Silent())
    with pytest.raises(ConfigError, match="is one of the bundles to be combined"):
        combine(members, first.path, Combination(), Silent())
    with pytest.raises(ConfigError, match="counted from 1 to 2"):
        combine(members, target, Combination(maps=(2,)), Silent())
    # CS-Flow's scores are those of fitted pictures, unless some were held out.
    with pytest.raises(ConfigError, match=r"recorded no scores of good parts .* --hold-out"):
        combine([first, Bundle.open(trained)], target, Combination(), Silent())
    good = (product_line / "test" / "good",)
    with pytest.raises(DataError, match="6 good pictures do not tell"):
        combine(members, target, Combination(good=good), Silent())
    with pytest.raises(CalibrationError, match="used in training"):
        combine(members, target, Combination(good=(product_line / "train" / "good",)), Silent())
    assert not target.exists()


def test_another_backbone_or_preprocessing_is_refused(members: list[Bundle], tmp_path: Path) -> None:
    first, second = members
    target = tmp_path / "both.csflow"
    weights = second.read("weights/backbone.safetensors")
    changed = {"weights/backbone.safetensors": weights[:-4] + bytes(4)}
    other = Bundle.open(shutil.copytree(second.path, tmp_path / "other.csflow")).update(changed)
    with pytest.raises(ConfigError, match="has another backbone than"):
        combine([first, other], target, Combination(), Silent())
    how = dataclasses.replace(second.manifest.preprocessing, roi=(0, 0, 64, 64))
    manifest = dataclasses.replace(second.manifest, preprocessing=how, files={})
    cut = Bundle.create(tmp_path / "cut", manifest, {name: second.read(name) for name in second.manifest.files})
    with pytest.raises(
        ConfigError, match=r"prepares .* in another way than .*: train both with the same --roi or --region$"
    ):
        combine([first, cut], target, Combination(), Silent())
