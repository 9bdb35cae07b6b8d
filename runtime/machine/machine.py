"""What `csflow doctor` asks of the machine it runs on, in one place that tests replace by a fake.

Whatever may hang or crash (a driver, a GPU library, an import) is asked in a child process with a time limit.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = [
    "Answer",
    "Machine",
    "ask_child",
    "disk_free",
    "installed_version",
    "module_file",
    "processor_instructions",
    "processor_names",
    "sums_in_32_bits",
]

TIMEOUT_S = 30.0
# The working directory is no place to import from: a folder named openvino/ would hide the library.
_CHILD = "import sys; sys.path[:] = [p for p in sys.path if p]; from csflow.runtime.machine.probes import main; main()"


@dataclass(frozen=True)
class Answer:
    """What a child process found out."""

    values: dict[str, Any] = field(default_factory=dict)
    problem: str = ""
    """Why there are no values, in words: the loader's message, a crash, no answer in time; empty where there are."""


def ask_child(*question: str, timeout_s: float = TIMEOUT_S) -> Answer:
    """Run one probe of `csflow.runtime.machine.probes` in a child process.

    Args:
        question: the probe's name and its arguments.
        timeout_s: seconds until the child is killed and given up.
    """
    command = [sys.executable, "-c", _CHILD, *question]
    with_pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
    child = subprocess.Popen(command, text=True, errors="replace", **with_pipes)
    try:
        output, messages = child.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        _abandon(child)
        return Answer(problem=f"gave no answer within {timeout_s:g} s")
    if child.returncode:
        return Answer(problem=_ending(child.returncode, messages))
    return _answer(output)


def _abandon(child: subprocess.Popen[str]) -> None:
    child.kill()
    try:
        child.communicate(timeout=1)
    except subprocess.TimeoutExpired:
        # A process that waits inside a driver dies when the driver lets it; doctor must not wait for that.
        return


def _ending(code: int, messages: str) -> str:
    said = [line.strip() for line in messages.splitlines() if line.strip()]
    last = f": {said[-1][:200]}" if said else ""
    if code < 0:
        return f"crashed with {signal.Signals(-code).name}{last}"
    return f"failed{last}"


def _answer(output: str) -> Answer:
    # Libraries print to stdout too; the probe's answer is the last line.
    try:
        values = json.loads(output.strip().splitlines()[-1])
    except (IndexError, ValueError):
        return Answer(problem="ended without an answer")
    problem = values.pop("problem", "")
    return Answer(values, problem)


def installed_version(distribution: str) -> str | None:
    """Version of an installed distribution, or None. Nothing is imported."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def module_file(module: str) -> Path | None:
    """Where a top-level module would be imported from, or None. Nothing is imported."""
    spec = importlib.util.find_spec(module)
    return Path(spec.origin) if spec is not None and spec.origin is not None else None


def disk_free(path: Path) -> int:
    """Free bytes for this user on the file system of `path`."""
    return shutil.disk_usage(path).free


def _requirements() -> tuple[str, ...]:
    return tuple(importlib.metadata.requires("csflow") or ())


def _usable(path: Path) -> bool:
    return os.access(path, os.R_OK | os.W_OK)


@dataclass(frozen=True)
class Machine:
    """Ways to ask this machine; a test replaces each one."""

    root: Path = Path("/")
    """Below it lie proc, dev, etc, sys and var."""
    ask: Callable[..., Answer] = ask_child
    version: Callable[[str], str | None] = installed_version
    module: Callable[[str], Path | None] = module_file
    requirements: Callable[[], tuple[str, ...]] = _requirements
    """csflow's own requirements, as its metadata states them."""
    which: Callable[[str], str | None] = shutil.which
    usable: Callable[[Path], bool] = _usable
    """Whether this user may read and write a path."""
    cores: Callable[[], int] = lambda: len(os.sched_getaffinity(0))
    """Cores that this process may use."""
    disk_free: Callable[[Path], int] = disk_free

    def text(self, path: str) -> str:
        """The text of a file below `root`; empty where there is none or it may not be read."""
        try:
            return (self.root / path).read_bytes().decode(errors="replace").strip("\0\n ")
        except OSError:
            return ""

    def paths(self, pattern: str) -> list[str]:
        """Absolute paths, as seen from `root`, that match a glob, sorted."""
        return sorted("/" + str(p.relative_to(self.root)) for p in self.root.glob(pattern))


def processor_names(machine: Machine | None = None) -> str:
    """The processor, the board and the NVIDIA GPUs of this machine, as its kernel names them; no library is asked."""
    machine = machine or Machine()
    cpu = _field(machine.text("proc/cpuinfo"), "model name")
    gpus = [_field(machine.text(path[1:]), "Model") for path in machine.paths("proc/driver/nvidia/gpus/*/information")]
    names = [name for name in (cpu, machine.text("proc/device-tree/model"), *gpus) if name]
    return ", ".join(names) or platform.machine()


def processor_instructions(machine: Machine | None = None) -> str:
    """The line of /proc/cpuinfo that names what the first processor can (x86 'flags', ARM 'Features'), else empty.

    Virtual machines bear one name, "Intel Xeon Processor", with AMX and without.
    """
    text = (machine or Machine()).text("proc/cpuinfo")
    return _field(text, "flags") or _field(text, "Features")


def sums_in_32_bits(instructions: str) -> bool:
    """Whether a processor of these instructions, as the kernel names them, sums products of eight bits in 32.

    x86 without VNNI adds each two of them in 16 bits, which saturate.
    """
    return not {"avx512_vnni", "avx_vnni", "asimd"}.isdisjoint(instructions.split())


def _field(text: str, name: str) -> str:
    rows = (line.partition(":") for line in text.splitlines())
    return next((value.strip() for key, _, value in rows if key.strip() == name), "")
