#!/usr/bin/env bash
# pymodbus packs bit 0 of a list into bit 8 of a register.
#
# Version:  pymodbus 3.16.1
# Expected: convert_to_registers([True, False, ...], BITS) sets the least significant bit of the register: 0x0001, the
#           bit that a PLC calls X0 or %MW0.0.
# Seen:     0x0100. The two bytes of each register are swapped in both directions; word_order only swaps whole
#           registers. A round trip through the library hides it.
# Costs:    Every status bit arrives at the PLC eight places away: READY is read as something else, and OK may be read
#           where FAULT was meant.
# Instead:  Pack bits by shifts into an integer, send that as UINT16, and test against a second implementation.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --disable-pip-version-check pymodbus==3.16.1
cd "$work"
"$work/venv/bin/python" - <<'PY'
import sys

from pymodbus.client import ModbusTcpClient as Client

seen = {}
for bit in (0, 7, 8, 15):
    bits = [place == bit for place in range(16)]
    packed = Client.convert_to_registers(bits, Client.DATATYPE.BITS)
    unpacked = Client.convert_from_registers([1 << bit], Client.DATATYPE.BITS).index(True)
    print(f"bit {bit:2}: packed as {packed[0]:#06x}; register {1 << bit:#06x} read as bit {unpacked}")
    seen[f"bit {bit} lands in bit {bit ^ 8}"] = packed == [1 << (bit ^ 8)] and unpacked == bit ^ 8
bits = [True] + [False] * 31
for order in ("big", "little"):
    print(order, [f"{word:#06x}" for word in Client.convert_to_registers(bits, Client.DATATYPE.BITS, word_order=order)])
seen["word_order does not mend it"] = Client.convert_to_registers(bits, Client.DATATYPE.BITS, word_order="little") == [
    0,
    256,
]

for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
sys.exit(not all(seen.values()))
PY
