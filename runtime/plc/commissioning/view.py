"""What a commissioner sees of a station: the process image in words, who has control, and the last handshakes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from csflow.runtime.faults import Reason, Verdict
from csflow.runtime.plc.commissioning.journal import Journal, Passage
from csflow.runtime.plc.exchange import Exchange
from csflow.runtime.plc.process_image import Control, Orders, Report, Status
from csflow.runtime.plc.states import Command, State

__all__ = ["station_view", "why_not_ready"]

WORDS = {v.code: v.name for v in Verdict}
MEANINGS = {int(r): r.meaning for r in Reason}
COUNTED = ("triggers", "completed", "ok", "nok", "uncertain", "error", "missed", "overruns", "worker_restarts")
BLOCKED = {
    State.PREOPERATIONAL: "the state is PREOPERATIONAL: command SelectAutomatic",
    State.HALTED: "the state is HALTED: command Reset",
    State.INITIALIZED: "no recipe is ready: its worker starts, or PrepareRecipe is needed",
}


def why_not_ready(report: Report, orders: Orders) -> list[str]:
    """What keeps READY at 0, each with what is to be done about it; empty where READY is 1, or a part is in work."""
    status, control = Status(report.status), Control(orders.control)
    if status & (Status.READY | Status.BUSY):
        return []
    if report.state == State.ERROR:
        why = [f"the state is ERROR: {MEANINGS.get(report.error_code, f'code {report.error_code}')}"]
    else:
        why = [BLOCKED[State(report.state)]] if report.state in BLOCKED else []
    levels = (
        (not control & Control.ENABLE, "ENABLE is 0: nobody asks for inspection"),
        (control & Control.SET_OFFLINE, "SET_OFFLINE is 1"),
        (control & Control.TRIGGER, "TRIGGER is still 1: lower it when TRIGGER_ACK is 1"),
        (status & Status.RESULT_VALID, "a result waits: read it and raise RESULT_ACK"),
        (
            control & Control.RESULT_ACK and not status & Status.RESULT_VALID,
            "RESULT_ACK is still 1: lower it when RESULT_VALID is 0",
        ),
        (status & Status.CMD_EXECUTING, f"the command {_command(orders.command)} is in work"),
    )
    return why + [words for holds, words in levels if holds]


def _command(number: int) -> str:
    return Command(number).name if number in set(Command) else str(number)


def station_view(exchange: Exchange, journal: Journal, settings: Mapping[str, Any], now_s: float) -> dict[str, Any]:
    """All that the page shows, as a JSON object.

    Args:
        exchange: where the station and its adapters meet.
        journal: what has happened.
        settings: 'control', name of the adapter that commands, and 'adapters', what people call each.
        now_s: seconds, monotonic.
    """
    report, orders = exchange.report, exchange.orders
    passages, complaints = journal.kept()
    name = exchange.recipes.get(report.recipe, "")
    return {
        **settings,
        "boot_id": report.boot_id,
        "uptime_s": report.uptime_s,
        "state": State(report.state).name if report.state else "STARTING",
        "ready": bool(report.status & Status.READY),
        "why": why_not_ready(report, orders),
        "holder": exchange.holder,
        "recipe": f"{report.recipe} {name}".strip() if report.recipe else "",
        "error": MEANINGS.get(report.error_code, "") if report.error_code else "",
        "warning": MEANINGS.get(report.warning_code, "") if report.warning_code else "",
        "control_bits": _bits(Control, orders.control),
        "status_bits": _bits(Status, report.status),
        "orders": _orders(orders),
        "result": _result(report),
        "counters": {name: getattr(report, name) for name in COUNTED},
        "handshakes": [_passage(one, now_s) for one in reversed(passages)],
        "complaints": [{"age_s": round(now_s - at_s, 1), "text": text} for at_s, text in reversed(complaints)],
    }


def _bits(kind: type[Control] | type[Status], value: int) -> list[tuple[str, bool]]:
    return [(str(bit.name), bool(value & bit)) for bit in kind]


def _orders(orders: Orders) -> dict[str, Any]:
    command = f"{_command(orders.command)} {orders.argument}" if orders.command else ""
    told = {"heartbeat": orders.heartbeat, "trigger id": orders.trigger_id, "part id": orders.part_id}
    return {**told, "command": command, "deadline ms": orders.deadline_ms or "the recipe's"}


def _result(report: Report) -> dict[str, Any]:
    """The result that is to be read; empty where there is none."""
    if not report.status & Status.RESULT_VALID:
        return {}
    return {
        "verdict": WORDS.get(report.verdict, "NONE"),
        "trigger id": report.result_trigger_id,
        "result id": report.result_id,
        "part id": report.result_part_id,
        "reason": MEANINGS.get(report.reason, str(report.reason)) if report.reason else "",
        "score / threshold": "" if report.ratio_x1000 == 0xFFFF else f"{report.ratio_x1000 / 1000:.3f}",
        "recipe": report.recipe_used,
    }


def _passage(one: Passage, now_s: float) -> dict[str, Any]:
    steps = {
        "trigger": 0.0,
        "lowered": one.lowered_ms,
        "exposed": one.exposed_ms,
        "verdict": one.verdict_ms,
        "acknowledged": one.acknowledged_ms,
    }
    told = {name: None if ms is None else round(ms, 1) for name, ms in steps.items()}
    age_s, word = round(now_s - one.begun_s, 1), one.verdict + ", not acknowledged" * one.taken_back
    return {"trigger_id": one.trigger_id, "part_id": one.part_id, "age_s": age_s, "word": word, **told}
