"""What the methods of OPC 40100-1 do. Error is 0, or the negative of a `Reason`: below 0 is an application's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from csflow.runtime.faults import Reason
from csflow.runtime.plc.adapters.opcua.calls import LARGEST_ID, Calls
from csflow.runtime.plc.adapters.opcua.vision.results import Results, job_name, recipe_id
from csflow.runtime.plc.adapters.opcua.vision.structures import fields
from csflow.runtime.plc.adapters.opcua.vision.tables import METHODS
from csflow.runtime.plc.exchange import Exchange
from csflow.runtime.plc.states import Command

__all__ = ["methods"]

NOT_FOUND = -1
"""Error where a result is not, or no more, known."""
FILTERS = (
    "MeasId",
    "PartId",
    "ExternalRecipeId",
    "InternalRecipeId",
    "ExternalConfigurationId",
    "InternalConfigurationId",
    "ProductId",
    "JobId",
)
"""Arguments of GetResultListFiltered after ResultState, in order."""
PART_ID_LENGTH = 32
LONGEST_NUMBER = 20
LARGEST_RECIPE = 0xFFFF
YES, NO = 1, 0
PLAIN: dict[str, tuple[type, ...]] = {
    "Int32": (int,),
    "UInt32": (int,),
    "String": (str, type(None)),
    "ResultStateDataType": (int,),
    "TriStateBooleanDataType": (int,),
}
"""What asyncua gives for a plain argument."""
Call = Callable[..., Awaitable[list[Any]]]


def methods(calls: Calls, exchange: Exchange, results: Results) -> dict[str, Call]:
    """Every method of the tables, by its name; all of them coroutines that take and give variants."""
    done = _Methods(calls, exchange, results)
    commands = {
        "Halt": Command.HALT,
        "Reset": Command.RESET,
        "SelectModeAutomatic": Command.SELECT_AUTOMATIC,
        "Stop": Command.STOP,
        "Abort": Command.ABORT,
    }
    found = {name: done.command(name, command) for name, command in commands.items()}
    found["StartSingleJob"] = done.start(continuous=False)
    found["StartContinuous"] = done.start(continuous=True)
    found["PrepareRecipe"], found["UnprepareRecipe"] = done.prepare, done.unprepare
    found["GetRecipeListFiltered"] = done.recipe_list
    found["GetResultById"], found["GetResultComponentsById"] = done.result, done.components
    found["GetResultListFiltered"] = done.result_list
    return {name: _checked(name, call) for name, call in found.items()}


def _checked(name: str, call: Call) -> Call:
    """The method, called with arguments that could be read only: one that could not must not be taken for none."""
    takes = fields(next(one for one in METHODS if one.name == name).takes)

    async def checked(parent: Any, *arguments: Any) -> Any:
        from asyncua import ua

        if len(arguments) != len(takes):
            return ua.StatusCode(ua.StatusCodes.BadArgumentsMissing)
        for field, argument in zip(takes, arguments, strict=True):
            if field.array:
                continue
            fit = PLAIN.get(field.kind) or (getattr(ua, field.kind), type(None))
            if not isinstance(argument.Value, fit):
                return ua.StatusCode(ua.StatusCodes.BadTypeMismatch)
        return await call(parent, *arguments)

    return checked


def _text(argument: Any) -> str:
    """The Id of a structure in a variant; empty where there is none."""
    return str(getattr(argument.Value, "Id", None) or "")


def _number(text: str, largest: int = LARGEST_ID) -> int:
    """The number, or 0, which is never a part's or a recipe's."""
    fits = text.isascii() and text.isdecimal() and len(text) <= LONGEST_NUMBER and int(text) <= largest
    return int(text) if fits else 0


def _variant(kind: str, value: Any) -> Any:
    from asyncua import ua

    return ua.Variant(value, ua.VariantType[kind])


def _structure(value: Any) -> Any:
    return _variant("ExtensionObject", value)


def _error(reason: int) -> Any:
    return _variant("Int32", -int(reason))


class _Methods:
    def __init__(self, calls: Calls, exchange: Exchange, results: Results) -> None:
        self._calls, self._exchange, self._results = calls, exchange, results

    def command(self, name: str, command: Command) -> Call:
        async def call(_parent: Any, *_cause: Any) -> list[Any]:
            return [_error(await self._calls.command(command, cause=name))]

        return call

    def start(self, continuous: bool) -> Call:
        async def call(_parent: Any, meas: Any, part: Any, recipe: Any, product: Any, parameters: Any) -> list[Any]:
            from asyncua import ua

            name = _text(part)[:PART_ID_LENGTH]
            wrong = self._unfit(_text(recipe), _text(product), parameters.Value)
            number = 0
            if not wrong:
                wrong, number = await self._calls.start(_number(_text(meas)), name, continuous)
            job = "" if wrong else job_name(self._exchange.report.boot_id, number)
            return [_structure(ua.JobIdDataType(Id=job)), _error(wrong)]

        return call

    def _unfit(self, recipe: str, product: str, parameters: Any) -> Reason:
        if recipe and _number(recipe) != self._exchange.report.recipe:
            return Reason.UNKNOWN_RECIPE
        return Reason.CONFIGURATION if product or parameters else Reason.NONE

    async def prepare(self, _parent: Any, external: Any, internal: Any) -> list[Any]:
        number = _number(_text(external) or _text(internal), LARGEST_RECIPE)
        error = await self._calls.command(Command.PREPARE_RECIPE, number, "PrepareRecipe")
        report = self._exchange.report
        prepared = recipe_id(report.recipe, report.recipe_crc) if not error else recipe_id(0)
        return [_structure(prepared), _variant("Boolean", not error), _error(error)]

    async def unprepare(self, _parent: Any, external: Any, internal: Any) -> list[Any]:
        report, wanted = self._exchange.report, _text(external) or _text(internal)
        if wanted and _number(wanted) != report.recipe:
            return [_structure(recipe_id(0)), _error(Reason.UNKNOWN_RECIPE)]
        error = await self._calls.command(Command.UNPREPARE_RECIPE, cause="UnprepareRecipe")
        return [_structure(recipe_id(0 if error else report.recipe)), _error(error)]

    async def recipe_list(
        self, _parent: Any, external: Any, product: Any, prepared: Any, most: Any, start: Any, _timeout: Any
    ) -> list[Any]:
        wanted, report = _text(external), self._exchange.report
        found = []
        for number, name in sorted(self._exchange.recipes.items()):
            in_force = number == report.recipe
            fits = prepared.Value not in (YES, NO) or in_force == (prepared.Value == YES)
            if fits and wanted in ("", str(number)) and not _text(product):
                found.append(recipe_id(number, report.recipe_crc if in_force else 0, name))
        return _page(found, most, start)

    async def result(self, _parent: Any, result_id: Any, _timeout: Any) -> list[Any]:
        from asyncua import ua

        found = self._results.find(_text(result_id))
        shown = _structure(ua.ResultDataType() if found is None else found)
        return [_variant("UInt32", 0), shown, _variant("Int32", NOT_FOUND if found is None else 0)]

    async def components(self, _parent: Any, result_id: Any, _timeout: Any) -> list[Any]:
        from asyncua import ua

        found = self._results.find(_text(result_id))
        method = next(one for one in METHODS if one.name == "GetResultComponentsById")
        known = {"ResultHandle": 0, "Error": NOT_FOUND if found is None else 0}
        source = ua.ResultDataType() if found is None else found
        told = []
        for field in fields(method.gives):
            value = known.get(field.name, getattr(source, field.name, None))
            told.append(_component(field.name, field.kind, value))
        return told

    async def result_list(self, _parent: Any, state: Any, *arguments: Any) -> list[Any]:
        *ids, most, start, _timeout = arguments
        wanted = {name: _text(one) for name, one in zip(FILTERS, ids, strict=True)}
        return _page(self._results.select(state.Value or 0, wanted), most, start)


def _component(name: str, kind: str, value: Any) -> Any:
    from asyncua import ua

    plain = {"Boolean": "Boolean", "Handle": "UInt32", "ResultStateDataType": "Int32", "Int32": "Int32"}
    if kind in plain:
        return _variant(plain[kind], value or (False if kind == "Boolean" else 0))
    if kind == "UtcTime":
        return _variant("DateTime", value)
    if name == "ResultContent":
        return ua.Variant(value or [], ua.VariantType.Variant, is_array=True)
    return _structure(getattr(ua, kind)() if value is None else value)


def _page(found: list[Any], most: Any, start: Any) -> list[Any]:
    """IsComplete, number, handle, list and Error of a list's part from `start` on with at most `most` (0: all)."""
    from asyncua import ua

    first = start.Value or 0
    part = found[first : first + most.Value] if most.Value else found[first:]
    return [
        _variant("Boolean", first + len(part) >= len(found)),
        _variant("UInt32", len(part)),
        _variant("UInt32", 0),
        ua.Variant(part, ua.VariantType.ExtensionObject, is_array=True),
        _variant("Int32", 0),
    ]
