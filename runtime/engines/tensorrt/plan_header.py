"""The first bytes of a TensorRT plan: who wrote it and for which GPUs, read without TensorRT and without a GPU.

    bytes   0..3   tag: 'ftrt' (TensorRT) or 'vtrt' (TensorRT for RTX)
            4..7   version of the serialisation, 0
           16..23  size of the whole plan in bytes, little-endian (RTX)
           24..27  major, minor, patch, build of the TensorRT that wrote it
           32      compute capabilities, one bit each (RTX)

Tag and version are as in `printPlanVersion` of NVIDIA/TensorRT's samples/common/sampleEngines.cpp. What is marked RTX
is undocumented and was read off plans of TensorRT-RTX 1.7.1; whether bytes 16..23 hold the size in the other
flavour too was never seen, so they are not judged there.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from csflow.runtime.errors import EngineError

__all__ = ["HEADER_BYTES", "PLAN_TAGS", "PlanHeader", "is_plan", "parse_plan_header", "read_plan_header", "runs_rtx"]

HEADER_BYTES = 40
PLAN_TAGS = {b"ftrt": "tensorrt", b"vtrt": "tensorrt-rtx"}
"""First four bytes of a plan: the flavour of TensorRT that wrote it."""
RTX_GPUS = ((7, 5), (8, 0), (8, 6), (8, 9), (12, 0), (12, 1))
"""Compute capabilities that TensorRT for RTX 1.7 has kernels for; above, its plans are compiled on the device."""
CAPABILITIES = (*(f"{major}.{minor}" for major, minor in RTX_GPUS), "above 12.0", "unknown")
"""Compute capability by bit of byte 32, least significant first."""


@dataclass(frozen=True)
class PlanHeader:
    """What a plan says about itself."""

    flavour: str
    """'tensorrt' or 'tensorrt-rtx'."""
    version: tuple[int, int, int, int]
    """Major, minor, patch, build of the TensorRT that wrote it; the same version must read it."""
    compute_capabilities: tuple[str, ...] | None
    """GPUs that an RTX plan runs on, for example '8.6'; None for TensorRT, whose header does not say it."""

    @property
    def version_text(self) -> str:
        """The version with dots, for example '10.3.0.26'."""
        return ".".join(map(str, self.version))


def is_plan(data: bytes) -> bool:
    """Whether bytes begin as a plan does."""
    return data[:4] in PLAN_TAGS


def read_plan_header(path: Path) -> PlanHeader:
    """The header of a plan file. Raises EngineError as `parse_plan_header` does, OSError as the file system does."""
    with path.open("rb") as file:
        return parse_plan_header(file.read(HEADER_BYTES), path.stat().st_size, str(path))


def parse_plan_header(data: bytes, size: int, where: str) -> PlanHeader:
    """The header in the first `HEADER_BYTES` of a plan.

    Args:
        data: those bytes, or all of a shorter file.
        size: bytes of the whole file.
        where: named in errors.

    Raises EngineError when the file is no plan, is cut off, or has a header of another form.
    """
    if not is_plan(data):
        raise EngineError(
            f"{where} is no TensorRT plan: it begins with {data[:4]!r}, expected one of "
            f"{', '.join(repr(tag) for tag in PLAN_TAGS)}; build it with 'csflow export'"
        )
    if len(data) < HEADER_BYTES:
        raise EngineError(f"{where} is cut off: {size} bytes, the header alone has {HEADER_BYTES}; copy it again")
    serialisation, announced = struct.unpack_from("<4xI8xQ", data)
    if serialisation != 0:
        raise EngineError(
            f"{where} is a TensorRT plan of serialisation version {serialisation}; this csflow reads 0: update csflow"
        )
    flavour = PLAN_TAGS[data[:4]]
    rtx = flavour == "tensorrt-rtx"
    if rtx and announced != size:
        raise EngineError(f"{where} has {size} bytes, its header says {announced}: it is damaged, copy it again")
    major, minor, patch, build = data[24:28]
    return PlanHeader(flavour, (major, minor, patch, build), _capabilities(data[32]) if rtx else None)


def runs_rtx(major: int, minor: int) -> bool:
    """Whether TensorRT for RTX runs on GPUs of this compute capability."""
    return (major, minor) in RTX_GPUS or major >= RTX_GPUS[-1][0]


def _capabilities(mask: int) -> tuple[str, ...]:
    return tuple(name for bit, name in enumerate(CAPABILITIES) if mask >> bit & 1)
