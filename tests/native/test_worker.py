"""csflow-worker: the same numbers from another process, whatever becomes of that process."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from csflow.runtime.bundle.directory import Bundle

ROOT = Path(__file__).resolve().parents[2]
CRASHED, HUNG = -108, -109
LIMIT_S = 60.0

HOST = """
import sys, time
sys.path.insert(0, sys.argv[1])
import csflow_ctypes
detector = csflow_ctypes.Detector(csflow_ctypes.load(sys.argv[2]), sys.argv[3], device=b"worker:fake")
print("open", flush=True)
time.sleep(60)
"""


def children(parent: int) -> dict[int, str]:
    """State of each child process by number; Z is a zombie."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, its_parent = stat.read_text().rpartition(") ")[2].split()[:2]
        except OSError:  # it ended meanwhile
            continue
        if int(its_parent) == parent:
            found[int(stat.parent.name)] = state
    return found


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.005)


class Line:
    """A detector out of process, its worker, and one grey part."""

    def __init__(self, binding: ModuleType, library: ctypes.CDLL, bundle: Path, **options: Any) -> None:
        self.binding, others = binding, set(children(os.getpid()))
        self.detector = binding.Detector(library, str(bundle), **{"device": b"worker:fake", **options})
        (self.first,) = set(children(os.getpid())) - others
        self.others = others
        self.pixels = np.full((40, 50, 3), 100, np.uint8)
        place = {"row_stride": 150, "data": self.pixels.ctypes.data}
        self.picture = binding.Picture(format=binding.FORMATS["RGB8"], width=50, height=40, **place)

    def worker(self) -> int:
        """The present worker; 0: none."""
        return next(iter(set(children(os.getpid())) - self.others), 0)

    def stop(self) -> None:
        """The present worker stands still."""
        os.kill(self.worker(), signal.SIGSTOP)
        wait_until(lambda: children(os.getpid())[self.worker()] == "T")

    def score(self) -> float:
        score: float = self.detector.detect(self.picture).score
        return score

    def refused(self) -> tuple[int, str]:
        """Status and words of a picture that gets no verdict."""
        with pytest.raises(self.binding.LibraryError) as caught:
            self.score()
        return caught.value.status, str(caught.value)

    def close(self) -> None:
        """Once."""
        if self.detector.handle:
            self.detector.close()
            self.detector.handle = 0

    def ready(self) -> bool:
        return accepts(self.detector, self.picture, self.binding)


def accepts(detector: Any, picture: Any, binding: ModuleType) -> bool:
    """Whether a picture gets a verdict."""
    try:
        return detector.detect(picture).score > 0
    except binding.LibraryError:
        return False


@pytest.fixture
def line(library: ctypes.CDLL, binding: ModuleType, calibrated_bundle: Bundle) -> Iterator[Callable[..., Line]]:
    """`line(**options)`: opens one, closed at the end; no process may be left then."""
    before, made = set(children(os.getpid())), []

    def opened(**options: Any) -> Line:
        made.append(Line(binding, library, calibrated_bundle.path, **options))
        return made[-1]

    yield opened
    for each in made:
        each.close()
    assert set(children(os.getpid())) == before


def test_the_numbers_are_those_of_the_same_engine_in_process(
    line: Callable[..., Line], library: ctypes.CDLL, binding: ModuleType, calibrated_bundle: Bundle, picture: Any
) -> None:
    out, draw = line().detector, np.random.default_rng(3)
    with binding.Detector(library, str(calibrated_bundle.path), device=b"fake") as inside:
        assert out.describe().engine == inside.describe().engine == b"fake"
        for _ in range(20):
            pixels = draw.integers(0, 256, (*draw.integers(1, 300, 2), 3), dtype=np.uint8)
            image = picture(pixels, "BGR8")
            ours, theirs = out.detect(image), inside.detect(image)
            fields = [name for name, _ in binding.Result._fields_ if name != "latency_ns"]
            assert all(getattr(ours, name) == getattr(theirs, name) for name in fields)
            assert out.anomaly_map() == inside.anomaly_map()
        assert out.self_test().score_error == inside.self_test().score_error


def test_openvino_out_of_process(calibrated: Path, openvino: Any, picture: Any, binding: ModuleType) -> None:
    pixels = np.random.default_rng(4).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    image = picture(pixels, "RGB8")
    others = children(os.getpid()).keys()
    with openvino(calibrated, "auto") as inside, openvino(calibrated, "worker") as outside:
        assert outside.describe().engine == b"openvino-fp32"
        result = inside.detect(image)

        def same() -> bool:
            ours = outside.detect(image)
            maps = outside.anomaly_map() == inside.anomaly_map()
            return maps and (ours.score, ours.verified) == (result.score, 1)

        assert same()
        (worker,) = children(os.getpid()).keys() - others
        os.kill(worker, signal.SIGSTOP)
        os.kill(worker, signal.SIGKILL)
        with pytest.raises(binding.LibraryError, match=r"being restarted|SIGKILL"):
            outside.detect(image)
        wait_until(lambda: children(os.getpid()).keys() - others - {worker} and accepts(outside, image, binding))
        assert same()


def test_an_unverified_engine_comes_back_as_it_was(
    trained_copy: Path, openvino: Any, picture: Any, binding: ModuleType
) -> None:
    image = picture(np.full((128, 128, 3), 90, np.uint8), "RGB8")
    others = children(os.getpid()).keys()
    with openvino(trained_copy, "worker", unverified=1) as detector:
        before = detector.detect(image)
        (worker,) = children(os.getpid()).keys() - others
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: children(os.getpid()).keys() - others - {worker} and accepts(detector, image, binding))
        after = detector.detect(image)
    assert (before.verified, after.verified) == (0, 0)
    assert before.score == after.score


def test_a_worker_killed_between_pictures_is_back_before_it_is_missed(line: Callable[..., Line]) -> None:
    box = line()
    before = box.score()
    os.kill(box.first, signal.SIGKILL)
    wait_until(lambda: box.worker() not in (0, box.first))
    wait_until(box.ready)
    assert box.score() == before


def test_a_worker_killed_with_a_picture(line: Callable[..., Line], library: ctypes.CDLL, binding: ModuleType) -> None:
    box = line()
    box.stop()
    assert library.csflow_submit(box.detector.handle, ctypes.byref(box.picture)) == 0
    result = binding.Result()
    assert library.csflow_poll(box.detector.handle, ctypes.byref(result)) == binding.PENDING
    os.kill(box.first, signal.SIGKILL)
    wait_until(lambda: library.csflow_poll(box.detector.handle, ctypes.byref(result)) == binding.OK)
    assert (result.status, result.reason, result.verdict_code) == (CRASHED, 203, 0xC3C3)
    assert "signal 9 (SIGKILL)" in binding.last_error(library, box.detector.handle)
    wait_until(box.ready)


def test_a_hung_worker(line: Callable[..., Line]) -> None:
    box = line(worker_deadline_ms=2000)
    box.stop()
    status, words = box.refused()
    assert status == HUNG
    assert "no answer within 2000 ms" in words
    wait_until(box.ready)


def test_a_storm_of_restarts_ends(line: Callable[..., Line], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "csflow-worker"
    program.write_text(f'#!/bin/sh\nexec "{ROOT}/out/native/plain/csflow-worker" "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("CSFLOW_WORKER", str(program))
    box = line()
    assert box.ready()
    count = tmp_path / "starts"
    program.write_text(f'#!/bin/sh\necho x >> "{count}"\nkill -SEGV $$\n')
    os.kill(box.first, signal.SIGKILL)
    wait_until(lambda: "stays off" in box.refused()[1])
    assert count.read_text() == "x\n" * 3
    assert box.refused() == (
        CRASHED,
        "csflow-worker failed again after 3 restarts within 10 minutes and stays off: close the detector and open it "
        "again (csflow-worker was ended by signal 11 (SIGSEGV))",
    )


def test_the_worker_ends_with_its_host(built: Path, calibrated_bundle: Bundle) -> None:
    words = [str(ROOT / "runtime" / "native" / "examples"), str(built / "libcsflow.so"), str(calibrated_bundle.path)]
    with subprocess.Popen([sys.executable, "-c", HOST, *words], stdout=subprocess.PIPE, text=True) as host:
        assert host.stdout is not None
        assert host.stdout.readline() == "open\n"
        (worker,) = children(host.pid)
        host.kill()
        wait_until(lambda: not Path(f"/proc/{worker}/stat").exists())


def test_two_hundred_workers_leave_nothing(line: Callable[..., Line]) -> None:
    def left() -> tuple[int, int, dict[int, str]]:
        return len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task")), children(os.getpid())

    line().ready()
    before = left()
    for _ in range(200):
        box = line()
        assert box.ready()
        box.close()
    assert left() == before


def test_the_worker_gets_nothing_of_the_host(line: Callable[..., Line], tmp_path: Path) -> None:
    with (tmp_path / "open").open("w") as file:
        os.set_inheritable(file.fileno(), True)
        box = line()
        held = {int(entry.name): os.readlink(entry) for entry in Path(f"/proc/{box.first}/fd").iterdir()}
    assert set(held) == {0, 1, 2, 3, 4}
    assert [held[i] for i in range(3)] == ["/dev/null"] * 3
    status = Path(f"/proc/{box.first}/status").read_text()
    masks = dict(words.split(":\t") for words in status.splitlines() if words.startswith("Sig"))
    signals = (1 << 31) - 1  # without those of glibc itself, which posix_spawn leaves ignored
    assert int(masks["SigBlk"], 16) & signals == int(masks["SigIgn"], 16) & signals == 0
    assert os.getpgid(box.first) == box.first


def test_what_cannot_be_opened_says_the_same(calibrated: Path, library: ctypes.CDLL, binding: ModuleType) -> None:
    for device in (b"gpu", b"tensorrt-fp16"):
        said = []
        for name in (device, b"worker:" + device):
            with pytest.raises(binding.LibraryError) as caught:
                binding.Detector(library, str(calibrated), device=name)
            said.append((caught.value.status, str(caught.value)))
        assert said[0] == said[1]
    with pytest.raises(binding.LibraryError, match="worker_deadline_ms is 3600001"):
        binding.Detector(library, str(calibrated), device=b"worker:fake", worker_deadline_ms=3600001)


def test_an_installed_library_starts_the_worker_installed_with_it(
    built: Path, binding: ModuleType, calibrated_bundle: Bundle, run: Callable[..., str], tmp_path: Path
) -> None:
    run("cmake", "--install", built, "--prefix", tmp_path)
    (file,) = tmp_path.rglob("libcsflow.so")
    before = set(children(os.getpid()))
    with binding.Detector(binding.load(str(file)), str(calibrated_bundle.path), device=b"worker:fake"):
        (worker,) = set(children(os.getpid())) - before
        assert os.readlink(f"/proc/{worker}/exe") == str(file.parent / "csflow" / "csflow-worker")


def test_by_hand_it_says_what_it_is_for(built: Path) -> None:
    done = subprocess.run([built / "csflow-worker"], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "started by libcsflow" in done.stderr
