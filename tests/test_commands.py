"""Every csflow command in README, docs and --help is one that this csflow takes: command, options and values exist.

What it does is tested elsewhere; here it is parsed as the program would, and not run.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from csflow.runtime.cli.main import main

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
ENDS = {"&&", "||", "|", ";", "&"}
NAMES = main.list_commands(click.Context(main))


def blocks(text: str) -> Iterator[str]:
    """Lines that are indented as code, or fenced as a shell's, those that go on joined."""
    fenced = re.findall(r"^```(?:sh|bash|console)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    plain = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    indented = [line[4:] for line in plain.splitlines() if line.startswith("    ")]
    for part in ("\n".join(indented), *fenced):
        yield from re.sub(r"[ \t]*\\\n\s*", " ", part).splitlines()


def commands(line: str) -> Iterator[list[str]]:
    """The words of each csflow command in a line of shell."""
    if not re.search(r"(^|[ /;&|$(])csflow(-\w+)* ", line):
        return
    try:
        words = shlex.split(line, comments=True)
    except ValueError:
        return  # a line of a longer quotation
    while words:
        end = next((i for i, word in enumerate(words) if word in ENDS), len(words))
        segment, words = words[:end], words[end + 1 :]
        start = next((i for i, word in enumerate(segment) if re.fullmatch(r"(\S*/)?csflow(-[a-z-]+)?", word)), None)
        if start is not None and not any("=" not in word for word in segment[:start]):
            yield segment[start:]


def parsed(words: list[str]) -> None:
    """Parse as the program does. Raises click.UsageError."""
    program = words[0].rpartition("/")[2]
    name, arguments = (program[7:], words[1:]) if "-" in program else (words[1] if words[1:] else "--help", words[2:])
    if name.startswith("-"):
        return
    command = main.get_command(click.Context(main), name)
    if command is None:
        raise click.UsageError(f"there is no command {name}")
    command.make_context(name, [word for word in arguments if word not in ("--help", "-h")])


def found(page: Path) -> list[list[str]]:
    return [words for line in blocks(page.read_text()) for words in commands(line)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_of_a_page_can_be_typed(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CSFLOW_MAX_MEGAPIXELS", "268")
    wrong = []
    for words in found(page):
        try:
            parsed(words)
        except click.UsageError as error:
            wrong.append((" ".join(words), error.format_message()))
    assert not wrong


def test_there_are_commands_to_parse() -> None:
    assert sum(len(found(page)) for page in PAGES) > 80
    with pytest.raises(click.UsageError):
        parsed(["csflow", "train", "images/", "--no-such-option"])


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
