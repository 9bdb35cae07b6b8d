"""What a picture is registered on before the model sees it: part of a bundle's preprocessing."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["MODELS", "REFERENCE_SIDE", "Alignment"]

MODELS = ("translation", "euclidean")
"""What may differ between pictures: the place of the part, or its place and its turn."""
REFERENCE_SIDE = 64
_REFERENCE = re.compile(rf"[0-9a-f]{{{2 * REFERENCE_SIDE**2}}}")


@dataclass(frozen=True)
class Alignment:
    """How `csflow.runtime.picture.align` registers a picture."""

    model: str
    """One of `MODELS`."""
    reference: str
    """The mean good picture, 64 x 64 grey levels row by row, two hexadecimal digits each."""
    floor: int
    """Least correlation with the reference, in thousandths: a picture with less shows no part, or another one."""

    def __post_init__(self) -> None:
        if self.model not in MODELS:
            raise ValueError(f"model must be one of {', '.join(MODELS)}")
        if not _REFERENCE.fullmatch(self.reference):
            raise ValueError("reference must be 64 x 64 grey levels of two hexadecimal digits")
        if not 1 <= self.floor <= 999:
            raise ValueError("floor must lie in 1..999")
