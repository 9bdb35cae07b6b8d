#!/usr/bin/env bash
# The limit on paho's outgoing queue does not count QoS 0.
#
# Version:  paho-mqtt 2.2.0
# Expected: After max_queued_messages_set(10), a broker that is connected and does not read (stopped, swapping, behind a
#           full link) makes publish fail with MQTT_ERR_QUEUE_SIZE once ten messages wait.
# Seen:     With QoS 0, 2,000 messages of 10 kB are all taken with MQTT_ERR_SUCCESS, although four in five have not
#           left: they wait in memory without a bound. With QoS 1 the limit holds: ten, then MQTT_ERR_QUEUE_SIZE.
# Costs:    A result stream "at most once", chosen so as never to weigh on the inspection, fills the memory of an edge
#           machine until the kernel ends the process.
# Instead:  QoS 1 with the limit set, or count what is_published() says and drop by yourself.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --disable-pip-version-check paho-mqtt==2.2.0
cd "$work"
"$work/venv/bin/python" - <<'PY'
import os
import socket
import threading
import time

import paho.mqtt.client as mqtt

listener = socket.create_server(("127.0.0.1", 0))


def broker():
    connection, _ = listener.accept()
    connection.recv(100)
    connection.sendall(b"\x20\x02\x00\x00")  # CONNACK; from here on it reads nothing
    time.sleep(60)


threading.Thread(target=broker, daemon=True).start()
client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
client.max_queued_messages_set(10)
connected = threading.Event()
client.on_connect = lambda *_: connected.set()
client.connect(*listener.getsockname(), keepalive=600)
client.loop_start()
connected.wait(10)
payload = b"x" * 10_000
loose = [client.publish("results", payload, qos=0) for _ in range(2000)]
time.sleep(1)
taken, waiting = sum(m.rc == mqtt.MQTT_ERR_SUCCESS for m in loose), sum(not m.is_published() for m in loose)
print(f"QoS 0: {taken} of 2000 taken, {waiting} of them still here: {waiting * len(payload) / 1e6:.0f} MB")
firm = [client.publish("results", payload, qos=1) for _ in range(20)]
refused = sum(m.rc == mqtt.MQTT_ERR_QUEUE_SIZE for m in firm)
print(f"QoS 1: {20 - refused} of 20 taken, {refused} refused")
seen = {
    "QoS 0 is taken without a bound": taken == 2000 and waiting > 1000,
    "QoS 1 is bounded": refused == 10,
}
for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what, flush=True)
os._exit(not all(seen.values()))  # loop_stop would wait for the socket
PY
