"""What clients find: one object with the process image as variables, and methods named as in OPC 40100-1."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable
from typing import Any

from csflow.runtime.plc.adapters.opcua.calls import Calls
from csflow.runtime.plc.adapters.opcua.vision.types import add_instance
from csflow.runtime.plc.process_image import Report, registers
from csflow.runtime.plc.states import Command, State

__all__ = ["NAMESPACE", "add_station", "values"]

NAMESPACE = "urn:csflow:station"
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
    Command.STOP,
    Command.ABORT,
    Command.SELF_TEST,
)
LARGEST = {"UInt16": 0xFFFF, "UInt32": 0xFFFFFFFF}
KINDS = {"u16": "UInt16", "u32": "UInt32", "f32": "Float", "text": "String"}


def values(report: Report) -> dict[str, tuple[str, Any]]:
    """Type and value of every variable, by its browse name: the fields of the report, and the state in words."""
    kinds = {name: KINDS[kind] for _, _, kind, name, _ in registers(Report)}
    fields = {f.name.upper(): getattr(report, f.name) for f in dataclasses.fields(report)}
    found = {_camel(name): (kinds[name], _plain(value, kinds[name])) for name, value in fields.items()}
    return {**found, "StateName": ("String", State(report.state).name if report.state else "STARTING")}


def _plain(value: Any, kind: str) -> Any:
    """The value as it fits: numbers wrap, as they do in registers."""
    return int(value) & LARGEST[kind] if kind in LARGEST else value


def _camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


async def add_station(server: Any, calls: Calls, kind: Any) -> tuple[Any, dict[str, Any]]:
    """Add the object 'csflow' of a type, given by its node id; gives it, and its variables by browse name."""
    from asyncua import ua

    index = await server.register_namespace(NAMESPACE)
    objects, name = server.nodes.objects, ua.QualifiedName("csflow", index)
    station = await add_instance(server, objects, ua.NodeId("csflow", index), name, kind)
    nodes = {}
    for name, (told, value) in values(Report()).items():
        variant = ua.Variant(value, ua.VariantType[told])
        nodes[name] = await station.add_variable(
            ua.NodeId(f"csflow.{name}", index), ua.QualifiedName(name, index), variant
        )
    await _add_methods(station, index, calls)
    return station, nodes


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
