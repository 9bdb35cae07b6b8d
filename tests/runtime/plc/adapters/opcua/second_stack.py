"""A Machine Vision client on open62541 (package o6), which has the standard's types compiled in: prints what it found.

A process of its own: o6 without a licence ends its process after ten minutes.
Arguments: URL, then certificate, key and the server's certificate as files.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import o6
from o6.ns import machine_vision

POLICY = "http://opcfoundation.org/UA/SecurityPolicy#Basic256Sha256"
EVENTS = {1013, 1018, 1023, 1024, 1025}
LONG_S = 60.0


def decoded(value: Any, kind: Any) -> Any:
    """o6 leaves structures of a companion in method results as they came."""
    return o6.decodeBinary(value.body, kind)


def explore(client: Any, station: Any) -> dict[str, Any]:
    kinds = machine_vision.datatypes
    machine = station.VisionStateMachine
    automatic = machine.AutomaticModeStateMachine
    heard: list[str] = []
    # Held in a name: it is ended when nobody holds it.
    item = client.monitorEvent(station, lambda told: heard.append(str(told["/EventType"])))
    found: dict[str, Any] = {"states": [str(machine.CurrentState()), str(automatic.CurrentState())]}
    _, job, error = automatic.StartSingleJob(None, None, None, None, None)
    found |= {"job": str(decoded(job, kinds.JobIdDataType).id), "error": int(error)}
    end = time.monotonic() + LONG_S
    while not all(any(told.endswith(f"i={number}") for told in heard) for number in EVENTS) and time.monotonic() < end:
        time.sleep(0.02)
    found["events"] = sorted({int(told.rpartition("=")[2].rstrip("')")) for told in heard})
    _, complete, count, _, results, error = station.ResultManagement.GetResultListFiltered(0, *[None] * 8, 0, 0, 0)
    last = decoded(results[-1], kinds.ResultDataType)
    found |= {"complete": bool(complete), "count": int(count), "last_job": str(last.jobId.id)}
    found |= {"result_state": int(last.resultState), "recipe": str(last.internalRecipeId.id)}
    found["hash"] = bytes(last.internalRecipeId.hash).hex()
    found["content"] = [str(one) for one in last.resultContent][:4]
    found["halt"] = [int(machine.Halt(0, "")[1]), int(machine.Reset(0, "")[1])]
    del item
    return found


def main() -> None:
    url, certificate, key, server = sys.argv[1:]
    client = o6.Client(
        url,
        certificate=certificate,
        privateKey=key,
        trustList=[server],
        securityMode=3,
        securityPolicy=POLICY,
        applicationUri="urn:csflow:test",
    )
    with client:
        wanted = o6.NodeId(machine_vision.objtypes.VisionSystemType)
        kind = str(wanted).replace(wanted.ns.shortname, str(wanted.ns.index))
        (station,) = [one for one in client.browse("i=85") if str(one.typeDefinition) == kind]
        name = str(station.browseName).rpartition(":")[2]
        print(json.dumps({"name": name, **explore(client, getattr(client.objects, name))}))


if __name__ == "__main__":
    main()
