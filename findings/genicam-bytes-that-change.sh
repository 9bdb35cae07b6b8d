#!/usr/bin/env bash
# The bytes object that genicam gives for a camera's buffer changes its content when the buffer is used again.
#
# Version:  genicam 1.6.0 through harvesters 1.4.3, with its virtual cameras (viky.cti)
# Expected: raw_buffer is a Python bytes object, and those never change: kept, it is the picture of that moment; equal
#           hashes and dictionary keys stay equal.
# Seen:     It is the producer's own memory. After queue() and a few more pictures the same object, with the same id,
#           has other bytes, while hash() still gives the value of the old ones.
# Costs:    A rejected part's picture that is kept without a copy is that of a later, good part. Code that checks
#           isinstance(data, bytes) before it keeps it is wrong here, and only here.
# Instead:  numpy.frombuffer(raw_buffer, ...).copy() or a bytearray of it, before queue(); bytes(raw_buffer) copies
#           nothing.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --disable-pip-version-check numpy==2.4.6 genicam==1.6.0 harvesters==1.4.3
cd "$work"
"$work/venv/bin/python" - <<'PY'
import os
import sys
import zlib

import genicam
from harvesters.core import Harvester

harvester = Harvester()
harvester.add_file(os.path.join(os.path.dirname(genicam.__file__), "viky.cti"))
harvester.update()
acquirer = harvester.create(1)
acquirer.remote_device.node_map.AcquisitionFrameRate.value = 100
acquirer.start()
for _ in range(30):  # the game is under way
    acquirer.fetch(timeout=5).queue()
buffer = acquirer.fetch(timeout=5)
kept = buffer.module.raw_buffer
copy = bytes(kept)
true_copy = bytearray(kept)
hashed, sum_before = hash(kept), zlib.crc32(kept)
buffer.queue()
for _ in range(60):
    acquirer.fetch(timeout=5).queue()
seen = {
    "it is a bytes object": type(kept) is bytes,
    "its content has changed": zlib.crc32(kept) != sum_before,
    "its hash has not": hash(kept) == hashed,
    "bytes(...) of it is no copy": copy is kept,
    "a bytearray of it is": zlib.crc32(true_copy) == sum_before,
}
print("CRC before:", hex(sum_before), "; after:", hex(zlib.crc32(kept)))

for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
sys.stdout.flush()
os._exit(not all(seen.values()))
PY
