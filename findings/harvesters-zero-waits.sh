#!/usr/bin/env bash
# try_fetch(timeout=0) of harvesters does not look and return: it waits for the next picture, for ever if none comes.
#
# Version:  harvesters 1.4.3, genicam 1.6.0 with its virtual cameras (viky.cti) at one picture a second
# Expected: Like queue.get(timeout=0), select(..., 0) or cv2's grab: None at once where no picture is there. The
#           docstring says that it gives up where none came within the period.
# Seen:     With 0, which is also the default of fetch(), there is no period: the call comes back with the next picture,
#           a second later. With 0.05 it comes back with None after 0.05 s.
# Costs:    A loop that serves a PLC between two looks at the camera stands still while the camera is silent: unplugged,
#           or waiting for its light barrier.
# Instead:  Never pass 0: try_fetch(timeout=0.001).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --disable-pip-version-check numpy==2.4.6 genicam==1.6.0 harvesters==1.4.3
cd "$work"
"$work/venv/bin/python" - <<'PY'
import os
import sys
import time

import genicam
from harvesters.core import Harvester

harvester = Harvester()
harvester.add_file(os.path.join(os.path.dirname(genicam.__file__), "viky.cti"))
harvester.update()
acquirer = harvester.create(1)
acquirer.remote_device.node_map.AcquisitionFrameRate.value = 1
acquirer.start()


def fetch(timeout):
    begun = time.monotonic()
    buffer = acquirer.try_fetch(timeout=timeout)
    took = time.monotonic() - begun
    if buffer is not None:
        buffer.queue()
    print(f"try_fetch(timeout={timeout}): {'a picture' if buffer else None} after {took:.3f} s")
    return buffer is not None, took


while fetch(0.05)[0]:  # what waits already
    pass
waited = fetch(0)
while fetch(0.05)[0]:
    pass
short = fetch(0.05)
seen = {
    "with 0 it waits for the next picture": waited[0] and waited[1] > 0.3,
    "with 0.05 it gives up": not short[0] and short[1] < 0.3,
}

for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
sys.stdout.flush()
os._exit(not all(seen.values()))
PY
