#!/usr/bin/env bash
# With an absolute deadband, a server on asyncua never reports a value that drifts in small steps.
#
# Version:  asyncua 2.1.0, server and client; beside a server on open62541 (o6 2.2.0), watched by the same client
# Expected: A deadband of 0.5 reports each value that is more than 0.5 away from the last one *reported* (OPC UA part 4,
#           DataChangeFilter: the last value pushed to the queue). A temperature that creeps from 20 to 30 in steps of
#           0.1 is reported about twenty times.
# Seen:     asyncua compares with the last value *written*: it reports 20.0 at the start and nothing up to 30.0, as no
#           single step is larger than 0.5. open62541 reports the drift.
# Costs:    Whoever watches a slow value of such a server (a lamp, a coolant, wear) works with 20.0 while it is at 30.0,
#           on a subscription that lives and says "good"; a test with a jump passes.
# Instead:  Subscribe without a filter where the server may be asyncua, and apply the deadband in the client.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --disable-pip-version-check asyncua==2.1.0 o6==2.2.0
cd "$work"
"$work/venv/bin/python" - <<'PY'
import asyncio
import logging
import socket
import sys

import asyncua
import o6

logging.disable(logging.CRITICAL)
STEPS = [round(20 + step / 10, 1) for step in range(101)]


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Heard:
    def __init__(self):
        self.values = []

    def datachange_notification(self, node, value, data):
        self.values.append(value)


async def reported(url, node_id, write):
    """What a subscription with a deadband of 0.5 tells of the drift."""
    async with asyncua.Client(url) as client:
        heard = Heard()
        subscription = await client.create_subscription(50, heard)
        await subscription.deadband_monitor(client.get_node(node_id), 0.5)
        while not heard.values:
            await asyncio.sleep(0.05)
        for value in STEPS:
            await write(value)
            await asyncio.sleep(0.1)
        await asyncio.sleep(1)
        assert await client.get_node(node_id).read_value() == STEPS[-1]
        return heard.values


async def on_asyncua():
    server, url = asyncua.Server(), f"opc.tcp://127.0.0.1:{free_port()}/"
    await server.init()
    server.set_endpoint(url)
    temperature = await server.nodes.objects.add_variable(1, "temperature", STEPS[0])
    async with server:
        return await reported(url, temperature.nodeid.to_string(), temperature.write_value)


async def on_open62541():
    port = free_port()
    server = o6.Server(port=port)
    temperature = await server.addVariable("temperature", server.objectsNode, STEPS[0], nodeId="ns=1;s=temperature")
    async with server:
        return await reported(
            f"opc.tcp://127.0.0.1:{port}", "ns=1;s=temperature", lambda value: server.write(temperature, value)
        )


heard = {"asyncua": asyncio.run(on_asyncua()), "open62541": asyncio.run(on_open62541())}
for name, values in heard.items():
    print(f"{name}: {len(values)} reports of a drift from {STEPS[0]} to {STEPS[-1]}: {values}")
seen = {
    "asyncua reports the start and nothing more": heard["asyncua"] == [STEPS[0]],
    "open62541 reports the drift": 10 <= len(heard["open62541"]) <= 30 and heard["open62541"][-1] > 29,
}

for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
sys.exit(not all(seen.values()))
PY
