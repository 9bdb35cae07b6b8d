"""The counts of a run for Prometheus, collected when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)

from csflow.runtime.machine.names import shown
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
        yield from self._engine()
        yield from self._results()
        yield from self._cameras()
        yield from self._outputs()
        yield from self._newest()

    def _engine(self) -> Iterator[Metric]:
        info = self._state.info
        about = InfoMetricFamily("csflow", "What runs.")
        about.add_metric([], {"bundle": shown(info.bundle), "engine": shown(info.engine)})
        yield about
        yield GaugeMetricFamily(
            "csflow_engine_verified", "1 where the decision gate has passed the engine.", value=not info.distrust
        )
        thresholds = GaugeMetricFamily("csflow_threshold", "Thresholds in score units.", labels=["kind"])
        thresholds.add_metric(["warn"], info.warn_threshold)
        thresholds.add_metric(["reject"], info.reject_threshold)
        yield thresholds

    def _results(self) -> Iterator[Metric]:
        results = CounterMetricFamily("csflow_results", "Results by verdict.", labels=["verdict"])
        for verdict, count in self._state.counters()[0].items():
            results.add_metric([verdict], count)
        yield results
        yield CounterMetricFamily(
            "csflow_unverified_results", "Results of an engine that is not verified.", value=self._state.unverified
        )
        dropped = self._state.tally.summary().dropped
        yield CounterMetricFamily("csflow_frames_dropped", "Frames that nobody looked at.", value=dropped)
        buckets, sum_s = self._state.latency()
        yield HistogramMetricFamily("csflow_latency_seconds", "Capture to verdict.", buckets=buckets, sum_value=sum_s)

    def _cameras(self) -> Iterator[Metric]:
        given = CounterMetricFamily("csflow_camera_results", "Results by camera.", labels=["camera"])
        errors = CounterMetricFamily("csflow_camera_errors", "ERROR results by camera.", labels=["camera"])
        up = GaugeMetricFamily("csflow_camera_up", "1 while the camera is there and gives frames.", labels=["camera"])
        last = GaugeMetricFamily(
            "csflow_camera_last_result_timestamp_seconds", "Capture of the camera's newest result.", labels=["camera"]
        )
        for name, camera in self._state.counters()[1].items():
            label = shown(name)
            given.add_metric([label], camera.results)
            errors.add_metric([label], camera.errors)
            up.add_metric([label], camera.up)
            if camera.last_unix_s is not None:
                last.add_metric([label], camera.last_unix_s)
        yield from (given, errors, up, last)

    def _outputs(self) -> Iterator[Metric]:
        fates = CounterMetricFamily("csflow_output_results", "Results by output and fate.", labels=["output", "fate"])
        for report in self._state.counters()[2]:
            for fate in ("written", "failed", "dropped"):
                fates.add_metric([shown(report.name), fate], getattr(report, fate))
        yield fates

    def _newest(self) -> Iterator[Metric]:
        newest = self._state.newest()
        if newest is None:
            return
        yield GaugeMetricFamily("csflow_score", "Score of the newest result.", value=newest.result.score)
        if newest.result.clipped is not None:
            shares = GaugeMetricFamily("csflow_clipped_share", "Of the newest picture, by the window.", labels=["end"])
            for end, share in zip(("below", "above"), newest.result.clipped, strict=True):
                shares.add_metric([end], share)
            yield shares
        yield GaugeMetricFamily(
            "csflow_last_result_timestamp_seconds", "Capture of the newest result.", value=newest.unix_s
        )
