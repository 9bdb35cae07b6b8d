"""Messages over a pipe: whole, in pieces, and what is none."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import numpy as np
import pytest

from csflow.runtime.errors import SourceError
from csflow.runtime.sources.genicam.outbox import Outbox
from csflow.runtime.sources.genicam.packets import HEADER, MAGIC, PacketReader, write_packet


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    yield reading, writing
    for handle in (reading, writing):
        with contextlib.suppress(OSError):
            os.close(handle)


def test_a_message_arrives_whole_also_in_pieces(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    image = np.arange(24, dtype=np.uint16).reshape(4, 6)
    beside, behind = os.pipe()
    write_packet(behind, {"event": "picture"}, image)
    write_packet(behind, {"event": "idle"})
    os.close(behind)
    data = os.read(beside, 4096)
    os.close(beside)
    reader, got = PacketReader(reading), []
    for byte in data:
        os.write(writing, bytes([byte]))
        if (packet := reader.read()) is not None:
            got.append(packet)
    assert [packet.told["event"] for packet in got] == ["picture", "idle"]
    np.testing.assert_array_equal(got[0].data.view(np.uint16).reshape(4, 6), image)
    os.close(writing)
    with pytest.raises(EOFError):
        reader.read()


@pytest.mark.parametrize(
    "data",
    [
        HEADER.pack(b"GDP!", 2, 0),
        HEADER.pack(MAGIC, 1 << 30, 0),
        HEADER.pack(MAGIC, 2, 1 << 60),
        HEADER.pack(MAGIC, 2, 0) + b"[]",
        HEADER.pack(MAGIC, 2, 0) + b"{]",
    ],
)
def test_what_is_no_message_is_refused(data: bytes, pipe: tuple[int, int]) -> None:
    os.write(pipe[1], data)
    with pytest.raises(SourceError, match="driver's process wrote"):
        PacketReader(pipe[0]).read()


def test_a_slow_reader_gets_the_newest_pictures_and_every_other_message() -> None:
    reading, writing = os.pipe()
    outbox = Outbox(writing, 2)
    blocker = np.zeros((2000, 1000), np.uint8)
    outbox.picture({"event": "picture", "number": -1}, blocker)
    while outbox._waiting:
        pass  # the thread has taken it, and waits in the pipe
    for number in range(5):
        outbox.picture({"event": "picture", "number": number}, np.full((2, 2), number, np.uint8))
        outbox.tell({"event": "idle"})
    outbox.warn("hot")
    os.set_blocking(reading, False)
    reader, got = PacketReader(reading), []
    while len(got) < 5:
        if (packet := reader.read()) is not None:
            got.append(packet)
    outbox.close()
    assert sorted(p.told["event"] for p in got) == ["idle", "picture", "picture", "picture", "warning"]
    assert [(p.told["number"], p.told["dropped"]) for p in got if p.told["event"] == "picture"] == [
        (-1, 0),
        (3, 2),
        (4, 3),
    ]
    for handle in (reading, writing):
        os.close(handle)
