"""State and results to an MQTT broker, for dashboards and databases: it never commands. Extra: mqtt.

PREFIX/state     retained: the state in words and numbers; OFFLINE as last will
PREFIX/result    each result that a controller could read
PREFIX/health    every ten seconds: counters
"""

from __future__ import annotations

import contextlib
import math
import os
import threading
import time
from collections import deque
from typing import Any

from csflow.runtime.errors import ConfigError
from csflow.runtime.faults import Quality, Reason, Verdict
from csflow.runtime.plc.exchange import Exchange
from csflow.runtime.plc.process_image import Report, Status
from csflow.runtime.plc.settings import Mqtt
from csflow.runtime.plc.states import State
from csflow.runtime.schema import json_line
from csflow.runtime.sinks.mqtt import KEEP_ALIVE_S, MqttAddress, mqtt_client, taken

__all__ = ["MqttPublisher", "health_record", "state_record", "station_result"]

WAITING = 1000
HEALTH_S = 10.0
STEP_S = 0.2
LAST_S = 1.0
WORDS = {v.code: v.name for v in Verdict}
MEANINGS = {int(r): r.meaning for r in Reason}


class MqttPublisher:
    """See the module. A broker that is away costs nothing but the oldest of a thousand results."""

    def __init__(self, settings: Mqtt, exchange: Exchange, controls: bool) -> None:
        """Begin to connect; a broker that does not answer is no error here.

        Raises ConfigError where the URL is none, or it is to have control, BackendUnavailable without paho-mqtt.
        """
        if controls:
            raise ConfigError("station.control: MQTT tells and never commands; choose another adapter")
        url = settings.url
        self._address = MqttAddress.parse(os.environ.get(url[1:], "") if url.startswith("$") else url)
        self.name = f"mqtt {self._address}"
        self._client = mqtt_client(self._address)
        self._results: deque[dict[str, Any]] = deque(maxlen=WAITING)
        self._lost = 0
        self._exchange = exchange
        self._shown = (0, 0)
        self._stop = threading.Event()
        self._forget = exchange.watch(self._see)
        self._client.connect_async(self._address.host, self._address.port, KEEP_ALIVE_S)
        self._client.loop_start()
        self._thread = threading.Thread(target=self._run, name="csflow-plc-mqtt", daemon=True)
        self._thread.start()

    def _see(self, report: Report) -> None:
        shown = (report.boot_id, report.result_id)
        if report.status & Status.RESULT_VALID and shown != self._shown:
            self._shown = shown
            self._lost += len(self._results) == WAITING
            self._results.append(station_result(report))

    def _run(self) -> None:
        told: dict[str, Any] | None = None
        health_s = 0.0
        while not self._stop.wait(STEP_S):
            if not self._client.is_connected():
                told, health_s = None, 0.0
                continue
            report = self._exchange.report
            if (state := state_record(report)) != told:
                told = state if taken(self._publish("state", state, retain=True)) else None
            self._publish_results()
            if time.monotonic() >= health_s:
                health_s = time.monotonic() + HEALTH_S
                self._publish("health", {**health_record(report), "results_lost": self._lost})

    def _publish_results(self) -> None:
        while self._results and self._client.is_connected():
            result = self._results.popleft()
            if not taken(self._publish("result", result)):
                # A broker that confirms nothing: paho keeps no more, and here the oldest gives way.
                if len(self._results) < WAITING:
                    self._results.appendleft(result)
                else:
                    self._lost += 1
                return

    def _publish(self, topic: str, record: dict[str, Any], retain: bool = False) -> Any:
        return self._client.publish(f"{self._address.prefix}/{topic}", json_line(record), qos=1, retain=retain)

    @property
    def alive(self) -> bool:
        """Whether it publishes."""
        return self._thread.is_alive()

    def close(self) -> None:
        """Say STOPPED and part from the broker, within a second or so. May be called twice."""
        if self._stop.is_set():
            return
        self._stop.set()
        self._forget()
        self._thread.join(LAST_S)
        if self._client.is_connected():
            # The connection may go at this very moment: then the last will tells.
            with contextlib.suppress(ValueError, RuntimeError):
                self._publish("state", {"state": "STOPPED"}, retain=True).wait_for_publish(LAST_S)
        self._client.disconnect()
        self._client.loop_stop()


def state_record(report: Report) -> dict[str, Any]:
    """The state as a JSON object."""
    return {
        "state": State(report.state).name if report.state else "STARTING",
        "ready": bool(report.status & Status.READY),
        "recipe": report.recipe,
        "recipe_crc": f"{report.recipe_crc:08x}",
        "error": report.error_code,
        "warning": report.warning_code,
        "boot_id": report.boot_id,
    }


def station_result(report: Report) -> dict[str, Any]:
    """The result of a report as a JSON object: finite numbers or null, the verdict by name."""
    return {
        "result_id": report.result_id,
        "boot_id": report.result_boot_id,
        "trigger_id": report.result_trigger_id,
        "part": report.result_part_id,
        "verdict": WORDS.get(report.verdict, Verdict.ERROR.name),
        "reason": int(report.reason),
        "reason_text": MEANINGS.get(report.reason, ""),
        "quality": [bit.name for bit in Quality if report.quality & bit],
        "score": report.score if math.isfinite(report.score) else None,
        "threshold": report.threshold if math.isfinite(report.threshold) else None,
        "recipe": report.recipe_used,
        "recipe_crc": f"{report.recipe_crc_used:08x}",
        "total_ms": report.total_ms,
    }


def health_record(report: Report) -> dict[str, Any]:
    """The counters as a JSON object."""
    names = ("triggers", "completed", "ok", "nok", "uncertain", "error", "missed", "overruns")
    return {name: getattr(report, name) for name in (*names, "worker_restarts", "uptime_s")}
