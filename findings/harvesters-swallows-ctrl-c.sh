#!/usr/bin/env bash
# After harvesters opened a camera, Ctrl-C no longer ends the program, but takes the camera from it.
#
# Version:  harvesters 1.4.3, genicam 1.6.0 with its virtual cameras (viky.cti)
# Expected: A library leaves the signals of its host alone: SIGINT raises KeyboardInterrupt, as before.
# Seen:     create() in the main thread replaces the handler of SIGINT, and does not put it back. On SIGINT the camera is
#           destroyed, nothing is raised, the program runs on; its next try_fetch is an IndexError inside harvesters.
# Costs:    A line that is stopped by Ctrl-C, or by a supervisor's SIGINT, does not stop: it fails later, at a place
#           that tells nothing, and its own clean end never runs.
# Instead:  Call create() in another thread, or set one's own handler again after it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --disable-pip-version-check numpy==2.4.6 genicam==1.6.0 harvesters==1.4.3
cd "$work"
"$work/venv/bin/python" - <<'PY'
import os
import signal
import sys
import time

import genicam
from harvesters.core import Harvester

before = signal.getsignal(signal.SIGINT)
harvester = Harvester()
harvester.add_file(os.path.join(os.path.dirname(genicam.__file__), "viky.cti"))
harvester.update()
acquirer = harvester.create(1)
after = signal.getsignal(signal.SIGINT)
acquirer.start()
acquirer.fetch(timeout=5).queue()
try:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.5)
    interrupted = False
except KeyboardInterrupt:
    interrupted = True
try:
    failure = f"gave {acquirer.try_fetch(timeout=1)}"
except Exception as error:
    failure = f"{type(error).__name__}: {error}"
print("handler before:", before, "; after create():", after)
print("KeyboardInterrupt:", interrupted, "; the next try_fetch:", failure)
seen = {
    "the handler was Python's": before is signal.default_int_handler,
    "create() replaces it": type(after).__name__ == "_SignalHandler",
    "SIGINT raises nothing": not interrupted,
    "the camera is gone": not acquirer.is_valid(),
    "the next fetch fails inside harvesters": failure.startswith("IndexError"),
}

for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
sys.stdout.flush()
os._exit(not all(seen.values()))
PY
