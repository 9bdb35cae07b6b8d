"""A worker that does what the test says, and a station that is scanned by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from csflow.runtime.errors import SourceLost
from csflow.runtime.faults import Reason, Verdict
from csflow.runtime.plc.process_image import Control, Orders, Report
from csflow.runtime.plc.settings import Recipe, Settings
from csflow.runtime.plc.settings import Station as StationSettings
from csflow.runtime.plc.station import Station
from csflow.runtime.triggers import pipe_message as pipe

READY = pipe.Ready("model.csflow", "a" * 64, "b" * 64, "c" * 64, "fake", True, 1.5, 2.0)


class ScriptedWorker:
    """A `Worker` without a process: `says` is what the station hears next, `heard` what it was told."""

    def __init__(self, recipe: Recipe, hold: bool = False) -> None:
        self.recipe, self.hold = recipe, hold
        self.says: list[pipe.Message] = []
        self.heard: list[pipe.Message] = []
        self.lost = ""
        self.full = self.broken = False
        self.end = ""
        self.lingers = False

    @property
    def ended(self) -> bool:
        return bool(self.end) and not self.lingers

    def send(self, message: pipe.Message) -> None:
        if self.broken:
            raise SourceLost("the worker takes no message (Broken pipe)") from BrokenPipeError()
        if self.full:
            raise SourceLost("the worker does not empty its pipe")
        self.heard.append(message)

    def receive(self) -> list[pipe.Message]:
        if self.lost and not self.says:
            raise SourceLost(self.lost)
        said, self.says = self.says, []
        return said

    def close(self) -> None:
        self.end = "closed"

    def kill(self) -> None:
        self.end = "killed"

    def asks(self) -> list[pipe.Ask]:
        return [m for m in self.heard if isinstance(m, pipe.Ask)]

    def pings(self) -> list[pipe.Ping]:
        return [m for m in self.heard if isinstance(m, pipe.Ping)]

    def answer(self, ask: pipe.Ask, verdict: Verdict = Verdict.OK, score: float = 1.0) -> None:
        reason = {Verdict.OK: Reason.NONE, Verdict.NOK: Reason.ABOVE_REJECT}.get(verdict, Reason.ABOVE_WARN)
        told = ask.since_ns + 1_000_000
        self.says += [
            pipe.Exposed(ask.id, told),
            pipe.Answer(
                ask.id, ask.part, verdict.code, "", reason, 0, "", score, 2.0, 0.5, 3, 4, 0, told, 0.004, 0.001
            ),
        ]


class Bench:
    """A station, its workers in the order of their start, and a controller that does as the test says."""

    def __init__(self, folder: Path, recipes: dict[str, Recipe], **station: object) -> None:
        self.workers: list[ScriptedWorker] = []
        settings = Settings(StationSettings(1, state=str(folder), **station), recipes)  # type: ignore[arg-type]
        self.finished: list[object] = []
        self.station = Station(settings, self.start, self.finished.append)

    def start(self, recipe: Recipe, wake: Callable[[], None], hold: bool) -> ScriptedWorker:
        del wake
        self.workers.append(ScriptedWorker(recipe, hold))
        return self.workers[-1]

    @property
    def worker(self) -> ScriptedWorker:
        return self.workers[-1]

    def write(self, control: Control, trigger_id: int = 0, **other: int | str) -> Report:
        orders = Orders(control, trigger_id=trigger_id, **other)  # type: ignore[arg-type]
        assert self.station.exchange.order("test", lambda _: orders)
        return self.scan()

    def scan(self) -> Report:
        self.station.scan()
        return self.station.exchange.report

    def ready(self) -> Report:
        """The newest worker passes its golden frames, and the controller enables."""
        self.worker.says.append(READY)
        return self.write(Control.ENABLE)

    def trigger(self, trigger_id: int, **other: int | str) -> pipe.Ask:
        self.write(Control.ENABLE)
        self.write(Control.ENABLE | Control.TRIGGER, trigger_id, **other)
        self.write(Control.ENABLE, trigger_id)
        return self.worker.asks()[-1]


MakeBench = Callable[..., Bench]


@pytest.fixture
def make_bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeBench]:
    """`make_bench(recipes, **station)`: recipes by number, 1 and 2 where none are given; they change at once."""
    monkeypatch.setattr("csflow.runtime.plc.recipes.CROSSING_S", 0.0)
    made: list[Bench] = []

    def make(recipes: dict[str, Recipe] | None = None, **station: object) -> Bench:
        given = recipes or {"1": Recipe("a.csflow", "0"), "2": Recipe("b.csflow", "0", uncertain="accept")}
        made.append(Bench(tmp_path / "state", given, **station))
        return made[-1]

    yield make
    for bench in made:
        bench.station.close()
