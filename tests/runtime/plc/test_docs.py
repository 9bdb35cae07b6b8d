"""docs/plc.md against the code: the register map, bits and numbers, and the file of settings, are what runs."""

from __future__ import annotations

import dataclasses
import re
from enum import Enum
from pathlib import Path

import pytest

from csflow.runtime.faults import Quality, Reason, Verdict
from csflow.runtime.plc.process_image import Control, Orders, Report, Status, registers
from csflow.runtime.plc.settings import ADAPTERS, Recipe, Station, read_settings
from csflow.runtime.plc.states import Command, State

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "plc.md").read_text()


def register_table(cls: type[Orders | Report]) -> str:
    rows = [
        f"| {place if words == 1 else f'{place}-{place + words - 1}'} | {name} | {kind} | {meaning} |"
        for place, words, kind, name, meaning in registers(cls)
    ]
    return "\n".join(["| register | name | type | |", "|---|---|---|---|", *rows])


def bit_table() -> str:
    rows = []
    for bit in range(16):
        names = [next((one.name for one in kind if one == 1 << bit), "") for kind in (Control, Status)]
        if any(names):
            rows.append(f"| {bit} | {names[0]} | {names[1]} |")
    return "\n".join(rows)


def code_lines() -> str:
    verdicts = ", ".join(f"16#{v.code:04X} {v.name}" for v in Verdict)
    states = ", ".join(f"{s.value} {s.name}" for s in State)
    quality = ", ".join(f"{q.value.bit_length() - 1} {q.name}" for q in Quality)
    reasons = "\n".join(f"| {r.value} | {r.meaning} |" for r in Reason)
    return (
        f"**VERDICT**: {verdicts}.\n\n**STATE**: {states}.\n\n"
        f"**QUALITY**, bits; 0 to 7 are never OK: {quality}.\n\n| REASON | |\n|---|---|\n{reasons}"
    )


@pytest.mark.parametrize("table", [register_table(Orders), register_table(Report), bit_table(), code_lines()])
def test_tables_are_those_of_the_code(table: str) -> None:
    assert table in PAGE, f"docs/plc.md lacks:\n{table}"


@pytest.mark.parametrize(("cls", "required"), [(Station, {"recipe"}), (Recipe, {"bundle", "camera"})])
def test_every_setting_has_its_row(cls: type, required: set[str]) -> None:
    for field in dataclasses.fields(cls):
        if field.name != "number":
            assert re.search(rf"^\| [^|]*`{field.name}`", PAGE, re.MULTILINE), field.name
        assert (field.default is dataclasses.MISSING) == (field.name in required)


def test_every_command_has_its_row() -> None:
    for command in Command:
        if command is not Command.NONE:
            words = command.name.title().replace("_", "")
            assert re.search(rf"^\| {command.value} \| {words}\b", PAGE, re.MULTILINE), command


def test_every_adapter_has_its_page() -> None:
    for name in ADAPTERS:
        assert (ROOT / "docs" / f"plc-{name}.md").exists(), name
        assert f"(plc-{name}.md)" in PAGE


def test_the_example_is_a_station(tmp_path: Path) -> None:
    example = re.search(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    assert example is not None
    path = tmp_path / "station.toml"
    path.write_text(example[1])
    assert read_settings(path).station.control == "modbus"


def test_the_picture_names_every_state() -> None:
    picture = (ROOT / "docs" / "images" / "plc_states.svg").read_text()
    for state in State:
        assert f">{state.value}</text>" in picture
        assert f">{state.name}</text>" in picture
    assert issubclass(State, Enum)
