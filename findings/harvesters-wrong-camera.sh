#!/usr/bin/env bash
# harvesters opens a camera that does not have the name it was asked for.
#
# Version:  harvesters 1.4.3, genicam 1.6.0 with its virtual cameras (viky.cti), which have no user-defined names
# Expected: create({"serial_number": "1", "user_defined_name": "left of line 3"}) is an error: no camera has that name.
# Seen:     It opens camera 1. A property that a camera cannot tell counts as one that fits; only a property that it
#           tells, and tells differently, rules it out.
# Costs:    The right camera is unplugged, another maker's without names is there: its pictures are judged as the right
#           one's. A recipe names cameras by where they hang, and that is the property to be trusted least.
# Instead:  Compare the properties of device_info_list oneself, and pass the position in that list.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --disable-pip-version-check numpy==2.4.6 genicam==1.6.0 harvesters==1.4.3
cd "$work"
"$work/venv/bin/python" - <<'PY'
import os
import sys

import genicam
from harvesters.core import Harvester

harvester = Harvester()
harvester.add_file(os.path.join(os.path.dirname(genicam.__file__), "viky.cti"))
harvester.update()


def opened(**wanted):
    try:
        acquirer = harvester.create(wanted)
    except ValueError as error:
        result = f"refused: {error}"
    else:
        result = acquirer.device.id_
        acquirer.destroy()
    print(wanted, "->", result)
    return result


try:
    name = harvester.device_info_list[1].user_defined_name
except Exception as error:
    name = type(error).__name__
print("user-defined name of camera 1:", name)
seen = {
    "camera 1 tells no user-defined name": name == "NotAvailableException",
    "asked for by a name that it does not have, it opens": opened(
        serial_number="1", user_defined_name="left of line 3"
    )
    == "VikyTL_DEV_green",
    "a serial number that it does not have is refused": opened(serial_number="9").startswith("refused"),
    "a vendor that it does not have is refused": opened(serial_number="1", vendor="x").startswith("refused"),
}

for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
sys.stdout.flush()
os._exit(not all(seen.values()))
PY
