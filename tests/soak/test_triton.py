"""A real Triton server reads what `csflow export --triton` writes, and decides as the engine of this machine."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from csflow.calibration.calibrate import calibrate
from csflow.export.cli.export import export
from csflow.export.gate.verify import merged_records, verify
from csflow.export.triton.repository import write_repository
from csflow.runtime.bundle.calibration import load_calibration
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.golden import load_golden
from csflow.runtime.engines.opening import load_engine, open_engine
from csflow.runtime.errors import InferenceError
from csflow.toolkit.data.dataset import load_dataset

from .triton_server import Server, environment, running

pytestmark = pytest.mark.soak
pytest.importorskip("tritonclient", reason="needs the extra triton")


@pytest.fixture(scope="session")
def env(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return environment(tmp_path_factory.mktemp("triton"))


@pytest.fixture
def bundle(trained_copy: Path, product_line: Path) -> Bundle:
    bundle = Bundle.open(trained_copy)
    with open_engine(bundle, "torch") as engine:
        calibrate(bundle, [product_line / "calibration" / "good"], engine, 0.2, 0.9)
    result = CliRunner().invoke(export, ["--bundle", str(trained_copy), "--no-engines"])
    assert result.exit_code == 0, result.output
    return Bundle.open(trained_copy)


@pytest.fixture
def server(env: Path, bundle: Bundle, tmp_path: Path) -> Iterator[Server]:
    write_repository(bundle, tmp_path / "repository", "fp32", "part7")
    with running(env, tmp_path / "repository", tmp_path, "part7") as started:
        yield started


@pytest.mark.parametrize("options", ["", "?shared=0"])
@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_it_passes_the_gate(bundle: Bundle, server: Server, product_line: Path, protocol: str, options: str) -> None:
    address = f"triton:{protocol}://{getattr(server, protocol)}/part7{options}"

    samples = load_dataset(product_line).test
    report = verify(bundle, load_calibration(bundle), [address], samples, str(product_line))

    record = report.records["triton-fp32"]
    assert record.passed, record.faults
    assert len(record.scores) > len(samples)
    assert set(record.files) == {"graphs/fp32/backbone.onnx", "graphs/fp32/flow.onnx"}
    assert merged_records(bundle, report).engines["triton-fp32"] == record


def test_two_lines_at_once_get_their_own_answers(bundle: Bundle, server: Server) -> None:
    address = f"triton:grpc://{server.grpc}/part7"
    answers: dict[int, list[float]] = {}

    def line(number: int) -> None:
        with load_engine(bundle, address) as engine:
            draws = [frame for frame, _ in golden][number::2]
            answers[number] = [engine.infer([frame])[0].score for frame in draws for _ in range(10)]

    golden = list(load_golden(bundle))
    threads = [threading.Thread(target=line, args=(number,)) for number in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    for number in (0, 1):
        expected = [g.score for _, g in golden[number::2] for _ in range(10)]
        assert answers[number] == pytest.approx(expected, rel=1e-4)


def test_a_model_exchanged_under_a_line_ends_its_verdicts(
    bundle: Bundle, server: Server, tmp_path: Path, golden_frame: Any
) -> None:
    with load_engine(bundle, f"triton:grpc://{server.grpc}/part7") as engine:
        assert engine.infer([golden_frame])
        config = tmp_path / "repository" / "part7" / "config.pbtxt"
        # The same graphs as the next version: enough for a server, and for a line that asks for the one it checked.
        text = config.read_text().replace("versions: [ 1 ]", "versions: [ 2 ]")
        (config.parent / "2").mkdir()
        config.write_text(text)
        server.load("part7")
        with pytest.raises(InferenceError, match="version 1"):
            engine.infer([golden_frame])
    with load_engine(bundle, f"triton:grpc://{server.grpc}/part7") as engine:
        assert engine.infer([golden_frame])


def test_a_server_that_dies_is_an_error_and_no_verdict(bundle: Bundle, server: Server, golden_frame: Any) -> None:
    with load_engine(bundle, f"triton:grpc://{server.grpc}/part7?timeout=5") as engine:
        assert engine.infer([golden_frame])
        server.process.kill()
        server.process.wait()
        with pytest.raises(InferenceError, match="Triton at"):
            engine.infer([golden_frame])


@pytest.fixture
def golden_frame(bundle: Bundle) -> Any:
    return load_golden(bundle).pictures[0][0]
