"""Jobs and commands as clients call them, where nobody has given the server control, and which may interrupt which."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import pytest

from csflow.runtime.faults import Reason
from csflow.runtime.plc.adapters.dialogue import Dialogue
from csflow.runtime.plc.adapters.opcua.calls import Calls
from csflow.runtime.plc.exchange import Exchange
from csflow.runtime.plc.process_image import Report, Status
from csflow.runtime.plc.states import Command


def test_without_control_methods_say_so() -> None:
    async def wait(call: Callable[[], Any]) -> Any:
        return call()

    calls = Calls(None, wait)
    assert asyncio.run(calls.inspect(1, "", 0)) == (Reason.NOT_OWNER, None)
    assert asyncio.run(calls.start(1, "")) == (Reason.NOT_OWNER, 0)
    assert asyncio.run(calls.command(Command.RESET)) == Reason.NOT_OWNER


@pytest.mark.parametrize(
    ("second", "expected"),
    [(Command.PREPARE_RECIPE, Reason.BUSY), (Command.SELF_TEST, Reason.BUSY), (Command.ABORT, 0)],
)
def test_a_job_in_work_is_interrupted_by_what_ends_it_only(second: Command, expected: int) -> None:
    async def go() -> int:
        begun, free = asyncio.Event(), asyncio.Event()

        async def wait(_call: Callable[[], Any]) -> Any:
            if not begun.is_set():
                begun.set()
                await free.wait()
                return Reason.BUSY
            return Reason.NONE

        exchange = Exchange()
        exchange.publish(Report(status=Status.BUSY))
        calls = Calls(Dialogue(exchange, "opcua"), wait)
        job = asyncio.ensure_future(calls.start(1, "part"))
        await begun.wait()
        if expected == 0:
            asyncio.get_running_loop().call_later(0.01, free.set)
        told = await calls.command(second)
        free.set()
        assert (await job)[0] == Reason.BUSY
        return told

    assert asyncio.run(go()) == expected


@pytest.mark.parametrize("waits", [True, False])
def test_a_caller_that_is_cut_off_leaves_no_result_unread(waits: bool) -> None:
    async def go() -> int:
        begun, free, asked = asyncio.Event(), asyncio.Event(), []

        async def wait(call: Callable[[], Any]) -> Any:
            asked.append(call)
            if len(asked) == 1:
                begun.set()
                await free.wait()
                return Reason.NONE
            return None

        calls = Calls(Dialogue(Exchange(), "opcua"), wait)
        job = asyncio.ensure_future(calls.inspect(1, "part", 0) if waits else calls.start(1, "part"))
        await begun.wait()
        job.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await job
        free.set()
        for _ in range(1000):
            if len(asked) == 2:
                break
            await asyncio.sleep(0.001)
        return len(asked)

    assert asyncio.run(go()) == 2, "the trigger, and then its result"


def test_an_id_that_is_not_given_is_the_next_one() -> None:
    async def wait(_call: Callable[[], Any]) -> Any:
        return Reason.DUPLICATE_ID

    calls = Calls(Dialogue(Exchange(), "opcua"), wait)
    first = asyncio.run(calls.start(0xFFFFFFFF, ""))
    assert first == (Reason.DUPLICATE_ID, 0xFFFFFFFF)
    assert asyncio.run(calls.start(0, ""))[1] == 1, "0 is no id"
    assert asyncio.run(calls.start(0, ""))[1] == 2
