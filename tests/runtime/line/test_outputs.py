"""The outputs of `csflow run` together: options, reports, the ends they cause and those they must not cause."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.cli.run import run
from csflow.runtime.detector import Detector
from csflow.runtime.errors import ConfigError, SinkError
from csflow.runtime.labels.folder import LabelFolder
from csflow.runtime.line.outputs import OutputOptions, open_outputs
from csflow.runtime.line.stream import run_stream
from csflow.runtime.picture.origin import PILLOW, decoder_in
from csflow.runtime.sinks.memory import MemorySink
from csflow.runtime.sources.fake import FakeSource

GOOD, BAD = (np.full((64, 64, 3), grey, dtype=np.uint8) for grey in (51, 204))
Invoke = Callable[..., Result]


@pytest.fixture
def detector(calibrated_bundle: Bundle) -> Iterator[Detector]:
    with Detector.open(calibrated_bundle.path, "fake") as opened:
        yield opened


@pytest.fixture
def invoke(calibrated_bundle: Bundle, tmp_path: Path) -> Invoke:
    """`invoke("--csv", ...)` inspects a good part, a bad one and a file that is no picture."""
    parts = tmp_path / "parts"
    parts.mkdir()
    for name, image in (("p1.png", GOOD), ("p2.png", BAD)):
        Image.fromarray(image).save(parts / name)
    (parts / "p3.png").write_bytes(b"no picture")

    def call(*arguments: object) -> Result:
        fixed = ["--bundle", str(calibrated_bundle.path), "--backend", "fake", "--camera", str(parts)]
        return CliRunner().invoke(run, [*fixed, *map(str, arguments)])

    return call


def test_pulses_are_for_one_camera(detector: Detector) -> None:
    options = OutputOptions(output="gpio:/dev/gpiochip0?ok=1&nok=2", lines=False)
    with pytest.raises(ConfigError, match="the OK of one camera would pass a part that another one rejects"):
        open_outputs(options, detector, [FakeSource([], name="a"), FakeSource([], name="b")])


def test_every_output_is_told_in_the_summary(invoke: Invoke, tmp_path: Path) -> None:
    records, table, pictures, log = (tmp_path / name for name in ("r.jsonl", "t.csv", "pictures", "run.log"))
    options = ["--results", records, "--results-policy", "drop", "--csv", table, "--save", pictures, "--log", log]
    result = invoke(*options, "--save-rule", "all", "--save-budget", "1GB")
    assert result.exit_code == 0, result.output
    for expected in (f"results {records}: 3 written", f"table {table}: 3 written", f"pictures {pictures}: 3 written"):
        assert expected in result.stdout
    assert len(list(pictures.iterdir())) == 2
    assert "NOK" in log.read_text()
    assert "terminal" not in result.stdout


def test_json_has_the_counts_of_each_output(invoke: Invoke, tmp_path: Path) -> None:
    result = invoke("--json", "--csv", tmp_path / "t.csv")
    table, terminal = json.loads(result.stdout)["outputs"]
    assert (table["written"], table["failed"], table["dropped"], table["error"]) == (3, 0, 0, "")
    assert (terminal["name"], terminal["written"]) == ("terminal", 3)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_records_that_may_be_missing_do_not_end_the_run(invoke: Invoke) -> None:
    result = invoke("--results", "/dev/full", "--results-policy", "drop")
    assert result.exit_code == 0
    assert "results /dev/full: 0 written, 3 failed, 0 dropped (disk full while writing /dev/full" in result.stdout
    assert "WARNING: output results /dev/full: disk full" in result.stderr


def test_outputs_that_are_dead_do_not_end_the_run_and_their_secrets_stay_secret(invoke: Invoke) -> None:
    pytest.importorskip("paho.mqtt.client", reason="MQTT needs csflow[mqtt]")
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"user:secret@127.0.0.1:{free.getsockname()[1]}/line"
    result = invoke("--mqtt", f"mqtt://{address}", "--webhook", f"http://{address}?key=secret", "--webhook-rule", "all")
    assert result.exit_code == 0
    assert result.stdout.count("0 written") == 2
    assert "secret" not in result.output


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--save", "x", "--save-rule", "some"], 1, "no rule 'some'"),
        (["--save-budget", "many"], 2, "is no size"),
        (["--save-budget", "0GB"], 2, "is no size"),
        (["--mqtt", "http://x"], 1, "no broker's address"),
        (["--webhook", "mqtt://x"], 1, "no web address"),
        (["--serve", "here"], 1, "no address to serve on"),
        (["--serve", "0.0.0.0:0"], 1, "CSFLOW_SERVE_TOKEN"),
        (["--labels", "x"], 2, "--labels is for the live page"),
        (["--labels", "x", "--serve", "127.0.0.1:0"], 1, "set CSFLOW_OPERATOR_TOKEN"),
        (["--results-policy", "hope"], 2, "hope"),
        (["--results-policy", "drop"], 2, "--results-policy is about --results"),
        (["--save-raw"], 2, "--save-raw is about --save"),
        (["--save-rule", "all"], 2, "--save-rule is about --save"),
        (["--save-budget", "1GB"], 2, "--save-budget is about --save"),
        (["--webhook-rule", "all"], 2, "--webhook-rule is about --webhook"),
        (["--history-budget", "1GB"], 2, "--history-budget is about --history"),
        (["--line", "a"], 2, "--line is about --history or --serve"),
    ],
)
def test_wrong_options_end_before_the_first_part(
    arguments: list[str], code: int, message: str, invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("CSFLOW_SERVE_TOKEN", "CSFLOW_OPERATOR_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    result = invoke(*arguments)
    assert result.exit_code == code, result.output
    assert message in result.stderr
    assert "Traceback" not in result.output
    assert "NOK" not in result.stdout


def test_an_output_that_cannot_be_opened_closes_the_others(detector: Detector, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    options = OutputOptions(csv_file=str(tmp_path / "t.csv"), save=str(tmp_path / "file" / "below"))
    before = os.listdir("/proc/self/fd")
    with pytest.raises(SinkError, match="cannot write"):
        open_outputs(options, detector, [FakeSource([])])
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_the_page_runs_beside_the_inspection(detector: Detector) -> None:
    pytest.importorskip("starlette", reason="the page needs csflow[serve]")
    source = FakeSource([GOOD, BAD])
    outputs = open_outputs(OutputOptions(serve="127.0.0.1:0", lines=False), detector, [source])
    assert outputs.page_url is not None
    texts: list[str] = []

    class Asks(MemorySink):
        def write(self, *_: object) -> None:
            assert outputs.page_url is not None
            with urllib.request.urlopen(f"{outputs.page_url}metrics", timeout=30) as answer:
                texts.append(answer.read().decode())

    run_stream(source, detector, [outputs, Asks()])
    assert 'csflow_results_total{verdict="NOK"} 1.0' in texts[-1]


def test_the_page_of_a_run_takes_the_operator_s_word(
    detector: Detector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("starlette", reason="the page needs csflow[serve]")
    monkeypatch.delenv("CSFLOW_SERVE_TOKEN", raising=False)
    monkeypatch.setenv("CSFLOW_OPERATOR_TOKEN", "operator-of-enough-letters")
    source = FakeSource([BAD])
    options = OutputOptions(serve="127.0.0.1:0", labels=str(tmp_path / "labelled"), lines=False)
    outputs = open_outputs(options, detector, [source])

    def ask(path: str, word: dict[str, object]) -> None:
        headers = {"Content-Type": "application/json", "Authorization": "Bearer operator-of-enough-letters"}
        request = urllib.request.Request(f"{outputs.page_url}{path}", json.dumps(word).encode(), headers)
        urllib.request.urlopen(request, timeout=30).close()

    def run_of_the_page() -> str:
        with urllib.request.urlopen(f"{outputs.page_url}events", timeout=30) as events:
            while not (line := events.readline()).startswith(b"data: "):
                assert line
        return str(json.loads(line[6:])["run"])

    class Judges(MemorySink):
        def write(self, *_: object) -> None:
            run = run_of_the_page()
            while True:
                with contextlib.suppress(urllib.error.HTTPError):  # not drawn yet
                    ask("open/1", {})
                    break
                run = run_of_the_page()
            ask("label/1", {"run": run, "good": False, "defect": "dent", "reason": "dented", "by": "anna"})

    run_stream(source, detector, [outputs, Judges()])
    (label,) = LabelFolder(tmp_path / "labelled").read()
    assert (label.verdict, label.truth, label.result["engine"]) == ("NOK", "dent", "fake")
    assert decoder_in(tmp_path / "labelled" / label.picture) == PILLOW


def test_a_terminal_that_nobody_reads_does_not_stop_a_camera(
    detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("csflow.runtime.sinks.background.CLOSE_S", 60.0)
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    with os.fdopen(writer, "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        outputs = open_outputs(OutputOptions(), detector, [FakeSource([], live=True)])
        result = detector.detect(GOOD)
        # 60 bytes each: the pipe and the queue hold a few hundred of them.
        for _ in range(3000):
            outputs.write(result, None)
        (report,) = outputs.reports()
        assert report.dropped > 500
        # The reader leaves: that ends a run.
        os.close(reader)
        with pytest.raises(SinkError, match="nobody reads"):
            outputs.close()
        os.dup2(os.open(os.devnull, os.O_WRONLY), writer)
