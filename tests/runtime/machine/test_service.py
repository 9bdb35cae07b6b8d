"""What systemd is told, through a real datagram socket: ready, alive while the loop turns, stopping."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from csflow.runtime.bundle.calibration import load_calibration
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.detector import Detector
from csflow.runtime.engines.fake import FakeEngine
from csflow.runtime.line.stream import StreamPolicy, run_stream
from csflow.runtime.machine.service import Service
from csflow.runtime.sources.fake import FakeSource
from csflow.runtime.types import Frame, Prediction

GOOD = np.full((64, 64, 3), 51, dtype=np.uint8)


class Manager:
    """The other end of $NOTIFY_SOCKET."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self.environment = {"NOTIFY_SOCKET": address}

    def heard(self) -> list[str]:
        messages = []
        self.socket.setblocking(False)
        try:
            while True:
                messages.append(self.socket.recv(4096).decode())
        except BlockingIOError:
            return messages


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    address = str(tmp_path / "notify") if request.param == "path" else f"@csflow-test-{os.getpid()}"
    listening = Manager(address)
    yield listening
    listening.socket.close()


def test_ready_is_said_once_and_then_the_end(manager: Manager) -> None:
    service = Service(manager.environment)
    assert manager.heard() == []
    for _ in range(3):
        service.beat()
    service.stopping()
    assert [m.splitlines()[0] for m in manager.heard()] == ["READY=1", "STOPPING=1"]


def test_the_watchdog_is_fed_at_most_four_times_a_period(manager: Manager) -> None:
    service = Service({**manager.environment, "WATCHDOG_USEC": "4000000000", "WATCHDOG_PID": str(os.getpid())})
    for _ in range(100):
        service.beat()
    assert manager.heard()[1:] == ["WATCHDOG=1"]


@pytest.mark.parametrize("extra", [{}, {"WATCHDOG_USEC": "x"}, {"WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}])
def test_without_a_watchdog_of_this_process_none_is_fed(manager: Manager, extra: dict[str, str]) -> None:
    service = Service({**manager.environment, **extra})
    service.beat()
    assert [m.splitlines()[0] for m in manager.heard()] == ["READY=1"]


@pytest.mark.parametrize("address", ["", "/nowhere/notify", "@nobody"])
def test_no_manager_is_no_trouble(address: str) -> None:
    service = Service({"NOTIFY_SOCKET": address} if address else {})
    service.beat()
    service.stopping()


def detector(bundle: Bundle, engine: FakeEngine) -> Detector:
    calibration = load_calibration(bundle)
    assert calibration is not None
    return Detector(bundle, engine, calibration)


@pytest.mark.parametrize("live", [False, True])
def test_an_engine_that_hangs_is_not_fed_and_a_line_that_stands_still_is(live: bool, calibrated_bundle: Bundle) -> None:
    beats: list[int] = []
    hanging, go_on = threading.Event(), threading.Event()

    class Hangs(FakeEngine):
        def infer(self, frames: Sequence[Frame]) -> list[Prediction]:
            hanging.set()
            assert go_on.wait(60.0)
            return super().infer(frames)

    # Longer than the loop waits for one read: it turns although nothing comes.
    source = FakeSource([*[None] * 5, GOOD, *[None] * 5], live=live)
    inspection = detector(calibrated_bundle, Hangs(calibrated_bundle))
    loop = threading.Thread(
        target=run_stream,
        args=(source, inspection, []),
        kwargs={"beat": lambda: beats.append(1), "policy": StreamPolicy(silence_s=60.0)},
    )
    loop.start()
    assert hanging.wait(60.0)
    while_waiting = len(beats)
    time.sleep(0.3)
    assert len(beats) == while_waiting >= 2
    go_on.set()
    loop.join(60.0)
    assert len(beats) > while_waiting


def test_a_run_says_ready_and_stopping_and_ends_with_0(calibrated_bundle: Bundle, tmp_path: Path) -> None:
    manager = Manager(str(tmp_path / "notify"))
    command = [program("csflow"), "run", "--bundle", str(calibrated_bundle.path), "--backend", "fake", "--quiet"]
    command += ["--camera", "synthetic://?fps=50&size=64x64", "--log", str(tmp_path / "log")]
    environment = {**os.environ, **manager.environment, "WATCHDOG_USEC": "100000"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
        manager.socket.settimeout(60.0)
        assert manager.socket.recv(4096).startswith(b"READY=1")
        assert manager.socket.recv(4096) == b"WATCHDOG=1"
        run.terminate()
    assert run.returncode == 0
    assert manager.heard()[-1].startswith("STOPPING=1")
    manager.socket.close()
    log = (tmp_path / "log").read_text()
    assert "INFO engine     fake" in log
    assert "frames in" in log.splitlines()[-1]


def program(name: str) -> str:
    found = shutil.which(name, path=str(Path(sys.executable).parent))
    if found is None:
        pytest.skip(f"the command {name} is not installed beside this Python")
    return found


@pytest.mark.parametrize(
    ("name", "command", "never_again"),
    [("csflow@", "csflow-run", "1 2 3"), ("csflow-plc@", "csflow-plc", "1 2 4")],
)
def test_the_packaged_unit_is_one_that_systemd_takes(tmp_path: Path, name: str, command: str, never_again: str) -> None:
    text = (resources.files("csflow.runtime") / "systemd" / f"{name}.service").read_text()
    for promise in ("Type=notify", "WatchdogSec=", f"RestartPreventExitStatus={never_again}\n", "StartLimitBurst="):
        assert promise in text
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("there is no systemd-analyze")
    unit = tmp_path / f"{name}line1.service"
    unit.write_text(text.replace(f"/opt/csflow/bin/{command}", program(command)))
    done = subprocess.run([analyze, "verify", str(unit)], capture_output=True, text=True, timeout=60, check=False)
    assert name not in done.stderr, done.stderr
