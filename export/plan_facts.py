"""What a TensorRT plan says about itself, for people."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from csflow.runtime.plan import PlanHeader, read_plan_header

__all__ = ["PlanFacts", "plan_facts", "plan_lines", "plan_text", "size_text"]

NAMES = {"tensorrt": "TensorRT", "tensorrt-rtx": "TensorRT for RTX"}


@dataclass(frozen=True)
class PlanFacts:
    """A plan file."""

    path: str
    size: int
    """Bytes."""
    header: PlanHeader


def plan_facts(path: Path) -> PlanFacts:
    """Read the header of a plan. Raises EngineError when it is damaged or no plan."""
    return PlanFacts(str(path), path.stat().st_size, read_plan_header(path))


def plan_lines(facts: PlanFacts) -> list[str]:
    """The facts as lines for a terminal."""
    return [f"{facts.path}: TensorRT plan, {size_text(facts.size)}", f"  {plan_text(facts.header)}"]


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
