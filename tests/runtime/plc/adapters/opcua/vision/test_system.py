"""A Machine Vision client, which knows nothing but OPC 40100-1, finds the station and works with it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

pytest.importorskip("asyncua", reason="the extra opcua is not installed")

from asyncua import Client, ua

from csflow.runtime.faults import Reason
from csflow.runtime.plc.adapters.opcua.vision.results import HASH
from csflow.runtime.plc.adapters.opcua.vision.structures import EVENTS
from csflow.runtime.plc.adapters.opcua.vision.tables import NAMESPACE, TYPES

LONG_S = 30.0
CAUSE = (ua.Variant(0, ua.VariantType.Int32), ua.Variant("", ua.VariantType.String))
NUMBERS = {"Int32": ua.VariantType.Int32, "UInt32": ua.VariantType.UInt32}


class Vision:
    """What a client of the companion has found."""

    def __init__(self, client: Client, index: int) -> None:
        self.client, self.index = client, index
        self.heard: list[Any] = []

    @classmethod
    async def find(cls, client: Client) -> Vision:
        self = cls(client, await client.get_namespace_index(NAMESPACE))
        kind = ua.NodeId(TYPES["VisionSystemType"][0], self.index)
        (self.system,) = [
            node for node in await client.nodes.objects.get_children() if await node.read_type_definition() == kind
        ]
        self.machine = await self.child(self.system, "VisionStateMachine")
        self.automatic = await self.child(self.machine, "AutomaticModeStateMachine")
        return self

    async def child(self, node: Any, name: str) -> Any:
        return await node.get_child([f"{self.index}:{name}"])

    async def listen(self) -> None:
        subscription = await self.client.create_subscription(10, self)
        kinds = [self.client.get_node(ua.NodeId(event.node, self.index)) for event in EVENTS]
        await subscription.subscribe_events(self.system, kinds)

    def event_notification(self, event: Any) -> None:
        self.heard.append(event)

    async def call(self, node: Any, name: str, *arguments: Any) -> Any:
        return await node.call_method(f"{self.index}:{name}", *arguments)

    async def state(self, node: Any) -> tuple[str, bool]:
        told = await (await node.get_child(["0:CurrentState"])).read_data_value(raise_on_bad_status=False)
        return (told.Value.Value.Text if told.Value.Value else "", told.StatusCode.is_good())

    async def until(self, what: Callable[[], Awaitable[bool] | bool]) -> None:
        end = time.monotonic() + LONG_S
        while True:
            found = what()
            if found is True or (not isinstance(found, bool) and await found):
                return
            assert time.monotonic() < end, [e.Message.Text for e in self.heard]
            await asyncio.sleep(0.01)

    async def shows(self, node: Any, name: str) -> None:
        async def there() -> bool:
            return (await self.state(node))[0] == name

        await self.until(there)

    def events(self, name: str) -> list[Any]:
        number = next(event.node for event in EVENTS if event.name == name)
        return [event for event in self.heard if event.EventType == ua.NodeId(number, self.index)]

    def transitions(self) -> list[str]:
        return [event.Transition.Text for event in self.events("StateChangedEventType")]


def structure(kind: str, text: str = "") -> Any:
    return ua.Variant(getattr(ua, kind)(Id=text), ua.VariantType.ExtensionObject)


def about(meas: str = "", part: str = "", recipe: str = "") -> tuple[Any, ...]:
    """The arguments of a job."""
    parameters = ua.Variant([], ua.VariantType.Variant, is_array=True)
    kinds = ("MeasIdDataType", "PartIdDataType", "RecipeIdExternalDataType", "ProductIdDataType")
    return (*map(structure, kinds, (meas, part, recipe, "")), parameters)


def number(value: int, kind: str = "Int32") -> Any:
    return ua.Variant(value, NUMBERS[kind])


def with_vision(cell: Any, what: Callable[[Vision], Awaitable[Any]], name: str = "commander") -> Any:
    async def go(client: Client) -> Any:
        vision = await Vision.find(client)
        await vision.listen()
        return await what(vision)

    return cell.talk(name, go)


def test_a_job_is_told_step_by_step_and_its_result_can_be_asked_for(cell: Any) -> None:
    cell.good = True

    async def work(vision: Vision) -> Any:
        job, error = await vision.call(vision.automatic, "StartSingleJob", *about("4711", "K-1", "1"))
        await vision.until(lambda: bool(vision.events("ResultReadyEventType")))
        (told,) = vision.events("ResultReadyEventType")
        results = await vision.child(vision.system, "ResultManagement")
        asked = ua.Variant(told.ResultId, ua.VariantType.ExtensionObject), number(0)
        whole = await vision.call(results, "GetResultById", *asked)
        parts = await vision.call(results, "GetResultComponentsById", *asked)
        return vision, job, error, told, whole, parts

    vision, job, error, told, whole, parts = with_vision(cell, work)
    assert error == 0
    assert job.Id == f"{cell.station.exchange.report.boot_id:08X}-4711"
    assert vision.transitions()[:2] == ["ReadyToSingleExecution", "SingleExecutionToReadyAuto"]
    for name in ("JobStartedEventType", "AcquisitionDoneEventType", "ReadyEventType"):
        assert [event.JobId.Id for event in vision.events(name)] == [job.Id]
    assert (told.MeasId.Id, told.PartId.Id, told.JobId.Id, told.ResultState) == ("4711", "K-1", job.Id, 1)
    assert [one.Value for one in told.ResultContent[:4]] == [0x5AA5, "OK", 0, 0]
    assert told.InternalRecipeId.HashAlgorithm == HASH
    assert whole[1].ResultId.Id == told.ResultId.Id
    assert [one.Value for one in whole[1].ResultContent] == [one.Value for one in told.ResultContent]
    assert (whole[2], parts[-1], parts[12].Id) == (0, 0, job.Id)


def test_a_continuous_job_goes_on_until_stop(cell: Any) -> None:
    async def work(vision: Vision) -> Any:
        job, error = await vision.call(vision.automatic, "StartContinuous", *about())
        await vision.until(lambda: len(vision.events("ResultReadyEventType")) >= 3)
        state = await vision.state(vision.automatic)
        busy = await vision.call(vision.automatic, "StartSingleJob", *about())
        stopped = await vision.call(vision.automatic, "Stop", *CAUSE)
        await vision.until(lambda: bool(vision.events("ReadyEventType")))
        return vision, job, error, state, busy, stopped

    vision, job, error, state, busy, stopped = with_vision(cell, work)
    assert (error, stopped, busy[1]) == (0, 0, -Reason.BUSY)
    assert state == ("ContinuousExecution", True)
    assert vision.transitions() == ["ReadyToContinuousExecution", "ContinuousExecutionToReadyStop"]
    assert {event.JobId.Id for event in vision.events("ResultReadyEventType")} == {job.Id}
    report = cell.station.exchange.report
    assert report.triggers == report.completed


def test_abort_ends_the_part_in_work_with_an_error(cell: Any) -> None:
    async def work(vision: Vision) -> Any:
        _, error = await vision.call(vision.automatic, "StartContinuous", *about())
        aborted = await vision.call(vision.automatic, "Abort", *CAUSE)
        await vision.until(lambda: bool(vision.events("ReadyEventType")))
        return vision, error, aborted

    vision, error, aborted = with_vision(cell, work)
    assert (error, aborted) == (0, 0)
    assert vision.transitions()[-1] == "ContinuousExecutionToReadyAbort"
    states = [event.ResultState for event in vision.events("ResultReadyEventType")]
    assert set(states) <= {1, 3}


def test_halt_and_reset_move_the_state_machine(cell: Any) -> None:
    async def work(vision: Vision) -> Any:
        halted = await vision.call(vision.machine, "Halt", *CAUSE)
        await vision.shows(vision.machine, "Halted")
        inactive = await vision.state(vision.automatic)
        refused = await vision.call(vision.automatic, "StartSingleJob", *about())
        reset = await vision.call(vision.machine, "Reset", *CAUSE)
        await vision.shows(vision.automatic, "Ready")
        chosen = await vision.call(vision.machine, "SelectModeAutomatic")
        await vision.until(lambda: len(vision.transitions()) >= 4)
        return vision, halted, inactive, refused, reset, chosen, await vision.state(vision.machine)

    vision, halted, inactive, refused, reset, chosen, state = with_vision(cell, work)
    assert (halted, reset) == (0, 0)
    assert inactive == ("", False)
    assert refused[1] == -Reason.BUSY
    assert chosen == -Reason.REFUSED_COMMAND
    assert state == ("Operational", True)
    assert vision.transitions() == [
        "OperationalToHalted",
        "HaltedToPreoperational",
        "PreoperationalToInitializedAuto",
        "InitializedToReadyAuto",
    ]


def test_recipes_are_listed_prepared_and_taken_out_of_force(cell: Any) -> None:
    none = structure("RecipeIdInternalDataType")

    async def work(vision: Vision) -> Any:
        recipes = await vision.child(vision.system, "RecipeManagement")

        async def listed(prepared: int) -> list[str]:
            external, product = structure("RecipeIdExternalDataType"), structure("ProductIdDataType")
            limits = number(0, "UInt32"), number(0, "UInt32"), number(0)
            told = await vision.call(recipes, "GetRecipeListFiltered", external, product, number(prepared), *limits)
            return [one.Id for one in told[3]]

        found = []
        for name in ("9", "65538", "2"):
            wanted = structure("RecipeIdExternalDataType", name)
            found.append(await vision.call(recipes, "PrepareRecipe", wanted, none))
        lists = [await listed(2), await listed(1)]
        wrong = await vision.call(vision.automatic, "StartSingleJob", *about(recipe="1"))
        strange = await vision.call(recipes, "UnprepareRecipe", structure("RecipeIdExternalDataType", "x"), none)
        assert strange[1] == -Reason.UNKNOWN_RECIPE
        out = await vision.call(recipes, "UnprepareRecipe", structure("RecipeIdExternalDataType"), none)
        lists.append(await listed(1))
        await vision.call(recipes, "PrepareRecipe", structure("RecipeIdExternalDataType", "1"), none)
        await vision.until(lambda: len(vision.events("RecipePreparedEventType")) >= 2)
        return vision, found, lists, wrong, out

    vision, found, lists, wrong, out = with_vision(cell, work)
    assert [(one[0].Id, one[1], one[2]) for one in found] == [
        ("", False, -Reason.UNKNOWN_RECIPE),
        ("", False, -Reason.UNKNOWN_RECIPE),
        ("2", True, 0),
    ]
    assert lists == [["1", "2"], ["2"], []]
    assert wrong[1] == -Reason.UNKNOWN_RECIPE, "a job for a recipe that is not in force is not begun"
    assert out[1] == 0
    assert [one.InternalId.Id for one in vision.events("RecipePreparedEventType")] == ["2", "1"]


def test_results_are_selected(cell: Any) -> None:
    async def work(vision: Vision) -> Any:
        for name in ("A", "B"):
            await vision.call(vision.automatic, "StartSingleJob", *about(part=name))
            await vision.until(lambda: len(vision.events("ReadyEventType")) == "AB".index(name) + 1)  # noqa: B023
        await vision.until(lambda: len(vision.events("ResultReadyEventType")) == 2)
        results = await vision.child(vision.system, "ResultManagement")
        kinds = (
            "MeasIdDataType",
            "PartIdDataType",
            "RecipeIdExternalDataType",
            "RecipeIdInternalDataType",
            "ConfigurationIdDataType",
            "ConfigurationIdDataType",
            "ProductIdDataType",
            "JobIdDataType",
        )
        ids = [structure(kind, "B" if kind.startswith("Part") else "") for kind in kinds]
        limits = number(10, "UInt32"), number(0, "UInt32"), number(0)
        found = await vision.call(results, "GetResultListFiltered", number(0), *ids, *limits)
        unknown = await vision.call(results, "GetResultById", structure("ResultIdDataType", "no"), number(0))
        return found, unknown

    found, unknown = with_vision(cell, work)
    assert (found[0], found[1], found[-1]) == (True, 1, 0)
    assert [one.PartId.Id for one in found[3]] == ["B"]
    assert unknown[2] == -1


@pytest.mark.fault("P8")
def test_an_argument_that_cannot_be_read_is_not_taken_for_none(cell: Any) -> None:
    strange = ua.Variant(ua.ExtensionObject(ua.NodeId(5006, 77), b"\0\0\0\0\1\0\0\0x"), ua.VariantType.ExtensionObject)

    async def work(vision: Vision) -> Any:
        arguments = list(about())
        arguments[2] = strange
        with pytest.raises(ua.UaStatusCodeError, match="BadTypeMismatch"):
            await vision.call(vision.automatic, "StartSingleJob", *arguments)
        with pytest.raises(ua.UaStatusCodeError, match="BadArgumentsMissing"):
            await vision.call(vision.automatic, "StartSingleJob")

    before = cell.station.exchange.report.triggers
    with_vision(cell, work)
    assert cell.station.exchange.report.triggers == before


@pytest.mark.fault("P8")
def test_a_reader_hears_events_and_calls_nothing(cell: Any) -> None:
    async def listen(vision: Vision) -> Any:
        with pytest.raises(ua.UaStatusCodeError):
            await vision.call(vision.machine, "Halt", *CAUSE)
        await asyncio.to_thread(cell.talk, "commander", start)
        await vision.until(lambda: bool(vision.events("ResultReadyEventType")))

    async def start(client: Client) -> None:
        vision = await Vision.find(client)
        await vision.call(vision.automatic, "StartSingleJob", *about())

    with_vision(cell, listen, "reader")
