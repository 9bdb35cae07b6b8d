"""The precisions that OpenVINO can run a bundle in here: timed, judged by the gate, one chosen, all in one table."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from csflow.export.gate.verify import GateReport
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.golden import load_golden
from csflow.runtime.bundle.verification import EngineRecord
from csflow.runtime.engines.name import EngineName
from csflow.runtime.engines.opening import load_engine
from csflow.runtime.engines.precision import ADVANTAGE, worth_it

__all__ = ["Candidate", "judge_candidates", "table"]

ROUNDS = 9
PASSED = "passed; "
AGAIN = "csflow run times those that passed again, at its first start on its machine, and takes what is faster there"


@dataclass(frozen=True)
class Candidate:
    """One precision."""

    engine: str
    """Its name, for example 'openvino-fp32+bf16'."""
    seconds: float
    """Median seconds a frame, all candidates timed in turn."""
    score_error: float
    """On the golden frames, as the gate's limits take it."""
    map_error: float
    verdicts: int | None
    """That differ outside the band; None where the bundle is not calibrated."""
    chosen: bool
    reason: str
    """'chosen', or why not."""


def judge_candidates(bundle: Bundle, report: GateReport) -> tuple[Candidate, ...]:
    """Time the engines of OpenVINO in a report of the gate, and choose one as `csflow run` does."""
    records = {n: r for n, r in report.records.items() if EngineName.parse(n).backend == "openvino"}
    passed = [name for name, record in records.items() if record.passed]
    if not passed:
        return ()
    seconds = _seconds(bundle, tuple(records))
    chosen = worth_it({name: seconds[name] for name in passed})
    found = []
    for name, record in records.items():
        problems = "; ".join(record.problems(report.calibration))
        reason = "chosen" if name == chosen else problems or _slow(seconds, name, chosen)
        found.append(_candidate(name, record, seconds[name], name == chosen, reason))
    return tuple(found)


def table(candidates: Sequence[Candidate]) -> list[str]:
    """For people."""
    if not candidates:
        return []
    rows = [("precision", "ms", "score error", "map error", "verdicts", "")]
    for c in candidates:
        verdicts = "-" if c.verdicts is None else str(c.verdicts)
        precision = EngineName.parse(c.engine).precision
        rows.append((precision, f"{c.seconds * 1e3:.1f}", f"{c.score_error:.2%}", f"{c.map_error:.2%}", verdicts, ""))
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    told = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=False)) for row in rows]
    lines = [
        f"{line}  {reason}".rstrip() for line, reason in zip(told, ["", *(c.reason for c in candidates)], strict=True)
    ]
    several = sum(c.chosen or c.reason.startswith(PASSED) for c in candidates) > 1
    return [*lines, *([AGAIN] if several else [])]


def _candidate(name: str, record: EngineRecord, seconds: float, chosen: bool, reason: str) -> Candidate:
    figures, decisions = record.figures, record.decisions
    flips = decisions.flips if decisions else None
    return Candidate(name, seconds, figures.golden_score_error, figures.golden_map_error, flips, chosen, reason)


def _slow(seconds: dict[str, float], name: str, chosen: str) -> str:
    share = seconds[name] / seconds[chosen]
    if share >= 1.0:
        return f"{PASSED}takes {share:.2f} times as long as {EngineName.parse(chosen).precision}"
    return f"{PASSED}takes {share:.0%} of the time of {EngineName.parse(chosen).precision}, not under {ADVANTAGE:.0%}"


def _seconds(bundle: Bundle, names: Sequence[str]) -> dict[str, float]:
    frame = load_golden(bundle).pictures[0][0]
    times: dict[str, list[float]] = {name: [] for name in names}
    with ExitStack() as stack:
        engines = {name: stack.enter_context(load_engine(bundle, name)) for name in names}
        for _ in range(ROUNDS + 1):
            for name, engine in engines.items():
                start = time.perf_counter()
                engine.infer([frame])
                times[name].append(time.perf_counter() - start)
    # The first of each is the warm-up.
    return {name: sorted(values[1:])[ROUNDS // 2] for name, values in times.items()}
