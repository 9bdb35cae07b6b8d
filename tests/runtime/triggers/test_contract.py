"""What every trigger promises, whoever asks through it."""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pytest

from csflow.runtime.errors import EndOfStream
from csflow.runtime.trigger import TRIGGERS, Request, Trigger, open_trigger
from csflow.runtime.triggers.fake import FakeTrigger, Step
from csflow.runtime.triggers.http import HttpTrigger
from csflow.runtime.triggers.lines import LineTrigger
from csflow.runtime.triggers.pipe import PipeTrigger
from csflow.runtime.types import Frame, Result, Verdict

from .supervisor import Supervisor

FRAME = Frame(np.zeros((8, 8, 3), np.uint8))
RESULT = Result(Verdict.OK, 0.5, 1.0, 0.9, np.zeros((1, 1), np.float32), (4, 4), "", 0, 1, 0.01)


@dataclass
class Played:
    """A trigger and the one who asks through it."""

    trigger: Trigger
    ask: Callable[[], object]
    """Make one request."""
    leave: Callable[[], object]
    """Make no more requests."""
    ends: bool = True
    """Whether the trigger notices that its asker has left."""
    release: Callable[[], object] = lambda: None


def fake() -> Played:
    steps: queue.SimpleQueue[Step] = queue.SimpleQueue()

    def script() -> Iterator[Step]:
        while True:
            try:
                step = steps.get_nowait()
            except queue.Empty:
                yield None
                continue
            if isinstance(step, EndOfStream):
                return
            yield step

    return Played(FakeTrigger(script()), lambda: steps.put("part"), lambda: steps.put(EndOfStream()))


def lines() -> Played:
    reading, writing = os.pipe()
    plc = os.fdopen(writing, "wb", buffering=0)

    def release() -> None:
        plc.close()
        os.close(reading)

    return Played(LineTrigger(reading), lambda: plc.write(b"part\n"), plc.close, release=release)


def http() -> Played:
    trigger = HttpTrigger("127.0.0.1", 0)
    threads: list[threading.Thread] = []

    def post() -> None:
        with contextlib.suppress(urllib.error.HTTPError), urllib.request.urlopen(trigger.name, b"") as answer:
            assert answer.status == 200

    def ask() -> None:
        threads.append(threading.Thread(target=post))
        threads[-1].start()

    def release() -> None:
        for thread in threads:
            thread.join(30.0)

    return Played(trigger, ask, lambda: None, ends=False, release=release)


def gpio() -> Played:
    gpiod = pytest.importorskip("gpiod", reason="the extra gpio is not installed")
    from .gpio_lines import Lines

    made = Lines()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gpiod, "request_lines", lambda *_, **__: made)
        trigger = open_trigger("gpio:/dev/gpiochip0:17")
    return Played(trigger, made.edges, lambda: None, ends=False)


def pipe() -> Played:
    played = Supervisor()
    trigger = PipeTrigger(played.worker_reads, played.worker_writes)
    return Played(trigger, played.ask, played.leave, release=played.close)


PLAYED: dict[str, Callable[[], Played]] = {"fake": fake, "gpio": gpio, "http": http, "pipe": pipe, "stdin": lines}


def test_every_kind_of_trigger_is_played() -> None:
    assert set(PLAYED) == {*TRIGGERS, "fake"}


@pytest.fixture(params=list(PLAYED))
def played(request: pytest.FixtureRequest) -> Iterator[Played]:
    made = PLAYED[request.param]()
    yield made
    made.trigger.close()
    made.release()


def soon(trigger: Trigger) -> Request:
    end_s = time.monotonic() + 30.0
    while time.monotonic() < end_s:
        if (request := trigger.next(0.05)) is not None:
            return request
    raise AssertionError("no request came")


def test_it_keeps_the_protocol_and_has_a_name(played: Played) -> None:
    assert isinstance(played.trigger, Trigger)
    assert played.trigger.name
    with played.trigger as same:
        assert same is played.trigger


def test_without_a_request_next_gives_nothing_within_its_time(played: Played) -> None:
    begun_s = time.monotonic()
    assert played.trigger.next(0.01) is None
    assert time.monotonic() - begun_s < 5.0


def test_each_wish_is_one_request_stamped_between_before_and_after(played: Played) -> None:
    for _ in range(3):
        before_ns = time.monotonic_ns()
        played.ask()
        request = soon(played.trigger)
        assert before_ns <= request.since_ns <= time.monotonic_ns()
        assert request.id
        assert not request.missed
        played.trigger.exposed(request, FRAME)
        played.trigger.answer(request, RESULT)
    assert played.trigger.next(0.01) is None


def test_an_asker_that_leaves_ends_it_after_its_requests(played: Played) -> None:
    if not played.ends:
        pytest.skip("it cannot know")
    played.ask()
    played.leave()
    assert soon(played.trigger).id
    with pytest.raises(EndOfStream):
        soon(played.trigger)
    with pytest.raises(EndOfStream):
        played.trigger.next(0.0)


def test_a_closed_trigger_ends_and_may_be_closed_again(played: Played) -> None:
    played.trigger.close()
    played.trigger.close()
    with pytest.raises(EndOfStream):
        played.trigger.next(0.0)
