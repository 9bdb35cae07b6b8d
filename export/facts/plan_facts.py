"""What a TensorRT plan says about itself, for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from csflow.runtime.engines.tensorrt.plan_header import PlanHeader, read_plan_header
from csflow.runtime.engines.tensorrt.plan_record import PlanRecord, read_record, record_path
from csflow.runtime.errors import EngineError

__all__ = ["PlanFacts", "bundle_plan_text", "plan_facts", "plan_lines", "plan_text", "record_text", "size_text"]

NAMES = {"tensorrt": "TensorRT", "tensorrt-rtx": "TensorRT for RTX"}


@dataclass(frozen=True)
class PlanFacts:
    """A plan file."""

    path: str
    size: int
    """Bytes."""
    header: PlanHeader
    record: PlanRecord | None
    """What its record says; None where it has none that can be read."""


def plan_facts(path: Path) -> PlanFacts:
    """Read the header of a plan, and the record beside it. Raises EngineError when the plan is damaged or none."""
    header = read_plan_header(path)
    record = read_record(path) if record_path(path).is_file() else None
    return PlanFacts(str(path), path.stat().st_size, header, record)


def plan_lines(facts: PlanFacts) -> list[str]:
    """The facts as lines for a terminal."""
    told = f"  {record_text(facts.record)}" if facts.record else "  no record beside it says what it was built from"
    return [f"{facts.path}: TensorRT plan, {size_text(facts.size)}", f"  {plan_text(facts.header)}", told]


def bundle_plan_text(path: Path, hashes: Mapping[str, str]) -> str:
    """A plan of a bundle in one line, and whether it belongs to the bundle's graph.

    Args:
        hashes: SHA-256 of the bundle's files, by name.
    """
    try:
        facts = plan_facts(path)
    except EngineError as error:
        return str(error)
    if facts.record is None:
        return f"{plan_text(facts.header)}; without record"
    graph = f"graphs/{facts.record.precision}/{facts.record.graph}.onnx"
    fits = "" if hashes.get(graph) == facts.record.onnx_sha256 else f"; of another {graph}: run 'csflow export' again"
    return f"{plan_text(facts.header)}; {record_text(facts.record)}{fits}"


def record_text(record: PlanRecord) -> str:
    """What a record says, in one line."""
    low, tuned, high = record.options.batch
    batch = f"batch {low}" if low == high else f"batch {low} to {high}, tuned for {tuned}"
    where = f"on {record.gpu}" if record.gpu else "without a GPU"
    half = record.audit.half_in_plan
    share = "" if half is None else f", {half:.1%} of products in half precision ({record.audit.source})"
    return (
        f"{record.precision} {record.graph}, {batch}{share}; built {record.created_utc} {where} "
        f"in {record.build_s:.1f} s from ONNX {record.onnx_sha256[:16]}"
    )


def plan_text(header: PlanHeader) -> str:
    """Who wrote a plan and who can read it, in one line."""
    writer = f"{NAMES[header.flavour]} {header.version_text}"
    if header.compute_capabilities is None:
        return f"{writer}; runs with this version only, on the kind of GPU that built it, unless built to be compatible"
    gpus = ", ".join(header.compute_capabilities) or "none"
    return f"{writer}; runs on GPUs of compute capability {gpus}"


def size_text(size: int) -> str:
    """Bytes in the unit that suits them, decimal: '1.2 GB', '340 kB'."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} bytes"
