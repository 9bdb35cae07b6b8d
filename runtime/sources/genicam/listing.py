"""The cameras that GenTL producers see, asked in a process that ends with the answer.

Started as `python -m csflow.runtime.sources.genicam.listing`; the last line that it prints is the answer.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict

from csflow.runtime import schema
from csflow.runtime.errors import BackendUnavailable, CSFlowError
from csflow.runtime.sources.genicam.devices import Device, device_of, producers
from csflow.runtime.sources.genicam.driver import open_harvester

__all__ = ["list_devices", "main"]

PROGRAM = ("-m", "csflow.runtime.sources.genicam.listing")


def list_devices(timeout_s: float = 60.0) -> list[Device]:
    """All cameras of the producers that GENICAM_GENTL64_PATH names.

    Raises BackendUnavailable where there is no producer or library, or where one hangs or crashes.
    """
    try:
        asked = subprocess.run(
            [sys.executable, *PROGRAM], capture_output=True, text=True, errors="replace", timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired:
        raise BackendUnavailable(f"the GenTL producers gave no answer within {timeout_s:g} s") from None
    lines = asked.stdout.splitlines()
    if asked.returncode or not lines:
        last = (asked.stderr.strip().splitlines() or [""])[-1][:200]
        raise BackendUnavailable(f"the GenTL producers ended with {asked.returncode}: {last}")
    answer = json.loads(lines[-1])
    if "problem" in answer:
        raise BackendUnavailable(answer["problem"])
    return [schema.from_mapping(Device, device) for device in answer["devices"]]


def main() -> None:
    """Print the answer."""
    try:
        harvester = open_harvester(producers())
        answer: dict[str, object] = {"devices": [asdict(device_of(info)) for info in harvester.device_info_list]}
    except CSFlowError as error:
        answer = {"problem": str(error)}
    print(schema.json_line(answer), flush=True)
    # A producer's threads may hang at the end of the interpreter.
    os._exit(0)


if __name__ == "__main__":
    main()
