"""Results to an MQTT broker, with a retained state that tells when csflow is gone."""

from __future__ import annotations

import json
import socket
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from csflow.runtime.errors import BackendUnavailable, ConfigError, SinkError
from csflow.runtime.machine.install import pip_install
from csflow.runtime.schema import json_line
from csflow.runtime.sink import TryAgain
from csflow.runtime.sinks.record import result_record
from csflow.runtime.types import Frame, Result

if TYPE_CHECKING:
    from paho.mqtt.client import Client, MQTTMessageInfo

__all__ = ["KEEP_ALIVE_S", "MqttAddress", "MqttSink", "mqtt_client", "taken"]

WINDOW = 100
KEEP_ALIVE_S = 15
CONFIRM_S = 2.0
RECONNECT_S = (1, 30)


@dataclass(frozen=True)
class MqttAddress:
    """What mqtt://user:password@host:1883/topic/prefix says."""

    host: str
    port: int
    tls: bool
    user: str | None
    password: str | None
    prefix: str
    """Topics are PREFIX/result and PREFIX/state."""

    @classmethod
    def parse(cls, url: str) -> MqttAddress:
        """Read a URL; without a path the prefix is csflow/ and the name of this machine. Raises ConfigError."""
        expected = "expected mqtt://HOST[:1883]/PREFIX or mqtts://HOST[:8883]/PREFIX"
        try:
            parts = urlsplit(url)
            port, host = parts.port, parts.hostname
        except ValueError:
            raise ConfigError(f"that is no broker's address: {expected}") from None
        if parts.scheme not in ("mqtt", "mqtts") or not host or port == 0 or parts.query or parts.fragment:
            raise ConfigError(f"that is no broker's address: {expected}")
        prefix = unquote(parts.path).strip("/") or f"csflow/{socket.gethostname()}"
        if any(c in prefix for c in "+#\0") or len(prefix.encode()) > 1000:
            raise ConfigError("the topic of an MQTT broker must be short and without + and #")
        tls = parts.scheme == "mqtts"
        secrets = [None if part is None else unquote(part) for part in (parts.username, parts.password)]
        return cls(host, port or (8883 if tls else 1883), tls, secrets[0], secrets[1], prefix)

    def __str__(self) -> str:
        return f"{'mqtts' if self.tls else 'mqtt'}://{self.host}:{self.port}/{self.prefix}"


class MqttSink:
    """Publishes each result to PREFIX/result (QoS 1): put it behind a `BackgroundSink`, which waits for the broker.

    PREFIX/state is retained: RUNNING, STOPPED at an orderly end, OFFLINE (the last will) when this program dies or its
    network fails. The connection is made and made again in paho's own thread.
    """

    def __init__(self, url: str) -> None:
        """Begin to connect; a broker that does not answer is no error here.

        Raises:
            ConfigError: no broker's address.
            BackendUnavailable: paho-mqtt is not installed.
        """
        self._address = MqttAddress.parse(url)
        self._client = mqtt_client(self._address)
        self._counting = threading.Lock()
        self._unconfirmed = 0
        self._closed = False
        self._greeting: MQTTMessageInfo | None = None
        self._client.on_connect = self._greet
        self._client.on_publish = lambda *_: self._count(-1)
        self._client.connect_async(self._address.host, self._address.port, KEEP_ALIVE_S)
        self._client.loop_start()

    def write(self, result: Result, frame: Frame | None) -> None:  # noqa: ARG002 - pictures are not for this sink
        """Hand the result to the broker; up to 100 may be on the way to it unconfirmed.

        Raises TryAgain when it is not connected or confirms nothing.
        """
        if self._closed:
            raise SinkError(f"{self._address} is closed")
        if not self._client.is_connected():
            raise TryAgain(f"no connection to the broker {self._address}: check its address, its network, its password")
        if self._unconfirmed >= WINDOW:
            raise TryAgain(f"the broker {self._address} confirms nothing: check it")
        if not taken(self._publish("result", result_record(result))):
            raise TryAgain(f"the broker {self._address} confirms nothing: check it")

    def _greet(self, _client: Client, _data: object, _flags: object, reason: Any, _properties: object) -> None:
        # Also called where the broker refuses; and paho sends again by itself what was not confirmed.
        if not reason.is_failure and (self._greeting is None or _settled(self._greeting)):
            self._greeting = self._publish("state", {"state": "RUNNING"}, retain=True)

    def _publish(self, topic: str, record: dict[str, Any], retain: bool = False) -> MQTTMessageInfo:
        # Where the connection has just gone paho keeps the message and sends it on the next one.
        text = json_line(record)
        self._count(+1)
        told = self._client.publish(f"{self._address.prefix}/{topic}", text, qos=1, retain=retain)
        if not taken(told):
            self._count(-1)
        return told

    def _count(self, change: int) -> None:
        with self._counting:
            self._unconfirmed += change

    def close(self) -> None:
        """Say STOPPED and part from the broker, within two seconds. May be called twice.

        Raises SinkError when results on the way were not confirmed.
        """
        if self._closed:
            return
        self._closed = True
        if self._client.is_connected():
            self._publish("state", {"state": "STOPPED"}, retain=True)
        until_s = time.monotonic() + CONFIRM_S
        while self._client.is_connected() and time.monotonic() < until_s and self._unconfirmed > 0:
            time.sleep(0.01)
        lost = self._unconfirmed
        self._client.disconnect()
        self._client.loop_stop()
        if lost > 0:
            raise SinkError(f"the broker {self._address} has not confirmed the last {lost} messages: check it")

    def __enter__(self) -> MqttSink:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def taken(told: MQTTMessageInfo) -> bool:
    """Whether paho keeps a message until it is confirmed; where its queue is full it is gone."""
    from paho.mqtt.enums import MQTTErrorCode

    return told.rc != MQTTErrorCode.MQTT_ERR_QUEUE_SIZE


def _settled(told: MQTTMessageInfo) -> bool:
    try:
        return told.is_published()
    except (ValueError, RuntimeError):
        return True  # it was not taken


def mqtt_client(address: MqttAddress) -> Client:
    """A client with a bounded queue and the last will OFFLINE; not connected yet. Raises BackendUnavailable."""
    try:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion
    except ImportError as error:
        raise BackendUnavailable(
            f"MQTT needs paho-mqtt, which does not load ({error}); install it with: {pip_install('mqtt')}"
        ) from None
    client = Client(CallbackAPIVersion.VERSION2)
    # Its queue is without bound by default.
    client.max_queued_messages_set(2 * WINDOW)
    client.reconnect_delay_set(*RECONNECT_S)
    client.will_set(f"{address.prefix}/state", json.dumps({"state": "OFFLINE"}), qos=1, retain=True)
    if address.user is not None:
        client.username_pw_set(address.user, address.password)
    if address.tls:
        client.tls_set()
    return client
