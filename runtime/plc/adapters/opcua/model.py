"""What clients find: one object with the process image as variables, and methods named as in OPC 40100-1."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable
from typing import Any

from csflow.runtime.faults import Reason
from csflow.runtime.plc.adapters.dialogue import Dialogue
from csflow.runtime.plc.process_image import Report, registers
from csflow.runtime.plc.states import Command, State

__all__ = ["NAMESPACE", "Calls", "add_station", "values"]

NAMESPACE = "urn:csflow:station"
PREPARE_S = 900.0
GIVEN = (
    "Verdict",
    "ResultTriggerId",
    "ResultId",
    "ResultBootId",
    "Quality",
    "Reason",
    "Score",
    "Threshold",
    "RecipeUsed",
)
"""What StartSingleJob gives before Error."""
COMMANDS = (
    Command.PREPARE_RECIPE,
    Command.UNPREPARE_RECIPE,
    Command.RESET,
    Command.HALT,
    Command.SELECT_AUTOMATIC,
    Command.SELF_TEST,
)
"""Those that are methods. A job is one call, which nothing stops but its deadline."""
KINDS = {"u16": "UInt16", "u32": "UInt32", "f32": "Float", "text": "String"}
Wait = Callable[[Callable[[], Any]], Awaitable[Any]]


def values(report: Report) -> dict[str, tuple[str, Any]]:
    """Type and value of every variable, by its browse name: the fields of the report, and the state in words."""
    kinds = {name: KINDS[kind] for _, _, kind, name, _ in registers(Report)}
    fields = {f.name.upper(): getattr(report, f.name) for f in dataclasses.fields(report)}
    found = {_camel(name): (kinds[name], _plain(value)) for name, value in fields.items()}
    return {**found, "StateName": ("String", State(report.state).name if report.state else "STARTING")}


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | float) else int(value)


def _camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


class Calls:
    """The methods: each gives Error, 0 or a `Reason`, as its last value. Who may call is decided before."""

    def __init__(self, dialogue: Dialogue | None, wait: Wait) -> None:
        """Take the way to control, None where this adapter has none, and what runs calls that wait."""
        self._dialogue, self._wait = dialogue, wait
        self._busy = False

    async def _do(self, call: Callable[[Dialogue], Any], refused: Callable[[Reason], Any]) -> Any:
        if self._dialogue is None:
            return refused(Reason.NOT_OWNER)
        if self._busy:
            return refused(Reason.BUSY)
        self._busy, dialogue = True, self._dialogue
        try:
            return await self._wait(lambda: call(dialogue))
        finally:
            self._busy = False

    async def inspect(self, trigger_id: int, part_id: str, deadline_ms: int) -> tuple[int, Report | None]:
        """Trigger, wait for the result, acknowledge it: why there was none, or the report that shows it."""

        def whole(dialogue: Dialogue) -> tuple[int, Report | None]:
            if reason := dialogue.trigger(trigger_id, part_id, deadline_ms):
                return int(reason), None
            while (report := dialogue.result(0.1)) is None and dialogue.open:
                dialogue.sign()
            dialogue.acknowledge()
            return int(Reason.NONE if report is not None else Reason.ABORTED), report

        return await self._do(whole, lambda reason: (int(reason), None))  # type: ignore[no-any-return]

    async def command(self, command: Command, argument: int = 0) -> int:
        """Have a command done; for PrepareRecipe that may take minutes."""
        return int(await self._do(lambda d: d.command(command, argument, PREPARE_S), lambda reason: reason))


async def add_station(server: Any, calls: Calls) -> dict[str, Any]:
    """Add the object 'csflow' to a server; gives its variables by browse name."""
    from asyncua import ua

    index = await server.register_namespace(NAMESPACE)
    station = await server.nodes.objects.add_object(ua.NodeId("csflow", index), ua.QualifiedName("csflow", index))
    nodes = {}
    for name, (kind, value) in values(Report()).items():
        variant = ua.Variant(value, ua.VariantType[kind])
        nodes[name] = await station.add_variable(
            ua.NodeId(f"csflow.{name}", index), ua.QualifiedName(name, index), variant
        )
    await _add_methods(station, index, calls)
    return nodes


async def _add_methods(station: Any, index: int, calls: Calls) -> None:
    from asyncua import ua

    def argument(name: str, kind: str) -> Any:
        return ua.Argument(Name=name, DataType=ua.NodeId(getattr(ua.ObjectIds, kind)), ValueRank=-1)

    async def add(name: str, call: Any, takes: list[Any], gives: list[Any]) -> None:
        node = ua.NodeId(f"csflow.{name}", index)
        await station.add_method(node, ua.QualifiedName(name, index), call, takes, gives)

    error = argument("Error", "UInt16")

    async def start_single_job(_parent: Any, trigger_id: Any, part_id: Any, deadline_ms: Any) -> list[Any]:
        reason, report = await calls.inspect(trigger_id.Value, part_id.Value or "", deadline_ms.Value)
        found = values(report or Report())
        told = [ua.Variant(found[name][1], ua.VariantType[found[name][0]]) for name in GIVEN]
        return [*told, ua.Variant(reason, ua.VariantType.UInt16)]

    takes = [argument("TriggerId", "UInt32"), argument("PartId", "String"), argument("DeadlineMs", "UInt16")]
    kinds = values(Report())
    await add("StartSingleJob", start_single_job, takes, [*(argument(name, kinds[name][0]) for name in GIVEN), error])
    for command in COMMANDS:
        takes = [argument("Recipe", "UInt16")] if command is Command.PREPARE_RECIPE else []
        await add(_camel(command.name), _commanding(calls, command), takes, [error])


def _commanding(calls: Calls, command: Command) -> Callable[..., Awaitable[list[Any]]]:
    async def call(_parent: Any, *arguments: Any) -> list[Any]:
        from asyncua import ua

        number = arguments[0].Value if arguments else 0
        return [ua.Variant(await calls.command(command, number), ua.VariantType.UInt16)]

    return call
