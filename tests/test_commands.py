"""Every csflow command in README, docs and --help is one that this csflow takes: command, options and values exist.

What it does is tested elsewhere; here it is parsed as the program would, and not run.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.cli.main import main

from .docs.blocks import BLOCKS, PAGES, ROOT, blocks_of, commands, program

MAKEFILE, PROJECT = ((ROOT / name).read_text() for name in ("Makefile", "pyproject.toml"))
EXTRAS = re.compile(r"(?:\.|\.whl)\[([a-z0-9,-]+)\]")
NAMES = main.list_commands(click.Context(main))


def parsed(words: list[str]) -> None:
    """Parse as the program does. Raises click.UsageError."""
    first = words[0].rpartition("/")[2]
    name, arguments = (first[7:], words[1:]) if "-" in first else (words[1] if words[1:] else "--help", words[2:])
    if name.startswith("-"):
        return
    command = main.get_command(click.Context(main), name)
    if command is None:
        raise click.UsageError(f"there is no command {name}")
    command.make_context(name, [word for word in arguments if word not in ("--help", "-h")])


def named(text: str) -> Iterator[list[str]]:
    """The commands that a page names within its text, between back quotes."""
    plain = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    plain = re.sub(r"^    .*$", "", plain, flags=re.MULTILINE)
    for span in re.findall(r"`((?:[A-Z_]+=\S+ )?csflow(?:-[a-z-]+)? [^`]+)`", plain):
        yield from commands(span.replace("\n", " ") + " ")


def is_cut_short(words: list[str], error: click.UsageError) -> bool:
    """Whether a command within a text leaves out what does not matter there, or has a word for a value."""
    left_out = isinstance(error, click.MissingParameter) or "requires an argument" in error.format_message()
    return left_out or any(re.fullmatch(r"[A-Z][A-Z:,]*|.*(\.\.\.|…).*", word) for word in words[2:])


def wrong(found: Iterable[list[str]], cut_short: bool) -> Iterator[tuple[str, str]]:
    for words in found:
        try:
            parsed(words)
        except click.UsageError as error:
            if not (cut_short and is_cut_short(words, error)):
                yield " ".join(words), error.format_message()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_of_a_page_can_be_typed(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CSFLOW_MAX_MEGAPIXELS", "268")
    typed = [words for block in blocks_of(page) for line in block.commands for words in commands(line)]
    assert list(wrong(typed, cut_short=False)) == []
    assert list(wrong(named(page.read_text()), cut_short=True)) == []


def test_there_are_commands_to_parse() -> None:
    assert sum(program(line) == "csflow" for block in BLOCKS for line in block.commands) > 120
    assert sum(1 for page in PAGES for _ in named(page.read_text())) > 100
    with pytest.raises(click.UsageError):
        parsed(["csflow", "train", "images/", "--no-such-option"])


def test_what_make_pip_and_python_are_given_is_there() -> None:
    for line in (line for block in BLOCKS for line in block.commands):
        if program(line) == "make":
            assert re.search(rf"^{line.split()[1]}:", MAKEFILE, re.MULTILINE), line
        if script := re.match(r"python (tests/\S+\.py) (.*)", line):
            code = (ROOT / script[1]).read_text()
            assert all(f'"{option}"' in code for option in re.findall(r" (--[a-z-]+)", f" {script[2]}")), line
    extras = {extra for page in PAGES for found in EXTRAS.findall(page.read_text()) for extra in found.split(",")}
    assert len(extras) > 10
    assert all(re.search(rf"^{extra} = \[", PROJECT, re.MULTILINE) for extra in extras)


@pytest.mark.parametrize("name", NAMES)
def test_every_help_has_an_example_that_can_be_typed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CSFLOW_MAX_MEGAPIXELS", "268")
    command = main.get_command(click.Context(main), name)
    assert command is not None
    shown = CliRunner().invoke(command, ["--help"]).output
    examples = [line for line in shown.splitlines() if line.startswith(f"  csflow {name}")]
    assert examples
    for line in examples:
        for words in commands(line.strip()):
            parsed(words)


def test_the_list_of_commands_is_not_cut() -> None:
    assert "..." not in CliRunner().invoke(main, ["--help"]).output.partition("Commands:")[2]


@pytest.mark.parametrize(
    "words",
    [
        ["verify", "--limit", "3"],
        ["label", "--to", "kept", "--wrong", "--reason", "dust"],
        ["train", "images", "--candidates", "padim"],
        ["roi", "a.png", "--serve", "127.0.0.1:8000"],
        ["capture", "images", "--serve", "127.0.0.1:8000"],
    ],
)
def test_an_option_that_would_be_passed_over_is_refused(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 2, done.output
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("command", [("calibrate", "."), ("export",), ("verify",)])
def test_a_bundle_that_may_not_be_written_is_refused_before_any_work(
    calibrated_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.setattr(os, "access", lambda path, *_: Path(path) != calibrated_bundle.path)
    done = CliRunner().invoke(main, [*command, "--bundle", str(calibrated_bundle.path)])
    assert (done.exit_code, "may not be written" in done.stderr) == (3, True)


@pytest.mark.parametrize("name", NAMES)
def test_every_share_is_taken_in_percent(name: str) -> None:
    command = main.get_command(click.Context(main), name)
    assert command is not None
    ranges = [(o.name, o.type) for o in command.params if isinstance(o.type, click.FloatRange)]
    assert not [option for option, kind in ranges if kind.max is not None and kind.max <= 1.0], "Share takes 5%, too"
