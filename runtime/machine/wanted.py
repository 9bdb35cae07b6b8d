"""So many bytes of a pipe that does not block, however they come."""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray

__all__ = ["WantedBytes"]


class WantedBytes:
    """Collects what is wanted next; a picture is read into the array that becomes it."""

    def __init__(self, handle: int, size: int) -> None:
        """
        Args:
            handle: a descriptor that does not block.
            size: bytes wanted first.
        """
        self._handle = handle
        self.want(size)

    def want(self, size: int) -> None:
        """Begin anew with `size` bytes; what was collected stays the caller's."""
        self.data: NDArray[np.uint8] = np.empty(size, dtype=np.uint8)
        """(size,) uint8, whole once `fill` has said so."""
        self._filled = 0

    def fill(self) -> bool:
        """Whether all of `data` is there, after what could be read without waiting. Raises EOFError at the end."""
        while self._filled < self.data.size:
            try:
                count = os.readv(self._handle, [self.data.data[self._filled :]])
            except BlockingIOError:
                return False
            if count == 0:
                raise EOFError
            self._filled += count
        return True
