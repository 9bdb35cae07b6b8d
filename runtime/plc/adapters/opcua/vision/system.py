"""The station as a VisionSystemType: its state machines follow the reports, and tell every change as an event."""

from __future__ import annotations

from typing import Any

from csflow.runtime.plc.adapters.opcua.calls import Calls
from csflow.runtime.plc.adapters.opcua.vision.results import Results, job_name, recipe_id
from csflow.runtime.plc.adapters.opcua.vision.states import BY_NUMBER, CONTINUOUS, OPERATIONAL, shown, walk
from csflow.runtime.plc.adapters.opcua.vision.structures import EVENTS, fields
from csflow.runtime.plc.adapters.opcua.vision.tables import METHODS, TYPES, Transition
from csflow.runtime.plc.adapters.opcua.vision.types import Types, add_instance, standard
from csflow.runtime.plc.process_image import Report, Status
from csflow.runtime.plc.states import State

__all__ = ["VisionSystem"]

MACHINE, AUTOMATIC = "VisionStateMachine", "AutomaticModeStateMachine"
READY, SINGLE, ERROR = 6, 7, 3
PARTS = (
    ("csflow", MACHINE, "VisionStateMachineType"),
    (MACHINE, AUTOMATIC, "VisionAutomaticModeStateMachineType"),
    ("csflow", "RecipeManagement", "RecipeManagementType"),
    ("csflow", "ResultManagement", "ResultManagementType"),
)
"""Objects of the station: (of which, name, type)."""


class VisionSystem:
    """The objects below 'csflow', which must be there."""

    def __init__(self, types: Types, station: Any, calls: Calls, results: Results) -> None:
        self._types, self._station, self._calls, self._results = types, station, calls, results
        self._nodes: dict[str, Any] = {"csflow": station}
        self._events: dict[str, Any] = {}
        self._before = Report()
        self._state = State.PREOPERATIONAL.value
        self._result_id = 0
        self._job = ""

    def _id(self, name: str) -> Any:
        from asyncua import ua

        return ua.NodeId(f"csflow.{name}", self._station.nodeid.NamespaceIndex)

    async def add(self) -> None:
        """Add the objects, each with the methods of its type, and what makes the events."""
        from asyncua.server.event_generator import EventGenerator

        types = self._types
        for owner, name, kind in PARTS:
            number = TYPES[kind][0]
            parent = self._nodes[owner]
            made = await add_instance(types.server, parent, self._id(name), types.name(name), types.id(number))
            self._nodes[name] = made
            # The instance has the very methods of its type: who calls either is served (OPC 10000-3, 6.4.4.5).
            for method in METHODS:
                if method.owner == kind:
                    await made.add_reference(types.id(method.node), standard("HasComponent"), bidirectional=False)
        for name in (MACHINE, AUTOMATIC):
            for variable, kind in (
                ("CurrentState", "FiniteStateVariableType"),
                ("LastTransition", "FiniteTransitionVariableType"),
            ):
                await self._add_variable(name, variable, kind)
        for event in EVENTS:
            generator = EventGenerator(types.server.iserver.isession)
            await generator.init(types.id(event.node), self._station)
            self._events[event.name] = generator
        await self._show_state(None)

    async def _add_variable(self, owner: str, name: str, kind: str) -> None:
        from asyncua import ua

        full = f"{owner}.{name}"
        server, parent, qualified = self._types.server, self._nodes[owner], ua.QualifiedName(name)
        node = await add_instance(server, parent, self._id(full), qualified, standard(kind), text=True)
        self._nodes[full] = node
        for part, value in (("Id", ua.Variant(ua.NodeId())), ("Number", ua.Variant(0, ua.VariantType.UInt32))):
            told = await node.add_property(self._id(f"{full}.{part}"), ua.QualifiedName(part), value)
            self._nodes[f"{full}.{part}"] = told

    async def show(self, report: Report, trigger_id: int, cause: str, continuous: bool) -> None:
        """Follow a report.

        Args:
            report: one after the other, none left out.
            trigger_id: what the controller asks about.
            cause: the method in work; empty where the station goes on by itself.
            continuous: a continuous job is in work.
        """
        before, self._before = self._before, report
        if report.triggers != before.triggers:
            self._job = job_name(report.boot_id, self._calls.job_of(trigger_id))
        state = shown(report.state or State.PREOPERATIONAL, continuous)
        if state != self._state:
            for step, there in walk(self._state, state, cause):
                await self._pass(step, there)
        if report.recipe and report.recipe != before.recipe:
            prepared = recipe_id(report.recipe, report.recipe_crc)
            await self._tell("RecipePreparedEventType", f"recipe {report.recipe} is in force", InternalId=prepared)
        rose = report.status & ~before.status
        if rose & Status.ACQ_DONE:
            await self._tell_job("AcquisitionDoneEventType", "the part may move", self._job)
        if report.status & Status.RESULT_VALID and report.result_id != self._result_id:
            self._result_id = report.result_id
            await self._tell_result(report)

    async def _pass(self, step: Transition, there: int) -> None:
        before, self._state = self._state, there
        await self._show_state(step)
        names = BY_NUMBER[step.before], BY_NUMBER[there if step.after != OPERATIONAL else OPERATIONAL]
        await self._tell_step("StateChangedEventType", step, *names)
        if there == ERROR:
            await self._tell_step("ErrorEventType", step, *names)
        if before == ERROR and there > OPERATIONAL:
            await self._tell_step("ErrorResolvedEventType", step, *names)
        if there in (SINGLE, CONTINUOUS):
            await self._tell_job("JobStartedEventType", "a job has begun", self._job)
        elif before in (SINGLE, CONTINUOUS) and there == READY:
            await self._tell_job("ReadyEventType", "ready for the next job", self._job)

    async def _show_state(self, step: Transition | None) -> None:
        """Write CurrentState of both machines, and LastTransition of the one that was passed."""
        from asyncua import ua

        operational = self._state > OPERATIONAL
        await self._write(f"{MACHINE}.CurrentState", BY_NUMBER[OPERATIONAL if operational else self._state])
        if operational:
            await self._write(f"{AUTOMATIC}.CurrentState", BY_NUMBER[self._state])
        else:
            inactive = ua.DataValue(StatusCode=ua.StatusCode(ua.StatusCodes.BadStateNotActive))
            await self._nodes[f"{AUTOMATIC}.CurrentState"].write_value(inactive)
        if step is not None:
            machine = MACHINE if step.machine == "VisionStateMachineType" else AUTOMATIC
            await self._write(f"{machine}.LastTransition", step)

    async def _write(self, variable: str, what: Any) -> None:
        from asyncua import ua

        await self._nodes[variable].write_value(ua.LocalizedText(what.name))
        await self._nodes[f"{variable}.Id"].write_value(self._types.id(what.node))
        await self._nodes[f"{variable}.Number"].write_value(ua.Variant(what.number, ua.VariantType.UInt32))

    async def _tell_step(self, kind: str, step: Transition, before: Any, after: Any) -> None:
        from asyncua import ua

        told = {}
        for name, what in (("Transition", step), ("FromState", before), ("ToState", after)):
            told[name] = ua.LocalizedText(what.name)
            told[f"{name}/Id"] = ua.Variant(self._types.id(what.node), ua.VariantType.NodeId)
        await self._tell(kind, f"{before.name} to {after.name}", **told)

    async def _tell_job(self, kind: str, words: str, job: str) -> None:
        from asyncua import ua

        await self._tell(kind, words, JobId=ua.JobIdDataType(Id=job))

    async def _tell_result(self, report: Report) -> None:
        result = self._results.add(report)
        kind = next(one for one in EVENTS if one.name == "ResultReadyEventType")
        told = {field.name: getattr(result, field.name) for field in fields(kind.fields)}
        await self._tell(kind.name, f"result {report.result_id} of {report.result_part_id or 'a part'}", **told)

    async def _tell(self, kind: str, words: str, **told: Any) -> None:
        """Send an event to those who listen at the station, and to those who listen at the server."""
        from asyncua import ua

        generator, service = self._events[kind], self._types.server.iserver.subscription_service
        event = generator.event
        event.Message = ua.LocalizedText(words)
        for name, value in told.items():
            setattr(event, name, value)
        await generator.trigger()
        event.emitting_node = standard("Server")
        await service.trigger_event(event)
        event.emitting_node = self._station.nodeid
