"""Results to a real MQTT broker on loopback, also dead, mute and coming back."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from csflow.runtime.errors import BackendUnavailable, ConfigError, SinkError
from csflow.runtime.sink import TryAgain
from csflow.runtime.sinks.background import BackgroundSink
from csflow.runtime.sinks.mqtt import WINDOW, MqttAddress, MqttSink
from csflow.runtime.types import Result, Verdict

from .servers import BROKER, Broker, wait_until

NOK = Result(Verdict.NOK, 2.0, 1.0, 0.1, np.zeros((1, 1), np.float32), (0, 0), "why", 7, 0, 0.1, "cam")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("mqtt://broker", ("broker", 1883, False, None, None)),
        ("mqtts://broker/line/1", ("broker", 8883, True, None, None)),
        ("mqtt://u:p%40@broker:99/x", ("broker", 99, False, "u", "p@")),
        ("mqtt://[::1]:99/x", ("::1", 99, False, None, None)),
    ],
)
def test_addresses_of_brokers(url: str, expected: tuple[object, ...]) -> None:
    address = MqttAddress.parse(url)
    assert (address.host, address.port, address.tls, address.user, address.password) == expected
    assert "p@" not in str(address)


def test_the_prefix_is_the_path_or_the_name_of_the_machine() -> None:
    assert MqttAddress.parse("mqtt://b/plant/line%201/").prefix == "plant/line 1"
    assert MqttAddress.parse("mqtt://b").prefix == f"csflow/{socket.gethostname()}"


@pytest.mark.parametrize(
    "url", ["", "broker", "http://b", "mqtt://", "mqtt://b:0", "mqtt://b/a/+", "mqtt://b/a%23", "mqtt://b?x=1"]
)
def test_what_is_no_broker(url: str) -> None:
    with pytest.raises(ConfigError, match=r"broker|MQTT"):
        MqttAddress.parse(url)


def test_without_paho_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "paho.mqtt.client", None)
    with pytest.raises(BackendUnavailable, match=r"\[mqtt\]'"):
        MqttSink("mqtt://127.0.0.1:1")


class Listener:
    """Hears everything below line/."""

    def __init__(self, broker: Broker) -> None:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion

        self.results: list[dict[str, Any]] = []
        self.states: list[str] = []
        self.client = Client(CallbackAPIVersion.VERSION2)
        self.client.on_connect = lambda client, *_: client.subscribe("line/#", qos=1)
        self.client.on_message = self._hear
        self.client.reconnect_delay_set(1, 1)
        self.client.connect("127.0.0.1", broker.port)
        self.client.loop_start()

    def _hear(self, _client: object, _data: object, message: Any) -> None:
        record = json.loads(message.payload)
        if message.topic == "line/state":
            self.states.append(record["state"])
        else:
            self.results.append(record)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    pytest.importorskip("paho.mqtt.client", reason="MQTT needs csflow[mqtt]")
    if BROKER is None:
        pytest.skip("there is no mosquitto (Debian: mosquitto)")
    server = Broker(tmp_path)
    yield server
    server.stop()


@pytest.fixture
def listener(broker: Broker) -> Iterator[Listener]:
    heard = Listener(broker)
    yield heard
    heard.client.disconnect()
    heard.client.loop_stop()


def test_a_broker_gets_results_and_states(broker: Broker, listener: Listener) -> None:
    with BackgroundSink(MqttSink(f"mqtt://127.0.0.1:{broker.port}/line"), "mqtt") as sink:
        for _ in range(250):
            sink.write(NOK, None)
        wait_until(lambda: len(listener.results) == 250)
    wait_until(lambda: listener.states == ["RUNNING", "STOPPED"])
    assert listener.results[0]["verdict"] == "NOK"
    assert (sink.report().written, sink.report().error) == (250, "")


def test_the_state_of_a_run_that_dies_is_offline_and_stays_so_for_who_comes_later(
    broker: Broker, listener: Listener
) -> None:
    sink = MqttSink(f"mqtt://127.0.0.1:{broker.port}/line")
    wait_until(lambda: listener.states == ["RUNNING"])
    connection = sink._client.socket()
    assert connection is not None
    sink._client.loop_stop()
    connection.close()
    wait_until(lambda: listener.states == ["RUNNING", "OFFLINE"])
    late = Listener(broker)
    wait_until(lambda: late.states == ["OFFLINE"])
    late.client.disconnect()
    late.client.loop_stop()
    sink._client.disconnect()


@pytest.mark.fault("P9")
def test_a_broker_that_dies_and_comes_back_gets_what_waited(
    broker: Broker, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("csflow.runtime.sinks.mqtt.RECONNECT_S", (1, 1))
    inner = MqttSink(f"mqtt://127.0.0.1:{broker.port}/line")
    sink = BackgroundSink(inner, "mqtt")
    sink.write(NOK, None)
    wait_until(lambda: len(listener.results) == 1)
    broker.stop()
    wait_until(lambda: not inner._client.is_connected())
    started_s = time.monotonic()
    for _ in range(5):
        sink.write(NOK, None)
    assert time.monotonic() - started_s < 30.0
    wait_until(lambda: "no connection" in sink.report().error)
    broker.start()
    wait_until(lambda: sink.report().written == 6 and len(listener.results) >= 6)
    sink.close()
    assert sink.report().error == ""


def test_a_broker_that_was_never_there_costs_only_its_results() -> None:
    pytest.importorskip("paho.mqtt.client", reason="MQTT needs csflow[mqtt]")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    sink = BackgroundSink(MqttSink(f"mqtt://127.0.0.1:{port}/line"), "mqtt", flush_s=0.05)
    sink.write(NOK, None)
    sink.close()
    assert sink.report().written == 0
    assert sink.report().failed + sink.report().dropped == 1


def write_twice(sink: MqttSink) -> None:
    # Whether the state RUNNING already counts among the unconfirmed is the network thread's to say.
    sink.write(NOK, None)
    sink.write(NOK, None)


@pytest.mark.fault("P9")
def test_a_broker_that_confirms_nothing_does_not_fill_the_memory() -> None:
    pytest.importorskip("paho.mqtt.client", reason="MQTT needs csflow[mqtt]")
    with socket.create_server(("127.0.0.1", 0)) as mute:
        sink = MqttSink(f"mqtt://127.0.0.1:{mute.getsockname()[1]}/line")
        connection, _ = mute.accept()
        connection.recv(1000)
        connection.send(b"\x20\x02\x00\x00")  # CONNACK, accepted
        wait_until(sink._client.is_connected)
        for _ in range(WINDOW - 1):
            sink.write(NOK, None)
        with pytest.raises(TryAgain, match="confirms nothing"):
            write_twice(sink)
        connection.close()
        with contextlib.suppress(SinkError):
            sink.close()


class Answering:
    """A broker that answers each connection with one code, and says no more."""

    def __init__(self, code: int) -> None:
        self._code = code
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])

    def take(self) -> socket.socket:
        """One more connection, answered."""
        connection, _ = self._server.accept()
        connection.settimeout(20.0)
        connection.recv(1000)
        connection.send(bytes((0x20, 2, 0, self._code)))
        return connection

    def close(self) -> None:
        """Take none any more."""
        self._server.close()


@pytest.mark.parametrize("code", [0, 5])
def test_a_broker_that_refuses_or_drops_for_hours_takes_no_room_from_results(
    code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("paho.mqtt.client", reason="MQTT needs csflow[mqtt]")
    monkeypatch.setattr("csflow.runtime.sinks.mqtt.RECONNECT_S", (0.01, 0.01))
    broker = Answering(code)
    sink = MqttSink(f"mqtt://127.0.0.1:{broker.port}/line")
    for _ in range(5):
        connection = broker.take()
        if not code:
            assert b"RUNNING" in connection.recv(1000)  # 0: taken, and dropped before it is confirmed
        connection.close()
    assert sink._unconfirmed <= 1
    broker.close()
    with contextlib.suppress(SinkError):
        sink.close()


def test_what_paho_does_not_keep_does_not_count_as_on_its_way() -> None:
    pytest.importorskip("paho.mqtt.client", reason="MQTT needs csflow[mqtt]")
    broker = Answering(0)
    sink = MqttSink(f"mqtt://127.0.0.1:{broker.port}/line")
    connection = broker.take()
    wait_until(lambda: sink._unconfirmed == 1)
    sink._client._max_queued_messages = 1
    with pytest.raises(TryAgain, match="confirms nothing"):
        sink.write(NOK, None)
    assert sink._unconfirmed == 1
    connection.close()
    broker.close()
    with contextlib.suppress(SinkError):
        sink.close()
