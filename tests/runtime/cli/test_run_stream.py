"""The options of `csflow run` about cameras, triggers and checks, as a user gives them."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.cli.run import run
from csflow.runtime.cli.run_options import stream_policy
from csflow.runtime.errors import SourceLost
from csflow.runtime.sources.fake import FakeSource

RNG = np.random.default_rng(3)
GOOD = np.clip(51 + RNG.integers(-3, 4, (64, 64, 3)), 0, 255).astype(np.uint8)


@pytest.fixture
def invoke(calibrated_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr("csflow.runtime.sources.reconnect.BACKOFF_S", (0.01, 0.02))

    def call(*arguments: object) -> Result:
        fixed = ["--bundle", str(calibrated_bundle.path), "--backend", "fake", "--warm-up", "0"]
        return CliRunner().invoke(run, [*fixed, *map(str, arguments)])

    return call


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    made = tmp_path / "left", tmp_path / "right"
    for folder in made:
        folder.mkdir()
        for index in range(2):
            Image.fromarray(GOOD).save(folder / f"{index}.png")
    return made


def test_several_cameras_share_an_engine_in_turns(invoke: Any, folders: tuple[Path, Path]) -> None:
    result = invoke("--camera", folders[0], "--camera", folders[1])
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert [Path(line.split()[-1]).parent.name for line in lines[:4]] == ["left", "right", "left", "right"]
    assert "4 frames" in lines[4]


def test_a_camera_named_twice_and_a_trigger_for_two_are_wrong_usage(invoke: Any, folders: tuple[Path, Path]) -> None:
    twice = invoke("--camera", folders[0], "--camera", folders[0])
    assert (twice.exit_code, "named twice" in twice.stderr) == (2, True)
    two = invoke("--camera", folders[0], "--camera", folders[1], "--trigger", "stdin")
    assert (two.exit_code, "--trigger asks one camera" in two.stderr) == (2, True)


def test_each_line_on_standard_input_gets_one_result(
    invoke: Any, folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = tmp_path / "lines"
    lines.write_bytes(b"a\nb\nc\n")
    with lines.open("rb") as stdin:
        # The runner's own standard input is no file.
        monkeypatch.setattr("csflow.runtime.triggers.lines.sys", SimpleNamespace(stdin=stdin))
        asked = invoke("--camera", folders[0], "--trigger", "stdin", "--json", "--deadline-ms", 60000)
    assert asked.exit_code == 0
    summary = json.loads(asked.stdout)
    assert (summary["frames"], summary["verdicts"]["OK"], summary["faults"]) == (3, 2, {"stopped": 1})
    assert "trigger    stdin" in asked.stderr


def test_a_lost_camera_comes_back_and_both_are_counted(invoke: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    lives = iter([[GOOD, SourceLost("camera: gone")], [255 - GOOD, 0.2]])
    monkeypatch.setattr("csflow.runtime.source.open_source", lambda *_: FakeSource(next(lives), live=True))
    result = invoke("--queue", 100, "--json")
    summary = json.loads(result.stdout)
    assert (summary["reconnects"], summary["faults"]) == (1, {"lost": 1})
    assert summary["frames"] == 3


def test_the_limits_reach_the_checks(invoke: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def camera(*_: object) -> FakeSource:
        return FakeSource([GOOD] * 3 + [np.zeros_like(GOOD)], live=True)

    monkeypatch.setattr("csflow.runtime.source.open_source", camera)
    strict = json.loads(invoke("--queue", 9, "--frozen", 2, "--json").stdout)
    assert strict["faults"] == {"frozen": 2, "black": 1}
    loose = json.loads(invoke("--queue", 9, "--frozen", 0, "--exposure", 0, "--json").stdout)
    # The fake engine gives a black picture the score 0, which no part has.
    assert loose["faults"] == {"score": 1}


def test_every_option_becomes_its_part_of_the_policy() -> None:
    options = {"max_age": 1.0, "frozen": 2, "exposure": 0.3, "blur": 0.4, "queue": 5, "deadline_ms": 600.0}
    policy = stream_policy({**options, "frames": 7, "timeout": 2.5, "any_size": True})
    assert (policy.max_results, policy.silence_s) == (7, 2.5)
    assert (policy.depth, policy.deadline_s) == (5, 0.6)
    health = policy.health
    assert (health.max_age_s, health.frozen, health.exposure, health.blur, health.size) == (1.0, 2, 0.3, 0.4, False)


@pytest.mark.parametrize(
    "option", [("--queue", 0), ("--deadline-ms", 0), ("--blur", 2), ("--reconnect", -1), ("--frozen", -1)]
)
def test_a_value_out_of_range_is_wrong_usage(option: tuple[str, int], invoke: Any) -> None:
    assert invoke(*option).exit_code == 2


def test_a_trigger_that_is_none_is_one_line(invoke: Any, folders: tuple[Path, Path]) -> None:
    result = invoke("--camera", folders[0], "--trigger", "gpio")
    assert result.exit_code == 1
    expected = "expected stdin, http://127.0.0.1:8500, gpio:/dev/gpiochip0:17, camera or pipe:"
    assert result.stderr.splitlines()[-1] == f"Error: no trigger 'gpio': {expected}"
