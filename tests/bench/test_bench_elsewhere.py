"""What `make bench` leaves to others: every command is one that csflow has, with options that it has."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import click
import pytest

from csflow.runtime.cli.main import main

sys.path.insert(0, str(Path(__file__).parent))
from bench_elsewhere import elsewhere

COMMANDS = sorted({command for row in elsewhere(True) for command in row.commands})


@pytest.mark.parametrize("text", COMMANDS)
def test_its_commands_and_their_options_are_there(text: str) -> None:
    program, name, *words = shlex.split(text.removeprefix("time "))
    assert program == "csflow"
    command = main.get_command(click.Context(main), name)
    assert command is not None
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known


def test_the_peer_is_left_to_others_where_it_was_not_timed() -> None:
    alone, beside = elsewhere(False), elsewhere(True)
    assert alone[1:] == beside
    assert "--peer" in alone[0].text()
