"""Memory that compiling needed is not kept for the life of a run."""

from __future__ import annotations

import ctypes
import resource
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("openvino", reason="the extra openvino is not installed")

from csflow.runtime.engines.openvino.core import return_free_memory

BLOCK, BLOCKS = 64 << 10, 2000


def resident() -> int:
    """Bytes of this process that lie in memory."""
    words = Path("/proc/self/statm").read_text().split()
    return int(words[1]) * resource.getpagesize()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_what_was_freed_goes_back_to_the_system() -> None:
    library: Any = ctypes.CDLL(None)
    if not hasattr(library, "malloc_trim"):
        pytest.skip("not glibc")
    library.malloc.restype = ctypes.c_void_p
    library.free.argtypes = [ctypes.c_void_p]
    blocks = [library.malloc(BLOCK) for _ in range(BLOCKS)]
    for block in blocks:
        ctypes.memset(block, 1, BLOCK)
    last = library.malloc(BLOCK)
    for block in blocks:
        library.free(block)
    before = resident()
    return_free_memory()
    library.free(last)
    assert before - resident() > BLOCK * BLOCKS // 2


def test_another_c_library_is_no_obstacle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: object())
    return_free_memory()
