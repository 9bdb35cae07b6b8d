"""The counts of a run for Prometheus, collected when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric

from csflow.runtime.page.state import LiveState

__all__ = ["Metrics"]


class Metrics:
    """A collector over a `LiveState`, in a registry of its own."""

    def __init__(self, state: LiveState) -> None:
        self._state = state
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def text(self) -> bytes:
        """The text exposition format, version 0.0.4."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """What the registry asks for."""
        summary = self._state.tally.summary()
        info = InfoMetricFamily("csflow", "What runs.")
        info.add_metric([], {"bundle": self._state.info.bundle, "engine": self._state.info.engine})
        yield info
        yield from self._results()
        yield CounterMetricFamily("csflow_frames_dropped", "Frames that nobody looked at.", value=summary.dropped)
        latency = GaugeMetricFamily(
            "csflow_latency_seconds", "Capture to verdict over the whole run.", labels=["quantile"]
        )
        values = (summary.latency_p50_s, summary.latency_p95_s, summary.latency_p99_s)
        for name, value in zip(("0.5", "0.95", "0.99"), values, strict=True):
            if value is not None:
                latency.add_metric([name], value)
        yield latency
        yield from self._newest()

    def _results(self) -> Iterator[Metric]:
        verdicts, cameras, outputs = self._state.counters()
        results = CounterMetricFamily("csflow_results", "Results by verdict.", labels=["verdict"])
        for verdict, count in verdicts.items():
            results.add_metric([verdict], count)
        yield results
        given = CounterMetricFamily("csflow_camera_results", "Results by camera.", labels=["camera"])
        errors = CounterMetricFamily("csflow_camera_errors", "ERROR results by camera.", labels=["camera"])
        for camera, (results_given, failed) in cameras.items():
            given.add_metric([camera], results_given)
            errors.add_metric([camera], failed)
        yield given
        yield errors
        fates = CounterMetricFamily("csflow_output_results", "Results by output and fate.", labels=["output", "fate"])
        for report in outputs:
            for fate in ("written", "failed", "dropped"):
                fates.add_metric([report.name, fate], getattr(report, fate))
        yield fates

    def _newest(self) -> Iterator[Metric]:
        info, newest = self._state.info, self._state.newest()
        thresholds = GaugeMetricFamily("csflow_threshold", "Thresholds in score units.", labels=["kind"])
        thresholds.add_metric(["warn"], info.warn_threshold)
        thresholds.add_metric(["reject"], info.reject_threshold)
        yield thresholds
        if newest is not None:
            yield GaugeMetricFamily("csflow_score", "Score of the newest result.", value=newest.result.score)
