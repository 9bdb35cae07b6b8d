"""The table of docs/faults.md, made from the tests: `python tests/fault_table.py` writes it anew.

A test says which faults it injects: `@pytest.mark.fault("P1", "P4")`, in C and C++ a line `// fault: A1, A3` above the
function. A fault without a test stands in `UNTESTED` with the reason; there is no third way.
"""

from __future__ import annotations

import ast
import functools
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "faults.md"
BEGIN, END = "<!-- faults: made by tests/fault_table.py -->", "<!-- end of faults -->"
NATIVE = ROOT / "runtime" / "native" / "test"

FAULTS: dict[str, dict[str, tuple[str, str]]] = {
    "Camera": {
        "C1": ("unplugged while idle", "`lost`, back with growing patience"),
        "C2": ("unplugged in mid-exposure", "`frame` or `lost`, then back"),
        "C3": ("a read that never returns", "`lost` after `--timeout`"),
        "C4": ("success without a picture, or with an old one", "`frame`, `stale`"),
        "C5": ("frozen picture", "`frozen`"),
        "C6": ("picture cut off or damaged", "`truncated`; whatever is damaged gives a picture or a refusal"),
        "C7": ("another size after a replug", "`size`"),
        "C8": ("settings not as asked after a replug", "stays `lost` until they are"),
        "C9": ("another camera takes the index", "the name under by-id finds the right one"),
        "C10": ("lost network packets", "never half a picture; `truncated`"),
        "C11": ("covered lens, too much light", "`black`, `saturated`"),
        "C12": ("plugged and unplugged 200 times", "no thread, no descriptor left"),
        "C13": ("frame from before the trigger, or too old", "waits for a later one; `stale`; never OK"),
    },
    "Compute": {
        "G1": ("CUDA error that stays", "`engine`, the run ends, all is freed"),
        "G2": ("worker that dies at every start", "three restarts in ten minutes, then ERROR 409 until Reset"),
        "G3": ("no GPU memory at opening, or for the next recipe", "said so; the recipe in force stays"),
        "G4": ("no memory", "a status, no crash; a worker that the system kills is ERROR 203"),
        "G5": ("GPU missing or gone", "said so; the controller is answered, ERROR until Reset"),
        "G6": ("score or map is no finite number", "`score`, never OK"),
        "G7": ("inference becomes ten times slower", "ERROR 404 by the deadline, no queue grows"),
        "G8": ("worker killed, crashed or ended with a part", "exactly one ERROR for it, restart, golden frames"),
        "G9": ("other GPU, driver or library than the plan's", "refused, never loaded"),
        "G10": ("first start takes minutes", "not READY, the controller is answered meanwhile"),
        "G11": ("engine whose numbers differ", "does not open"),
    },
    "Model and bundle": {
        "M1": ("cut off, bits flipped, empty, extra bytes", "302 before anything is parsed"),
        "M2": ("valid hashes of somebody else, an older version again", "it is taken"),
        "M3": ("pickle that runs code", "refused; nothing of it runs"),
        "M4": ("foreign plan in place of the own", "not loaded"),
        "M5": ("names outside the bundle, links, clashes, bombs", "refused, memory bounded"),
        "M6": ("absurd manifest or thresholds", "refused in words"),
        "M7": ("tensors that overlap or reach beyond their bytes", "refused"),
        "M8": (
            "recipe changed with a part in work, or with power lost",
            "the result names the recipe used; old or new",
        ),
    },
    "Storage and power": {
        "S1": ("disk full at any write", "inspection goes on, the loss is counted; evidence ends the run"),
        "S2": ("file system read-only, fsync fails", "the same; a state that cannot be written is told (501)"),
        "S3": ("killed at any write of the state", "old or new, never a mixture; no id twice"),
        "S4": ("state or configuration damaged at the start", "refused, or put aside and told; no default thresholds"),
        "S5": ("flood of log lines", "bounded"),
    },
    "Clock": {
        "T1": ("wall clock jumps by hours, to 1970", "no timeout, no false hang, no verdict changes"),
        "T2": ("station suspended for seconds", "the heartbeat stands; the old part is ERROR, not a late OK"),
        "T3": ("heartbeat, trigger ids, result ids at the end of their range", "they wrap past zero"),
    },
    "PLC and network": {
        "P1": ("trigger while not READY, twice, with the same id", "MISSED_TRIGGER, 401 or 403, counted"),
        "P2": ("result never acknowledged", "it is held; the buffer fills, OVERRUN, not READY"),
        "P3": (
            "controller gone in mid-handshake, half-open connection",
            "control is taken, the part ended; resynchronises",
        ),
        "P4": ("two controllers", "the second reads only (406)"),
        "P5": ("controller slower than every pulse", "every part is decided once"),
        "P6": ("what is no Modbus, 1000 connections, floods, silence", "the standard's exception; others are served"),
        "P7": ("block read in two halves", "SEQUENCE_BEGIN and SEQUENCE_END differ; rejected"),
        "P8": ("OPC UA without encryption, with a wrong certificate, as admin", "refused and logged"),
        "P9": ("MQTT broker gone or slow", "bounded queue; inspection goes on"),
        "P10": ("an adapter fails inside or ends", "the client is dropped, the adapter opened again; others go on"),
        "P11": ("output lines vanish, the station ends or hangs", "0, or released and pulled to 0: not OK"),
    },
    "Embedding": {
        "A1": ("handle that is none, wrong size, closed twice or while polled", "a status, no crash"),
        "A2": ("opened and closed 10,000 times", "memory and descriptors as before"),
        "A3": ("exception inside", "a status with its text"),
        "A4": ("small stack, other locale, one call a cycle", "works; no allocation"),
        "A5": ("host that forks or has handlers of its own", "the child is told; nothing of the host changed"),
        "A6": ("interface of the last release", "same symbols, sizes and offsets"),
    },
    "Soak": {
        "L1": ("long run", "memory, threads, descriptors as at its beginning"),
        "L2": ("faults at random", "no escape, every id one result, READY when they stop"),
        "L3": ("calibration over many simulated lines", "the promised rate holds"),
    },
}

UNTESTED = {
    "M2": "bundles carry hashes, which show damage, and no signature: who may write the folder may exchange the bundle",
}


class Proof(NamedTuple):
    """One test, by its file below the root and its name."""

    file: str
    name: str


@functools.cache
def proofs() -> Mapping[str, list[Proof]]:
    """The tests of each fault, by file and place; reads all tests. Raises ValueError for a fault that is not listed."""
    found: dict[str, list[Proof]] = defaultdict(list)
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for function in _functions(ast.parse(path.read_text())):
            for name in _marks(function):
                found[name].append(Proof(str(path.relative_to(ROOT)), function.name + _when(function)))
    for path in sorted(NATIVE.glob("*.c*")):
        for names, function in re.findall(r"^// fault: (.+)\n(?:static )?void (\w+)", path.read_text(), re.MULTILINE):
            for name in names.split(", "):
                found[name].append(Proof(str(path.relative_to(ROOT)), function))
    known = {name for group in FAULTS.values() for name in group}
    if unknown := sorted(set(found) - known):
        raise ValueError(f"tests prove faults that are not in the list: {', '.join(unknown)}")
    return found


def _functions(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def _marks(function: ast.FunctionDef) -> Iterator[str]:
    for mark in function.decorator_list:
        if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.fault":
            yield from (str(ast.literal_eval(argument)) for argument in mark.args)


def _when(function: ast.FunctionDef) -> str:
    long = any(ast.unparse(mark) == "pytest.mark.soak" for mark in function.decorator_list)
    return " (in `make soak`)" if long else ""


def table() -> str:
    """The lines between the two marks."""
    found, lines = proofs(), ["| | fault | expected | proven by |", "|---|---|---|---|"]
    for group, faults in FAULTS.items():
        lines.append(f"| | **{group}** | | |")
        lines += [_row(name, *words, found.get(name, [])) for name, words in faults.items()]
    return "\n".join(lines)


def _row(name: str, fault: str, expected: str, proven: list[Proof]) -> str:
    files: dict[str, list[str]] = defaultdict(list)
    for file, test in proven:
        files[file].append(test.removeprefix("test_"))
    tests = "; ".join(f"`{_short(file)}`: {', '.join(names)}" for file, names in files.items())
    return f"| {name} | {fault} | {expected} | {tests or 'not tested: ' + UNTESTED[name]} |"


def _short(file: str) -> str:
    return file.removeprefix("tests/").removesuffix(".py")


def replaced(page: str) -> str:
    """The page with the table of today."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(replaced(PAGE.read_text()))
