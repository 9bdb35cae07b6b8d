"""Products with lower triangular matrices, in blocks of rows without most of the zeros behind the diagonal."""

from __future__ import annotations

__all__ = ["edges"]

BLOCKS = 8
"""Blocks of as many rows take 9/16 of the products and of the memory of the whole matrix."""
ALIGNED = 16
"""Rows of a block are a multiple: float32 numbers of one AVX-512 register."""


def edges(rows: int) -> list[int]:
    """Where blocks begin and end: block i has the rows from edge i up to edge i + 1, and as many columns as the latter.

    Few rows are one block.
    """
    steps = (round(rows * i / BLOCKS / ALIGNED) * ALIGNED for i in range(1, BLOCKS))
    return sorted({0, rows, *(step for step in steps if step < rows)})
