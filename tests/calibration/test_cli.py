"""`csflow calibrate` as a user types it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from csflow.calibration.cli import calibrate
from csflow.runtime.bundle.directory import Bundle

MakeBundle = Callable[..., Bundle]
MakeParts = Callable[..., Path]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(calibrate, [str(a) for a in arguments])


def test_it_says_what_the_thresholds_promise(make_bundle: MakeBundle, make_parts: MakeParts) -> None:
    bundle, folder = make_bundle(), make_parts("good", range(100, 400))
    result = run(folder, "--bundle", bundle.path, "--backend", "fake")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "300 good parts scored with fake; the highest score is the threshold.",
        "  score above 0.521569: NOK",
        "  score above 0.503268: UNCERTAIN",
        "At most 1 % of good parts will be rejected, with 95 % confidence, if the line stays as it was "
        "(these parts support 0.994 %).",
        "Expect about 3.32 NOK and 46.5 UNCERTAIN in 1000 good parts.",
        "Highest scores; look at these pictures, because a defect among them spoils the threshold:",
        *[f"  {level / 765:<10.6g} {folder / f'{level}.png'}" for level in (399, 398, 397, 396, 395)],
        "The bundle does not list its training pictures: make sure that none is among these.",
        f"Wrote {bundle.path / 'calibration.json'}",
    ]


def test_pictures_far_from_square_are_told(make_bundle: MakeBundle, make_parts: MakeParts) -> None:
    bundle, folder = make_bundle(), make_parts("good", range(100, 160))
    for file in folder.iterdir():
        with Image.open(file) as picture:
            picture.resize((200, 50)).save(file)
    options = ("--bundle", bundle.path, "--backend", "fake", "--false-reject-rate", "5%")
    assert "WARNING: pictures of 200x50 pixels are squeezed into a square" in run(folder, *options).stdout
    (said,) = json.loads(run(folder, *options, "--json").stdout)["warnings"]
    assert "--roi" in said
    (folder / "more.heic").touch()
    assert "1 picture is of a format that csflow does not read" in run(folder, *options).stdout


def test_json_is_one_object_on_stdout(trained_bundle: Bundle, make_parts: MakeParts) -> None:
    folder = make_parts("good", range(100, 193))
    result = run(folder, "--bundle", trained_bundle.path, "--backend", "fake", "--false-reject-rate", "5 %", "--json")
    values = json.loads(result.stdout)
    stored = json.loads((trained_bundle.path / "calibration.json").read_bytes())
    for name in (
        "reject_threshold",
        "warn_threshold",
        "bound",
        "warn_rate",
        "confidence",
        "false_reject_rate",
    ):
        assert values[name] == stored[name]
    assert (values["parts"], values["k"], values["training_checked"]) == (93, 2, True)
    assert values["expected_reject_share"] == pytest.approx(2 / 94)
    assert values["highest"][0]["path"] == str(folder / "192.png")


def test_a_refusal_is_one_line_without_a_traceback(make_bundle: MakeBundle, make_parts: MakeParts) -> None:
    bundle, folder = make_bundle(), make_parts("good", range(3, 103))
    result = run(folder, "--bundle", bundle.path, "--backend", "fake")
    assert result.exit_code == 1
    assert "or pass --false-reject-rate 3%" in result.stderr.splitlines()[-1]
    assert result.stdout == ""
    assert run(folder, "--bundle", bundle.path, "--backend", "fake", "--false-reject-rate", "3%").exit_code == 0


def test_no_bundle_and_no_folder_end_with_their_codes(tmp_path: Path) -> None:
    assert run(tmp_path, "--bundle", tmp_path / "none").exit_code == 3
    assert run("--bundle", tmp_path / "none").exit_code == 2


def test_a_wrong_rate_is_a_usage_error_that_names_the_option() -> None:
    result = run("good", "--false-reject-rate", "0,5%")
    assert result.exit_code == 2
    assert "Invalid value for '--false-reject-rate'" in result.stderr
    assert "write 1 % as 1% or 0.01" in result.stderr


def test_the_edge_box_needs_no_heavy_library() -> None:
    program = (
        "import sys; import csflow.calibration.cli; assert 'numpy' not in sys.modules\n"
        "import csflow.calibration.calibrate, csflow.calibration.metrics\n"
        "print(sorted({'torch', 'sklearn', 'scipy', 'cv2', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_folder_that_does_not_exist_is_not_counted_as_a_part(make_bundle: MakeBundle, tmp_path: Path) -> None:
    result = run(tmp_path / "absent", "--bundle", make_bundle().path, "--backend", "fake")
    assert result.exit_code == 1
    assert "absent does not exist" in result.stderr.splitlines()[-1]
