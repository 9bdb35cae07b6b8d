"""A supervisor over a pipe: what it asks, what it hears, and that nothing it sends wrongly is obeyed."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from csflow.runtime.errors import (
    BundleCorrupted,
    CalibrationError,
    ConfigError,
    CSFlowError,
    EndOfStream,
    EngineMismatch,
    InferenceError,
    SinkError,
    SourceLost,
)
from csflow.runtime.faults import Quality, Reason, Verdict
from csflow.runtime.trigger import SupervisedTrigger, open_trigger
from csflow.runtime.triggers.pending import MAX_PENDING
from csflow.runtime.triggers.pipe import PipeTrigger
from csflow.runtime.triggers.pipe_message import (
    PROTOCOL,
    Answer,
    Ask,
    Exposed,
    Failed,
    Held,
    Hello,
    MessageError,
    Open,
    Ping,
    Pong,
    Ready,
    SelfTest,
)
from csflow.runtime.types import Frame, Identity, Result

from .supervisor import Supervisor

IDENTITY = Identity("model.csflow", "a" * 64, "b" * 64, "c" * 64, "fake", "", 0.5, 0.6, True)
READY = Ready("model.csflow", "a" * 64, "b" * 64, "c" * 64, "fake", True, 0.5, 0.6)


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    made = Supervisor()
    yield made
    made.close()


@pytest.fixture
def trigger(supervisor: Supervisor) -> Iterator[PipeTrigger]:
    with PipeTrigger(supervisor.worker_reads, supervisor.worker_writes) as made:
        yield made


def result(verdict: Verdict, fault: Any = "", verified: bool = True) -> Result:
    nothing = np.zeros((1, 1), np.float32)
    return Result(verdict, 0.4, 0.6, math.nan, nothing, (4, 5), "", 9, 12, 0.1, fault=fault, verified=verified)


def test_it_says_hello_then_ready_with_what_answers(supervisor: Supervisor, trigger: PipeTrigger) -> None:
    assert isinstance(trigger, SupervisedTrigger)
    hello = supervisor.hear()
    assert isinstance(hello, Hello)
    assert (hello.protocol, hello.process) == (PROTOCOL, os.getpid())
    trigger.ready(IDENTITY, lambda: None)
    assert supervisor.hear() == READY


def test_one_that_holds_waits_for_the_camera_and_shows_that_it_lives(supervisor: Supervisor) -> None:
    with PipeTrigger(supervisor.worker_reads, supervisor.worker_writes, holding=True) as trigger:
        supervisor.hear()
        held = threading.Thread(target=trigger.hold)
        held.start()
        assert supervisor.hear() == Held()
        supervisor.say(Ping(3))
        assert supervisor.hear() == Pong(3, "")
        assert held.is_alive()
        supervisor.say(Open())
        held.join(30.0)
        assert not held.is_alive()


def test_one_that_holds_ends_where_its_supervisor_leaves(supervisor: Supervisor) -> None:
    with PipeTrigger(supervisor.worker_reads, supervisor.worker_writes, holding=True) as trigger:
        supervisor.leave()
        with pytest.raises(SourceLost, match="before the camera was opened"):
            trigger.hold()


def test_one_that_does_not_hold_goes_on_at_once(supervisor: Supervisor, trigger: PipeTrigger) -> None:
    supervisor.hear()
    supervisor.say(Open())
    trigger.hold()
    assert trigger.next(0.2) is None


def test_an_ask_is_a_request_with_its_own_deadline_and_part(supervisor: Supervisor, trigger: PipeTrigger) -> None:
    asked_ns = time.monotonic_ns()
    supervisor.say(Ask("7", asked_ns, 250, "housing-12"))
    supervisor.say(Ask("8\n", asked_ns + 10**15, 0))
    first, second = trigger.next(30.0), trigger.next(30.0)
    assert first is not None
    assert second is not None
    assert (first.id, first.since_ns, first.deadline_s, first.part) == ("7", asked_ns, 0.25, "housing-12")
    assert (second.id, second.deadline_s) == ("8?", None)
    assert second.since_ns <= time.monotonic_ns(), "a picture taken now may answer it"


def test_the_part_may_move_then_the_verdict(supervisor: Supervisor, trigger: PipeTrigger) -> None:
    supervisor.ask()
    request = trigger.next(30.0)
    assert request is not None
    supervisor.hear()
    trigger.exposed(request, Frame(np.zeros((2, 2, 3), np.uint8), captured_ns=77))
    trigger.answer(request, result(Verdict.OK))
    assert supervisor.hear() == Exposed("1", 77)
    answer = supervisor.hear()
    assert isinstance(answer, Answer)
    assert (answer.verdict, answer.reason, answer.quality, answer.fault) == (0x5AA5, 0, 0, "")
    assert (answer.score, answer.threshold, answer.peak_x, answer.peak_y) == (0.4, 0.6, 4, 5)
    assert (answer.age_s, answer.p_value) == (None, None)


@pytest.mark.parametrize(
    ("given", "reason", "quality"),
    [
        (result(Verdict.NOK), Reason.ABOVE_REJECT, Quality.NONE),
        (result(Verdict.UNCERTAIN), Reason.ABOVE_WARN, Quality.NONE),
        (result(Verdict.OK, verified=False), Reason.NONE, Quality.MODEL_UNVERIFIED),
        (result(Verdict.ERROR, fault="deadline"), Reason.DEADLINE, Quality.DEADLINE_MISSED),
    ],
)
def test_reason_and_quality_are_those_of_the_table(
    supervisor: Supervisor, trigger: PipeTrigger, given: Result, reason: Reason, quality: Quality
) -> None:
    supervisor.ask()
    request = trigger.next(30.0)
    assert request is not None
    supervisor.hear()
    trigger.answer(request, given)
    answer = supervisor.hear()
    assert isinstance(answer, Answer)
    assert (answer.reason, answer.quality, answer.verdict) == (reason, quality, given.verdict.code)


def test_a_ping_is_answered_by_the_loop_and_by_nobody_else(supervisor: Supervisor, trigger: PipeTrigger) -> None:
    supervisor.hear()
    supervisor.say(Ping(3))
    with pytest.raises(AssertionError, match="says nothing"):
        supervisor.hear(0.2)
    trigger.watch(lambda: "unplugged")
    assert trigger.next(0.05) is None
    assert supervisor.hear() == Pong(3, "unplugged")


def test_a_self_test_is_answered_with_ready_or_ends_the_worker(supervisor: Supervisor, trigger: PipeTrigger) -> None:
    outcomes: list[Callable[[], None]] = [lambda: None]
    trigger.ready(IDENTITY, lambda: outcomes.pop()())
    supervisor.hear()
    assert supervisor.hear() == READY
    supervisor.say(SelfTest())
    assert trigger.next(0.2) is None
    assert supervisor.hear() == READY

    def differs() -> None:
        raise EngineMismatch("scores differ")

    outcomes.append(differs)
    supervisor.say(SelfTest())
    with pytest.raises(EngineMismatch) as caught:
        trigger.next(30.0)
    trigger.failed(caught.value)
    assert supervisor.hear() == Failed(Reason.SELF_TEST, "scores differ")
    trigger.close()
    assert supervisor.hear() is None, "one Failed, not two"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (BundleCorrupted("x"), Reason.BUNDLE),
        (CalibrationError("x"), Reason.NOT_CALIBRATED),
        (ConfigError("x"), Reason.CONFIGURATION),
        (InferenceError("x"), Reason.INFERENCE),
        (EngineMismatch("x"), Reason.ENGINE),
        (SourceLost("x"), Reason.CAMERA_LOST),
        (SinkError("x"), Reason.DISK),
        (CSFlowError("x"), Reason.INTERNAL),
    ],
)
def test_an_error_that_ends_it_is_told_in_words_and_number(
    supervisor: Supervisor, trigger: PipeTrigger, error: CSFlowError, reason: Reason
) -> None:
    supervisor.hear()
    trigger.failed(error)
    assert supervisor.hear() == Failed(reason, "x")


def test_what_is_no_message_ends_it_with_an_error_after_what_came_before(
    supervisor: Supervisor, trigger: PipeTrigger
) -> None:
    supervisor.ask()
    supervisor.write(b"TRG 2 housing\r\n.........")
    assert trigger.next(30.0) is not None
    for _ in range(2):
        with pytest.raises(MessageError, match="message 3 on the pipe has no header"):
            trigger.next(30.0)


def test_a_supervisor_that_dies_within_a_message_is_no_orderly_end(
    supervisor: Supervisor, trigger: PipeTrigger
) -> None:
    supervisor.write(b"CF")
    supervisor.leave()
    with pytest.raises(MessageError, match="broke off"):
        trigger.next(30.0)


def test_a_supervisor_that_closes_its_pipe_ends_it_in_order(supervisor: Supervisor, trigger: PipeTrigger) -> None:
    supervisor.ask()
    supervisor.leave()
    assert trigger.next(30.0) is not None
    with pytest.raises(EndOfStream):
        trigger.next(30.0)


def test_more_asks_than_may_wait_are_missed_not_lost(supervisor: Supervisor, trigger: PipeTrigger) -> None:
    for _ in range(MAX_PENDING + 2):
        supervisor.ask()
    supervisor.leave()
    while trigger._queue.qsize() < MAX_PENDING + 3:
        time.sleep(0.002)
    requests = [trigger.next(30.0) for _ in range(MAX_PENDING + 2)]
    assert [r.missed for r in requests if r] == [False] * MAX_PENDING + [True] * 2


def test_a_supervisor_that_reads_nothing_ends_it(trigger: PipeTrigger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("csflow.runtime.triggers.pipe.WRITE_S", 0.1)

    def until_the_pipe_is_full() -> None:
        while True:
            trigger.ready(IDENTITY, lambda: None)

    with pytest.raises(SourceLost, match=r"has read nothing for 0\.1 s"):
        until_the_pipe_is_full()


def test_a_supervisor_that_is_gone_is_told(supervisor: Supervisor, trigger: PipeTrigger) -> None:
    supervisor.close()
    with pytest.raises(SourceLost, match=r"the supervisor is gone \(Broken pipe\)"):
        trigger.ready(IDENTITY, lambda: None)
    trigger.failed(SourceLost("gone"))


@pytest.mark.parametrize("text", ["pipe:3", "pipe:a,b", "pipe:3,4,5", "pipe:/tmp/fifo"])
def test_what_is_no_pipe_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="expected pipe: or two file descriptors"):
        open_trigger(text)


def test_descriptors_that_nobody_passed_on_are_told() -> None:
    with pytest.raises(ConfigError, match="must pass both descriptors on"):
        open_trigger("pipe:998,999")


def test_inherited_descriptors_are_named_and_passed_to_no_child(supervisor: Supervisor) -> None:
    os.set_inheritable(supervisor.worker_writes, True)
    with open_trigger(f"pipe:{supervisor.worker_reads},{supervisor.worker_writes}") as trigger:
        assert isinstance(supervisor.hear(), Hello)
        assert not os.get_inheritable(supervisor.worker_writes)
        assert trigger.name == f"pipe:{supervisor.worker_reads},{supervisor.worker_writes}"


def test_it_leaves_no_thread_and_no_descriptor() -> None:
    def once() -> None:
        played = Supervisor()
        PipeTrigger(played.worker_reads, played.worker_writes).close()
        played.close()

    once()
    before = threading.active_count(), len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        once()
    assert (threading.active_count(), len(os.listdir("/proc/self/fd"))) == before
