#!/usr/bin/env bash
# asyncua raises an exception for a value that is merely uncertain, and hides a bad one when several are read at once.
#
# Version:  asyncua 2.1.0, client and server
# Expected: A value of status Uncertain is there to be used with care (OPC UA part 8: the sensor's last usable value,
#           one of reduced accuracy); read_data_value raises "on bad status", as its argument raise_on_bad_status says.
#           Read alone or with others, a value is treated alike.
# Seen:     read_value and read_data_value raise UaStatusCodeError for every Uncertain status. read_values of the client
#           raises for none: an uncertain value comes like a good one, a bad one as None, without its status.
# Costs:    A lamp whose value is "last usable value" for a second looks like a lost server to the loop that reads it;
#           rewritten to one read_values for speed, the same loop takes stale values for fresh ones.
# Instead:  read_data_value(raise_on_bad_status=False) and look at StatusCode.is_uncertain(); for several,
#           read_attributes of the nodes, which gives a DataValue each.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --no-compile --disable-pip-version-check asyncua==2.1.0
cd "$work"
"$work/venv/bin/python" - <<'PY'
import asyncio
import logging
import socket
import sys

from asyncua import Client, Server, ua

logging.disable(logging.CRITICAL)
STATES = "Good", "GoodClamped", "UncertainLastUsableValue", "UncertainSensorNotAccurate", "Bad"
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    url = f"opc.tcp://127.0.0.1:{free.getsockname()[1]}/"


async def tried(read):
    try:
        return await read
    except ua.UaError as error:
        return type(error)


async def main():
    server = Server()
    await server.init()
    server.set_endpoint(url)
    space = await server.register_namespace("urn:line")
    lamp = await server.nodes.objects.add_variable(space, "lamp", 1.0)
    press = await server.nodes.objects.add_variable(space, "press", 5.0)
    rows = {}
    async with server, Client(url) as client:
        one, other = client.get_node(lamp.nodeid), client.get_node(press.nodeid)
        for state in STATES:
            value = ua.DataValue(ua.Variant(2.0, ua.VariantType.Double), ua.StatusCode(getattr(ua.StatusCodes, state)))
            await server.write_attribute_value(lamp.nodeid, value)
            rows[state] = {
                "read_value": await tried(one.read_value()),
                "read_data_value": await tried(one.read_data_value()),
                "read_values": await tried(client.read_values([one, other])),
                "careful": await one.read_data_value(raise_on_bad_status=False),
                "attributes": await client.read_attributes([one, other]),
            }
    return rows


rows = asyncio.run(main())
for state, row in rows.items():
    print(f"{state}: read_value {row['read_value']}, read_values {row['read_values']}")
good, uncertain = STATES[:2], STATES[2:4]


def raised(result):
    return isinstance(result, type) and issubclass(result, ua.UaError)


seen = {
    "good ones are read": all(rows[state]["read_value"] == 2.0 for state in good),
    "uncertain ones raise, read alone": all(
        raised(rows[state][name]) for state in uncertain for name in ("read_value", "read_data_value")
    ),
    "and are uncertain, not bad": all(
        rows[state]["careful"].StatusCode.is_uncertain() and not rows[state]["careful"].StatusCode.is_bad()
        for state in uncertain
    ),
    "with others they come like good ones": all(rows[state]["read_values"] == [2.0, 5.0] for state in uncertain),
    "a bad one raises, read alone": raised(rows["Bad"]["read_value"]),
    "and is None with others": rows["Bad"]["read_values"] == [None, 5.0],
    "asked not to raise, the value is there": all(rows[state]["careful"].Value.Value == 2.0 for state in uncertain),
    "read_attributes tells the status": all(
        rows[state]["attributes"][0].StatusCode.is_uncertain() for state in uncertain
    ),
}

for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
sys.exit(not all(seen.values()))
PY
