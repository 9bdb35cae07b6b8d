"""Three virtual cameras of the genicam package on one engine: no result missing, order kept, memory flat."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.detector import Detector
from csflow.runtime.line.cameras import CameraPolicy
from csflow.runtime.line.frame_health import HealthLimits
from csflow.runtime.line.stream import StreamPolicy, run_stream
from csflow.runtime.source import open_source
from csflow.runtime.sources.genicam.source import GenicamSource
from csflow.runtime.types import Frame, Result

FRAMES = 10_000
GROWTH = 1.10
"""Share by which memory may grow from the first fifth of the run to its end."""
PAGE = os.sysconf("SC_PAGE_SIZE")


def resident(pid: int) -> int:
    """Bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE


class Watch:
    """A sink that keeps the order of each camera, and the memory of the run and of the drivers."""

    def __init__(self, pids: list[int]) -> None:
        self.last: dict[str, int] = {}
        self.count = self.disorder = self.faults = 0
        self.memory: list[int] = []
        self._pids = [os.getpid(), *pids]

    def write(self, result: Result, frame: Frame | None) -> None:  # noqa: ARG002 - as every sink
        """Count it."""
        self.count += 1
        self.faults += bool(result.fault)
        self.disorder += result.frame_index <= self.last.get(result.camera, -1)
        self.last[result.camera] = result.frame_index
        if self.count % (FRAMES // 50) == 0:
            self.memory.append(sum(map(resident, self._pids)))

    def close(self) -> None:
        """Nothing to release."""

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


@pytest.mark.soak
def test_three_virtual_cameras_on_one_engine(calibrated_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    module = pytest.importorskip("genicam", reason="the extra genicam is not installed")
    pytest.importorskip("harvesters", reason="the extra genicam is not installed")
    monkeypatch.setenv("GENICAM_GENTL64_PATH", os.path.dirname(module.__file__))
    uris = [f"genicam:{serial}?PixelFormat=Mono8&AcquisitionFrameRate=100" for serial in range(3)]
    sources = [open_source(uri, CameraPolicy().timeout_s) for uri in uris]
    watch = Watch([source._child.pid for source in sources if isinstance(source, GenicamSource)])
    # What the cameras show is a game of balls, not a part.
    health = HealthLimits(max_age_s=0, frozen=0, exposure=0, blur=0, size=False)
    policy = StreamPolicy(health=health, silence_s=60.0, max_results=FRAMES)
    with Detector.open(calibrated_bundle.path, "fake") as detector:
        summary = run_stream(sources, detector, [watch], policy=policy)
    given = sum(last + 1 for last in watch.last.values())
    early, late = (watch.memory[number] / 1e6 for number in (10, -1))
    print(f"{summary.text()}; memory {early:.0f} MB after a fifth, {late:.0f} MB at the end")
    assert summary.frames == watch.count == FRAMES
    assert given == FRAMES + summary.dropped
    assert len(watch.last) == 3
    assert (watch.faults, watch.disorder) == (0, 0)
    assert watch.memory[-1] < GROWTH * watch.memory[10]
