"""The commands that README and docs print, block by block, and what a comment above a block says that they need.

    <!-- needs: camera, gpio -->
        csflow run --camera 0 --trigger gpio:/dev/gpiochip0:17

A block without such a comment is run by the tests as it stands, with `takes minutes` in it by `make soak`. What the
tests can play, they play: of `STAND_INS` the commands are run all the same.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["BLOCKS", "NEEDS", "PAGES", "PROGRAMS", "ROOT", "STAND_INS", "Block", "blocks_of", "commands", "program"]

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
NEEDS = {
    "camera": "a camera",
    "genicam": "a GenICam camera and its maker's producer",
    "gpio": "lines of a GPIO chip",
    "gpu": "an NVIDIA GPU",
    "data": "pictures or models that csflow does not bring",
    "hours": "a training or a measurement that takes long, on a quiet machine",
    "network": "packages or weights from elsewhere",
    "root": "root on the machine",
    "server": "another program or machine: a broker, a controller, Triton, sshd",
}
STAND_INS = {"camera", "gpio", "server"}
"""What the tests play: these commands are run all the same."""
PROGRAMS = {
    *(
        ".",
        "apt-get",
        "chrt",
        "cmake",
        "cpack",
        "csflow",
        "curl",
        "echo",
        "export",
        "git",
        "make",
        "pip",
        "plc-gateway",
    ),
    *("python", "ssh-keygen", "sudo", "tritonserver"),
}
ENDS = {"&&", "||", "|", ";", "&"}
_MARK = re.compile(r"<!-- (?:needs: (?P<needs>[a-z, ]+))?(?:; )?(?P<minutes>takes minutes)? -->")


@dataclass(frozen=True)
class Block:
    """Commands that stand together."""

    page: str
    first: int
    """Number of its first line."""
    commands: tuple[str, ...]
    """Lines as a shell takes them, those that go on joined; what programs answered is left out."""
    needs: frozenset[str]
    takes_minutes: bool

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.page}:{self.first}"

    @property
    def runs(self) -> bool:
        """Whether a test can run it: it needs nothing, or what the tests play."""
        return self.needs <= STAND_INS


def program(line: str) -> str:
    """The program that a line of shell starts, `csflow-run` and the like as `csflow`; empty where it starts none."""
    word = re.match(r"(?:\$ )?(?:\S*/)?(\.|[a-z][a-z-]*)(?= |$)", line)
    name = "" if word is None else word[1]
    return "csflow" if re.fullmatch("csflow-[a-z-]+", name) else name


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


def blocks_of(page: Path) -> Iterator[Block]:
    """Its blocks of commands, indented as code or fenced as a shell's."""
    for first, lines, above in _code(page.read_text().splitlines()):
        mark = _MARK.fullmatch(above.strip())
        typed = tuple(_typed(lines))
        if typed:
            needs = frozenset(((mark and mark["needs"]) or "").replace(" ", "").split(",")) - {""}
            yield Block(page.name, first, typed, needs, bool(mark and mark["minutes"]))


def _code(lines: list[str]) -> Iterator[tuple[int, list[str], str]]:
    """(number of its first line, its lines, the line above) of each block of code that may hold commands."""
    at = 0
    while at < len(lines):
        start, line = at, lines[at]
        at += 1
        if fence := re.match(r"```(\w*)", line):
            while not lines[at].startswith("```"):
                at += 1
            if fence[1] in ("sh", "bash", "console"):
                yield start + 2, lines[start + 1 : at], lines[start - 1]
            at += 1
        elif line.startswith("    "):
            while at < len(lines) and lines[at].startswith("    "):
                at += 1
            yield start + 1, [code[4:] for code in lines[start:at]], lines[start - 1]


def _typed(lines: list[str]) -> Iterator[str]:
    """What is typed: all until the first line that is an answer; after it what begins with a prompt."""
    answered = False
    for line in re.sub(r"[ \t]*\\\n\s*", " ", "\n".join(lines)).splitlines():
        answered = answered or program(line) not in PROGRAMS
        if not answered or line.startswith("$ "):
            yield line.removeprefix("$ ")


BLOCKS = [block for page in PAGES for block in blocks_of(page)]
