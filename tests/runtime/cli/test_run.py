"""`csflow run` from end to end with the fake engine: every kind of source, every end with its exit code."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.cli.run import run
from csflow.runtime.engines.opening import Backend, backends
from csflow.runtime.errors import InferenceError, SourceLost
from csflow.runtime.machine.install import pip_install
from csflow.runtime.sources.fake import FakeSource

GOOD, BAD = (np.full((64, 64, 3), grey, dtype=np.uint8) for grey in (51, 204))
Invoke = Callable[..., Result]


@pytest.fixture
def invoke(calibrated_bundle: Bundle) -> Invoke:
    """`invoke("--camera", ...)` runs the command on the calibrated bundle with the fake engine."""

    def call(*arguments: object) -> Result:
        fixed = ["--bundle", str(calibrated_bundle.path), "--backend", "fake", "--warm-up", "0"]
        return CliRunner().invoke(run, [*fixed, *map(str, arguments)])

    return call


def play(monkeypatch: pytest.MonkeyPatch, source: FakeSource) -> None:
    monkeypatch.setattr("csflow.runtime.source.open_source", lambda _uri, _timeout_s: source)


def verdicts(path: Path) -> list[str]:
    return [json.loads(line)["verdict"] for line in path.read_text().splitlines()]


def test_a_folder_gets_its_verdicts_records_pictures_and_summary(invoke: Invoke, parts: Path, tmp_path: Path) -> None:
    records, pictures = tmp_path / "results.jsonl", tmp_path / "not-ok"
    result = invoke("--camera", parts, "--results", records, "--save", pictures)
    assert result.exit_code == 0
    assert verdicts(records) == ["OK", "NOK", "ERROR", "OK"]
    assert [p.name.split("-")[2] for p in pictures.iterdir()] == ["NOK"]
    lines = result.stdout.splitlines()
    assert [line.split()[1] for line in lines[:4]] == ["OK", "NOK", "ERROR", "OK"]
    assert "4 frames" in lines[4]
    assert "2 OK, 1 NOK, 1 ERROR" in lines[4]
    assert "p3.png is not a picture" in result.stdout


def test_the_start_tells_bundle_engine_source_and_thresholds(invoke: Invoke, parts: Path) -> None:
    start = invoke("--camera", parts, "--quiet").stderr
    for expected in ("model.csflow", "fake", str(parts), "every frame", "warn 0.5, reject 0.6"):
        assert expected in start


def test_a_glob_takes_only_what_it_matches(invoke: Invoke, parts: Path) -> None:
    assert "2 frames" in invoke("--camera", f"{parts}/p1*.png", "--quiet").stdout


def test_a_video_is_read_to_its_end(invoke: Invoke, tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2", reason="videos need csflow[camera]")
    writer = cv2.VideoWriter(str(tmp_path / "line.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 64))
    for image in (GOOD, BAD, GOOD):
        writer.write(image)
    writer.release()
    result = invoke("--camera", tmp_path / "line.avi")
    assert result.exit_code == 0
    assert [line.split()[1] for line in result.stdout.splitlines()[:3]] == ["OK", "NOK", "OK"]


def test_synthetic_parts_run_until_the_number_asked_for(invoke: Invoke) -> None:
    result = invoke("--camera", "synthetic://?fps=0&size=64x64", "--frames", 5, "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["frames"] == 5


def test_json_leaves_standard_output_to_the_summary(invoke: Invoke, parts: Path) -> None:
    result = invoke("--camera", parts, "--json")
    summary = json.loads(result.stdout)
    assert summary["verdicts"] == {"OK": 2, "NOK": 1, "UNCERTAIN": 0, "ERROR": 1}
    assert summary["dropped"] == 0
    assert summary["latency_p50_s"] <= summary["latency_max_s"]
    assert "NOK" in result.stderr


def test_json_and_records_cannot_share_standard_output(invoke: Invoke, parts: Path) -> None:
    assert invoke("--camera", parts, "--json", "--results", "-").exit_code == 2


# The ends of a run and their exit codes


def end(result: Result) -> tuple[int, str]:
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.output
    return result.exit_code, result.stderr.splitlines()[-1]


def test_no_bundle_ends_with_3(tmp_path: Path) -> None:
    code, message = end(CliRunner().invoke(run, ["--bundle", str(tmp_path / "none")]))
    assert code == 3
    assert "no bundle at" in message


def test_no_thresholds_end_with_1_before_any_part_could_be_called_ok(
    make_bundle: Callable[[], Bundle], parts: Path
) -> None:
    arguments = ["--bundle", str(make_bundle().path), "--backend", "fake", "--camera", str(parts)]
    code, message = end(CliRunner().invoke(run, arguments))
    assert code == 1
    assert "csflow calibrate" in message


def test_a_backend_that_is_not_installed_ends_with_4(
    calibrated_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(backends(), "openvino", Backend("csflow_absent:Engine", "openvino"))
    arguments = ["--bundle", str(calibrated_bundle.path), "--backend", "openvino"]
    code, message = end(CliRunner().invoke(run, arguments))
    assert code == 4
    assert pip_install("openvino") in message


def test_an_engine_that_keeps_failing_ends_with_4(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise InferenceError("device lost")

    def open_source(_uri: str, _timeout_s: float) -> FakeSource:
        # Only now: opening the engine has it score the golden frames.
        monkeypatch.setattr("csflow.runtime.engines.fake.FakeEngine.infer", fail)
        return FakeSource([GOOD] * 9)

    monkeypatch.setattr("csflow.runtime.source.open_source", open_source)
    result = invoke()
    assert end(result) == (4, "Error: device lost")
    assert "3 ERROR" in result.stdout


def test_no_camera_ends_with_5(invoke: Invoke) -> None:
    code, message = end(invoke("--camera", "/dev/video99", "--reconnect", 0))
    assert code == 5
    assert "there is no camera /dev/video99" in message


def test_a_camera_lost_ends_with_6_after_the_summary(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    play(monkeypatch, FakeSource([GOOD, SourceLost("camera 0 stopped after 1 frames")], live=True))
    result = invoke("--reconnect", 0)
    assert end(result) == (6, "Error: camera 0 stopped after 1 frames")
    assert "1 frames" in result.stdout


def test_a_silent_camera_ends_with_6_after_the_timeout(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    play(monkeypatch, FakeSource([GOOD, *[None] * 1000], live=True))
    code, message = end(invoke("--timeout", 1, "--reconnect", 0))
    assert code == 6
    assert "silent for 1 s" in message


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_ends_with_7_after_the_summary(invoke: Invoke, parts: Path) -> None:
    result = invoke("--camera", parts, "--results", "/dev/full")
    code, message = end(result)
    assert code == 7
    assert "disk full while writing /dev/full" in message
    assert "1 frames" in result.stdout


def test_a_results_path_that_cannot_be_opened_ends_with_7(invoke: Invoke, parts: Path) -> None:
    code, message = end(invoke("--camera", parts, "--results", parts))
    assert code == 7
    assert str(parts) in message


@pytest.mark.parametrize("value", ["nan", "inf", "0", "-1", "1e9"])
def test_a_timeout_out_of_range_is_wrong_usage(value: str, invoke: Invoke) -> None:
    result = invoke("--timeout", value)
    assert result.exit_code == 2
    assert "does not lie between 0.1 and 604800 seconds" in result.stderr
