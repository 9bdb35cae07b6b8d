"""`csflow run --trigger pipe:` as a process of its own, as a supervisor starts it."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.faults import Reason, Verdict
from csflow.runtime.triggers.pipe_message import (
    Answer,
    Exposed,
    Failed,
    Hello,
    Ping,
    Pong,
    Ready,
    SelfTest,
)

from .supervisor import Supervisor


class Worker:
    """`csflow run --trigger pipe:` as a supervisor starts it."""

    def __init__(self, bundle: Path, *options: str, inherited: bool = False) -> None:
        self.supervisor = Supervisor()
        ends = (self.supervisor.worker_reads, self.supervisor.worker_writes)
        trigger = f"pipe:{ends[0]},{ends[1]}" if inherited else "pipe:"
        command = [str(Path(sys.executable).parent / "csflow"), "run", "--bundle", str(bundle), "--backend", "fake"]
        passed = {"pass_fds": ends, "stdout": subprocess.DEVNULL}
        streams = passed if inherited else {"stdin": ends[0], "stdout": ends[1]}
        self.process = subprocess.Popen([*command, "--trigger", trigger, *options], stderr=subprocess.PIPE, **streams)  # type: ignore[call-overload]
        self.supervisor.forget()

    def ended(self) -> tuple[int, str]:
        """Exit code and what was said for people."""
        _, errors = self.process.communicate(timeout=60)
        self.supervisor.close()
        return self.process.returncode, errors.decode()


CAMERA = ("--camera", "synthetic://?fps=50&size=64x64", "--quiet")


@pytest.mark.parametrize("inherited", [False, True])
def test_a_worker_answers_until_its_supervisor_closes_the_pipe(calibrated_bundle: Bundle, inherited: bool) -> None:
    worker = Worker(calibrated_bundle.path, *CAMERA, inherited=inherited)
    supervisor = worker.supervisor
    assert isinstance(supervisor.hear(), Hello)
    ready = supervisor.hear()
    assert isinstance(ready, Ready)
    manifest = json.loads((calibrated_bundle.path / "manifest.json").read_text())
    assert ready.bundle_sha256 == manifest["manifest_sha256"]
    assert ready.weights_sha256 == calibrated_bundle.weights_sha256
    assert ready.calibration_sha256 == hashlib.sha256(calibrated_bundle.read_calibration() or b"").hexdigest()
    assert (ready.bundle, ready.engine, ready.verified) == ("model.csflow", "fake", True)
    assert (ready.warn_threshold, ready.reject_threshold) == (0.5, 0.6)
    for part in ("left", "right"):
        number = supervisor.ask(part)
        exposed, answer = supervisor.hear(), supervisor.hear()
        assert isinstance(exposed, Exposed)
        assert isinstance(answer, Answer)
        assert (exposed.id, answer.id, answer.part) == (number, number, part)
        assert answer.verdict in {v.code for v in (Verdict.OK, Verdict.NOK, Verdict.UNCERTAIN)}
        assert answer.captured_ns == exposed.captured_ns
    supervisor.say(SelfTest())
    supervisor.say(Ping(7))
    assert supervisor.hear() == ready
    assert supervisor.hear() == Pong(7, "")
    supervisor.leave()
    code, errors = worker.ended()
    assert code == 0
    assert inherited or "2 frames in" in errors, "the summary does not disturb the messages"


def test_a_worker_is_ready_when_its_camera_has_warmed_up(calibrated_bundle: Bundle) -> None:
    worker = Worker(calibrated_bundle.path, *CAMERA, "--warm-up", "1.5")
    supervisor = worker.supervisor
    supervisor.hear()
    assert isinstance(supervisor.hear(), Ready)
    supervisor.ask(deadline_ms=1000)
    assert isinstance(supervisor.hear(), Exposed)
    answer = supervisor.hear()
    assert isinstance(answer, Answer)
    assert answer.fault == ""
    supervisor.leave()
    assert worker.ended()[0] == 0


def test_a_worker_says_why_it_does_not_begin(make_bundle: Callable[[], Bundle]) -> None:
    worker = Worker(make_bundle().path, *CAMERA)
    assert isinstance(worker.supervisor.hear(), Hello)
    failed = worker.supervisor.hear()
    assert isinstance(failed, Failed)
    assert (failed.reason, "csflow calibrate" in failed.words) == (Reason.NOT_CALIBRATED, True)
    assert worker.supervisor.hear() is None
    assert worker.ended()[0] == 1


def test_a_worker_ends_with_an_error_where_its_supervisor_sends_nonsense(calibrated_bundle: Bundle) -> None:
    worker = Worker(calibrated_bundle.path, *CAMERA)
    for _ in range(2):
        worker.supervisor.hear()
    worker.supervisor.write(b"TRG 1\r\n" * 4)
    failed = worker.supervisor.hear()
    assert isinstance(failed, Failed)
    code, errors = worker.ended()
    assert (code, "no header of this protocol" in errors) == (6, True)


def test_a_worker_whose_supervisor_was_killed_is_gone_soon(calibrated_bundle: Bundle) -> None:
    worker = Worker(calibrated_bundle.path, *CAMERA)
    for _ in range(2):
        worker.supervisor.hear()
    worker.supervisor.ask()
    worker.supervisor.close()
    assert worker.ended()[0] in (0, 6)
