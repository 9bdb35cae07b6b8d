"""State and results at a real broker on loopback: told, never commanded by."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("paho.mqtt.client", reason="MQTT needs csflow[mqtt]")

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from csflow.runtime.errors import ConfigError
from csflow.runtime.plc.adapters.adapter import Adapter
from csflow.runtime.plc.adapters.mqtt import WAITING, MqttPublisher, station_result
from csflow.runtime.plc.exchange import Exchange
from csflow.runtime.plc.process_image import Orders, Report, Status
from csflow.runtime.plc.settings import Mqtt

BROKER = shutil.which("mosquitto") or shutil.which("/usr/sbin/mosquitto")
LONG_S = 20.0
RESULT = Report(
    status=Status.RESULT_VALID,
    state=6,
    verdict=0xA53C,
    reason=2,
    quality=1 << 8,
    result_id=1,
    result_trigger_id=42,
    result_boot_id=7,
    result_part_id="K-1",
    score=3.0,
)


def until(what: Callable[[], Any]) -> None:
    end = time.monotonic() + LONG_S
    while not what():
        assert time.monotonic() < end
        time.sleep(0.01)


class Broker:
    """mosquitto, and somebody who hears everything below line/."""

    def __init__(self, folder: Path) -> None:
        assert BROKER is not None
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = int(free.getsockname()[1])
        config = folder / "mosquitto.conf"
        config.write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous true\n")
        self.process = subprocess.Popen([BROKER, "-c", str(config)], stderr=subprocess.DEVNULL)
        until(self._listens)
        self.heard: dict[str, list[dict[str, Any]]] = {"state": [], "result": [], "health": []}
        self.client = Client(CallbackAPIVersion.VERSION2)
        self.client.on_connect = lambda client, *_: client.subscribe("line/#", qos=1)
        self.client.on_message = self._hear
        self.client.connect("127.0.0.1", self.port)
        self.client.loop_start()

    def _listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True

    def _hear(self, _client: object, _data: object, message: Any) -> None:
        self.heard[message.topic.removeprefix("line/")].append(json.loads(message.payload))

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()
        self.process.kill()
        self.process.wait()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    if BROKER is None:
        pytest.skip("there is no mosquitto (Debian: mosquitto)")
    made = Broker(tmp_path)
    yield made
    made.close()


def test_a_broker_hears_state_results_and_health(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLC_BROKER", f"mqtt://127.0.0.1:{broker.port}/line")
    exchange = Exchange()
    publisher = MqttPublisher(Mqtt("$PLC_BROKER"), exchange, controls=False)
    assert isinstance(publisher, Adapter)
    until(lambda: broker.heard["health"])
    for number in range(1, 51):
        exchange.publish(replace(RESULT, result_id=number))
        exchange.publish(replace(RESULT, result_id=number, heartbeat=number))
        exchange.publish(Report(state=6, status=Status.READY))
    until(lambda: len(broker.heard["result"]) == 50)
    assert [one["result_id"] for one in broker.heard["result"]] == list(range(1, 51))
    until(lambda: broker.heard["state"][-1]["state"] == "READY")
    publisher.close()
    publisher.close()
    until(lambda: broker.heard["state"][-1] == {"state": "STOPPED"})


def test_a_publisher_that_dies_is_offline(broker: Broker) -> None:
    publisher = MqttPublisher(Mqtt(f"mqtt://127.0.0.1:{broker.port}/line"), Exchange(), controls=False)
    until(lambda: broker.heard["state"])
    connection = publisher._client.socket()
    assert connection is not None
    publisher._client.loop_stop()
    connection.shutdown(socket.SHUT_RDWR)
    until(lambda: broker.heard["state"][-1] == {"state": "OFFLINE"})
    publisher.close()


@pytest.mark.fault("P9")
def test_without_a_broker_memory_is_bounded_and_nobody_waits() -> None:
    exchange = Exchange()
    publisher = MqttPublisher(Mqtt("mqtt://127.0.0.1:9/line"), exchange, controls=False)
    begun = time.monotonic()
    for number in range(1, 3 * WAITING + 1):
        exchange.publish(replace(RESULT, result_id=number))
    assert time.monotonic() - begun < 5
    assert len(publisher._results) == WAITING
    assert publisher._lost == 2 * WAITING
    publisher.close()
    assert (exchange.orders, exchange.holder) == (Orders(), "")


def test_a_result_in_words() -> None:
    record = station_result(RESULT)
    assert record["verdict"] == "NOK"
    assert record["reason_text"] == "score above the reject threshold"
    assert (record["quality"], record["threshold"], record["score"]) == (["UNDER_EXPOSED"], None, 3.0)
    assert (record["trigger_id"], record["part"]) == (42, "K-1")
    assert station_result(replace(RESULT, verdict=1))["verdict"] == "ERROR"


def test_it_never_commands() -> None:
    with pytest.raises(ConfigError, match="never commands"):
        MqttPublisher(Mqtt("mqtt://127.0.0.1/line"), Exchange(), controls=True)


def test_what_is_no_broker() -> None:
    with pytest.raises(ConfigError, match="broker"):
        MqttPublisher(Mqtt("$NOT_THERE"), Exchange(), controls=False)


@pytest.mark.fault("P9")
def test_a_broker_that_confirms_nothing_loses_no_result_uncounted_and_hears_no_old_state() -> None:
    exchange = Exchange()
    with socket.create_server(("127.0.0.1", 0)) as mute:
        publisher = MqttPublisher(Mqtt(f"mqtt://127.0.0.1:{mute.getsockname()[1]}/line"), exchange, controls=False)
        publisher._client._max_queued_messages = 5
        connection, _ = mute.accept()
        connection.recv(1000)
        connection.send(b"\x20\x02\x00\x00")  # CONNACK, accepted
        until(publisher._client.is_connected)
        for number in range(1, 101):
            exchange.publish(replace(RESULT, result_id=number))
        until(lambda: len(publisher._client._out_messages) == 5)
        time.sleep(0.5)
        kept = sum("/result" in str(one.topic) for one in list(publisher._client._out_messages.values()))
        assert kept + len(publisher._results) + publisher._lost == 100
        connection.close()
        publisher.close()
