"""station.toml examined without a controller, camera or engine."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

import pytest
from click.testing import CliRunner

from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.cli.plc import plc

TEXT = """
[station]
recipe = 1
control = "modbus"
[recipes.1]
bundle = "{bundle}"
camera = "synthetic://"
options = ["--unverified"]
[modbus]
listen = "127.0.0.1:{port}"
"""


@pytest.fixture
def station(calibrated_bundle: Bundle, tmp_path: Path) -> Path:
    shutil.copytree(calibrated_bundle.path, tmp_path / "cell" / "model.csflow")
    path = tmp_path / "cell" / "station.toml"
    path.write_text(TEXT.format(bundle="model.csflow", port=0))
    return path


def check(path: Path) -> tuple[int, str]:
    done = CliRunner().invoke(plc, [str(path), "--check"])
    return done.exit_code, done.output


def test_a_good_station(station: Path) -> None:
    code, output = check(station)
    assert code == 0, output
    assert output.count("ok  ") == 5
    assert "PROBLEM" not in output


def test_an_unverified_bundle(station: Path) -> None:
    station.write_text(station.read_text().replace('options = ["--unverified"]', ""))
    code, output = check(station)
    assert code == 1
    assert "no engine has passed the decision gate: csflow verify" in output
    assert "1 of 5 checks failed" in output


def test_an_uncalibrated_bundle(station: Path) -> None:
    (station.parent / "model.csflow" / "calibration.json").unlink()
    assert "no thresholds: csflow calibrate" in check(station)[1]


def test_a_damaged_bundle(station: Path) -> None:
    golden = next((station.parent / "model.csflow").rglob("golden/*.json"))
    data = bytearray(golden.read_bytes())
    data[len(data) // 2] ^= 1
    golden.write_bytes(data)
    code, output = check(station)
    assert code == 1
    assert f"PROBLEM  recipe 1: {station.parent / 'model.csflow'}" in output


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('["--unverified"]', '["--nonsense"]', "No such option"),
        ('["--unverified"]', '["--unverified", "--warm-up", "soon"]', "Invalid value for '--warm-up'"),
        ('"synthetic://"', '"synthetik://"', "did you mean synthetic://?"),
        ('"synthetic://"', '"nowhere.png.d"', "there is no file or folder"),
        ("[modbus]", "deadline_ms = 20000\n[modbus]", "is not shorter than station.hang_ms 10000"),
    ],
)
def test_a_worker_that_would_not_begin(station: Path, old: str, new: str, words: str) -> None:
    station.write_text(station.read_text().replace(old, new))
    code, output = check(station)
    assert code == 1
    assert "PROBLEM  recipe 1: camera and options" in output
    assert words in output


def test_a_port_that_is_taken(station: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        station.write_text(TEXT.format(bundle="model.csflow", port=taken.getsockname()[1]))
        code, output = check(station)
    assert code == 1
    assert "PROBLEM  adapters: modbus.listen" in output


def test_nobody_in_control(station: Path) -> None:
    station.write_text(station.read_text().replace('control = "modbus"', ""))
    assert "PROBLEM  control: nobody: no adapter commands" in check(station)[1]


def test_a_file_that_is_wrong_or_not_there(station: Path, tmp_path: Path) -> None:
    station.write_text("[station")
    code, output = check(station)
    assert (code, "Traceback" in output) == (1, False)
    assert str(station) in output
    code, output = check(tmp_path / "none.toml")
    assert code == 1
    assert "none.toml" in output
