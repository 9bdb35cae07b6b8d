"""The cameras that GenTL producers, or pylon, see, asked in a process that ends with the answer.

Started as `python -m csflow.runtime.sources.genicam.listing WISH`; the last line that it prints is the answer.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict

from csflow.runtime import schema
from csflow.runtime.errors import BackendUnavailable, CSFlowError
from csflow.runtime.sources.genicam.devices import Device, device_of
from csflow.runtime.sources.genicam.driver import open_library
from csflow.runtime.sources.genicam.wish import Wish

__all__ = ["list_devices", "main"]

PROGRAM = ("-m", "csflow.runtime.sources.genicam.listing")


def list_devices(timeout_s: float = 60.0, library: str = "genicam") -> list[Device]:
    """All cameras of the producers that GENICAM_GENTL64_PATH names, or those of pylon.

    Raises BackendUnavailable where there is no producer or library, or where one hangs or crashes.
    """
    words = [sys.executable, *PROGRAM, schema.json_line(schema.to_mapping(Wish("", library=library)))]
    asked_are = "the GenTL producers" if library == "genicam" else library
    try:
        asked = subprocess.run(words, capture_output=True, text=True, errors="replace", timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired:
        raise BackendUnavailable(f"{asked_are} gave no answer within {timeout_s:g} s") from None
    lines = asked.stdout.splitlines()
    if asked.returncode or not lines:
        last = (asked.stderr.strip().splitlines() or [""])[-1][:200]
        raise BackendUnavailable(f"{asked_are} ended with {asked.returncode}: {last}")
    answer = json.loads(lines[-1])
    if "problem" in answer:
        raise BackendUnavailable(answer["problem"])
    return [schema.from_mapping(Device, device) for device in answer["devices"]]


def main(words: Sequence[str]) -> None:
    """Print the answer for the library of a wish."""
    wish = schema.from_mapping(Wish, schema.parse_json(words[0].encode()))
    try:
        found = [device_of(info) for info in open_library(wish).device_info_list]
        answer: dict[str, object] = {"devices": [asdict(device) for device in found]}
    except CSFlowError as error:
        answer = {"problem": str(error)}
    print(schema.json_line(answer), flush=True)
    # A producer's threads may hang at the end of the interpreter.
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
