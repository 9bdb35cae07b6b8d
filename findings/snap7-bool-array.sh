#!/usr/bin/env bash
# python-snap7 takes an array of BOOL for one bit of every byte, and writing it clears the bytes behind.
#
# Version:  python-snap7 3.3.0, its own client and server
# Expected: Array[0..7] of Bool at DB1.DBX0.0 is one byte: S7 packs the elements of such an array bit by bit. Reading
#           "DB1.DBX0.0:BOOL[8]" gives those eight bits, writing it changes that byte.
# Seen:     Reading gives bit 0 of the bytes 0 to 7. Writing sets bit 0 of those eight bytes and clears every other bit
#           of the seven behind the first: whatever else lies there (counters, recipe numbers, set points) is lost, without
#           an error.
# Costs:    Results of eight parts written as an array of bits arrive as one, and wipe seven bytes of the PLC's data
#           block.
# Instead:  Read and write the byte or word (DB1.DBB0:BYTE) and take it apart by shifts.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --disable-pip-version-check python-snap7==3.3.0
cd "$work"
"$work/venv/bin/python" - <<'PY'
import logging
import socket
import sys

from snap7 import Client
from snap7.server import Server
from snap7.type import SrvArea

logging.disable(logging.CRITICAL)
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
block = bytearray(16)
server = Server()
server.register_area(SrvArea.DB, 1, block)
server.start_to("127.0.0.1", port)
client = Client()
client.connect("127.0.0.1", 0, 1, port)

block[:] = bytes([0b10110010, *range(0x11, 0x20)])
print("data block:     ", block.hex(" "))
bits = [bool(block[0] >> bit & 1) for bit in range(8)]
read = client.read_tag("DB1.DBX0.0:BOOL[8]")
print("bits of byte 0: ", [int(bit) for bit in bits])
print("BOOL[8] is read:", [int(bit) for bit in read])
columns = [bool(byte & 1) for byte in block[:8]]
before = bytes(block)
client.write_tag("DB1.DBX0.0:BOOL[8]", [True, False] * 4)
after = client.db_read(1, 0, 16)
print("after writing:  ", after.hex(" "))
client.write_tag("DB1.DBX8.1:BOOL", True)
single = client.db_read(1, 8, 1)[0]
client.disconnect()
server.stop()
seen = {
    "reading does not give the bits of the byte": read != bits,
    "but the lowest bit of eight bytes": read == columns,
    "writing leaves the other bits of the first byte": after[0] == before[0] & ~1 | 1,
    "and clears the seven bytes behind it, but for bit 0": list(after[1:8]) == [0, 1, 0, 1, 0, 1, 0],
    "the bytes after these are as before": after[8:] == before[8:],
    "a single BOOL leaves its neighbours alone": single == before[8] | 2,
}

for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
sys.exit(not all(seen.values()))
PY
