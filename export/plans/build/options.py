"""Build options as users write them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from csflow.runtime.engines.tensorrt.plan_record import BuildOptions
from csflow.runtime.errors import ConfigError

__all__ = ["MAX_BATCH", "EngineChoice", "build_options", "parse_batch", "parse_capabilities", "parse_size"]

MAX_BATCH = 64
"""The exported graphs take up to so many frames at a time."""
UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


@dataclass(frozen=True)
class EngineChoice:
    """What the user asked for."""

    target: str = "auto"
    """'auto', 'tensorrt' or 'tensorrt-rtx'."""
    skip: bool = False
    """Whether no engines are built at all."""
    options: BuildOptions = field(default_factory=BuildOptions)

    def __post_init__(self) -> None:
        if self.skip and (self.target != "auto" or self.options != BuildOptions()):
            raise ConfigError("--no-engines and an option for engines exclude each other: leave one out")


def build_options(
    batch: str = "1",
    workspace: str | None = None,
    optimization_level: int | None = None,
    compute_capability: str | None = None,
    hardware_compatible: str | None = None,
    version_compatible: bool = False,
    dla: int | None = None,
) -> BuildOptions:
    """Options from text; raises ConfigError naming the option that is wrong."""
    try:
        return BuildOptions(
            batch=parse_batch(batch),
            workspace=None if workspace is None else parse_size(workspace),
            optimization_level=optimization_level,
            compute_capabilities=parse_capabilities(compute_capability or ""),
            hardware_compatible=hardware_compatible,
            version_compatible=version_compatible,
            dla_core=dla,
        )
    except ValueError as error:
        raise ConfigError(str(error)) from None


def parse_batch(text: str) -> tuple[int, int, int]:
    """'4' is always four frames at a time, '1,4,8' is from 1 to 8, tuned for 4. Raises ConfigError."""
    parts = text.split(",")
    if len(parts) not in (1, 3) or not all(re.fullmatch(r"\s*\d{1,4}\s*", part) for part in parts):
        raise ConfigError(f"--batch {text!r}: expected one number or three, for example 1 or 1,4,8")
    numbers = [int(part) for part in parts]
    low, tuned, high = numbers if len(numbers) == 3 else numbers * 3
    if not 1 <= low <= tuned <= high <= MAX_BATCH:
        raise ConfigError(f"--batch {text!r}: expected numbers from 1 to {MAX_BATCH} that do not fall")
    return low, tuned, high


def parse_size(text: str) -> int:
    """Bytes: '800M', '2G', '1.5G' (powers of 1024). Raises ConfigError."""
    found = re.fullmatch(r"\s*(\d{1,15}(?:\.\d{1,3})?)\s*([KMG]?)I?B?\s*", text.upper())
    size = int(float(found[1]) * UNITS[found[2]]) if found else 0
    if size < 1:
        raise ConfigError(f"--workspace {text!r}: expected bytes, for example 800M or 2G")
    return size


def parse_capabilities(text: str) -> tuple[str, ...]:
    """'86,120' or '8.6,12.0' as ('8.6', '12.0'), each once. Raises ConfigError."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if wrong := [part for part in parts if not re.fullmatch(r"\d{1,2}\.?\d", part)]:
        raise ConfigError(f"--compute-capability {wrong[0]!r}: expected for example 86 or 8.6, several with commas")
    digits = [part.replace(".", "") for part in parts]
    return tuple(dict.fromkeys(f"{d[:-1]}.{d[-1]}" for d in digits))
