"""What an engine is called: its backend, and the precision that it computes in."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PRECISIONS", "EngineName"]

PRECISIONS = ("fp32", "fp16", "bf16", "int8")
"""From the widest to the narrowest."""


@dataclass(frozen=True)
class EngineName:
    """Backend and precision, written 'openvino-bf16', 'tensorrt-rtx-fp16', 'fake'."""

    backend: str
    precision: str = ""
    """One of `PRECISIONS`, or one for each graph of the bundle joined by '+': 'fp32+bf16'. Empty where the backend has
    none (fake), or where it is still to be chosen."""

    @classmethod
    def parse(cls, text: str) -> EngineName:
        """The name behind what `str` wrote; any text without a precision at its end is a backend's name."""
        backend, _, precision = text.rpartition("-")
        if backend and all(part in PRECISIONS for part in precision.split("+")):
            return cls(backend, precision)
        return cls(text)

    def __str__(self) -> str:
        return f"{self.backend}-{self.precision}" if self.precision else self.backend

    @property
    def narrowest(self) -> str:
        """The precision of the graph with the most rounding; empty where there is none."""
        return max(self.precision.split("+"), key=PRECISIONS.index) if self.precision else ""

    def of_graphs(self, count: int) -> tuple[str, ...]:
        """The precision of each of `count` graphs in running order.

        Raises ValueError where the name has another number of precisions.
        """
        parts = tuple(self.precision.split("+"))
        if len(parts) == 1:
            return parts * count
        if len(parts) != count:
            raise ValueError(f"{self} names {len(parts)} precisions, the bundle has {count} graphs")
        return parts
