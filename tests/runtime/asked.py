"""An asker that writes lines into a pipe."""

from __future__ import annotations

import os

from csflow.runtime.triggers.lines import LineTrigger


def given(pipe: tuple[int, int], data: bytes) -> LineTrigger:
    """A trigger whose asker wrote `data` and left."""
    os.write(pipe[1], data)
    os.close(pipe[1])
    return LineTrigger(pipe[0])
