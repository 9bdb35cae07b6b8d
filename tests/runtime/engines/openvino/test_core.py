"""Memory that compiling needed is not kept for the life of a run, nor weights that nobody reads any more."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import re
import resource
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("openvino", reason="the extra openvino is not installed")

from csflow.runtime.engines.openvino.core import return_free_memory, return_mapped_pages

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


def in_memory(file: Path) -> int:
    """Kilobytes of a mapped file that lie in the memory of this process."""
    maps = Path("/proc/self/smaps").read_text().split(str(file))[1]
    found = re.search(r"^Rss: +(\d+) kB", maps, re.MULTILINE)
    assert found is not None
    return int(found[1])


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.skipif(os.uname().release.startswith(("4.", "5.0", "5.1.", "5.2.", "5.3.")), reason="no MADV_PAGEOUT")
def test_pages_of_cached_graphs_leave_memory_and_come_back_when_read(tmp_path: Path) -> None:
    blob, other = tmp_path / "1.blob", tmp_path / "1.txt"
    content = bytes(range(256)) * 16384
    for file in (blob, other):
        with file.open("wb") as written:
            written.write(content)
            os.fdatasync(written.fileno())  # `os.fsync` does nothing in tests
    with contextlib.ExitStack() as stack:
        ours, theirs = (stack.enter_context(file.open("rb")) for file in (blob, other))
        mapped, untouched = (
            stack.enter_context(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)) for file in (ours, theirs)
        )
        assert mapped[:] == untouched[:] == content
        before, kept = in_memory(blob), in_memory(other)
        return_mapped_pages(tmp_path)
        assert in_memory(blob) < before // 2
        assert in_memory(other) == kept
        assert mapped[:] == content


def test_another_c_library_is_no_obstacle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: object())
    return_free_memory()
    return_mapped_pages(Path("/"))
