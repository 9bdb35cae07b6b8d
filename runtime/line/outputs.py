"""The outputs of a run as one sink: the evidence first, everything else behind queues of its own."""

from __future__ import annotations

import contextlib
import os
import platform
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from csflow.runtime.detector import Detector
from csflow.runtime.errors import ConfigError
from csflow.runtime.picture.origin import decoder_of
from csflow.runtime.picture.region import Region
from csflow.runtime.sink import TERMINAL, AwaitingSink, OutputReport, ResultSink
from csflow.runtime.sinks.background import BackgroundSink
from csflow.runtime.sinks.rule import ResultRule, SelectingSink
from csflow.runtime.source import FrameSource
from csflow.runtime.sources.reconnect import Reconnecting
from csflow.runtime.types import Frame, Result

__all__ = ["OutputOptions", "Outputs", "open_outputs"]

PICTURES_WAITING = 16
"""Each holds a camera picture: 16 of 5 megapixels are 240 MB."""


@dataclass(frozen=True)
class OutputOptions:
    """Where results go; None is nowhere."""

    results: str | None = None
    """JSON lines; '-' is standard output."""
    results_policy: str = "stop"
    """'stop': a record that cannot be written ends the run. 'drop': it is counted, and the run goes on."""
    csv_file: str | None = None
    save: str | None = None
    """Folder of pictures."""
    save_raw: bool = False
    """Keep the camera's own picture beside each."""
    save_rule: str = "not-ok"
    save_budget: int | None = None
    """Bytes."""
    output: str | None = None
    """Digital output, as `PulseSink` takes it."""
    mqtt: str | None = None
    webhook: str | None = None
    webhook_rule: str = "not-ok"
    serve: str | None = None
    """HOST:PORT of the live page; its token is in $CSFLOW_SERVE_TOKEN."""
    labels: str | None = None
    """Folder of what an operator says on that page, who has the token in $CSFLOW_OPERATOR_TOKEN."""
    also: tuple[str, ...] = ()
    """Other runs on that page, NAME=http://HOST:PORT each; their token is in $CSFLOW_ALSO_TOKEN."""
    language: str | None = None
    """Of that page: en, de or a JSON file; None: as the browser is set."""
    shift: str | None = None
    """File in which that page's counters of the shift outlive the run."""
    history: str | None = None
    """Folder of Parquet files."""
    line: str | None = None
    """Name of this line in them and on the page; None: the host's."""
    history_budget: int | None = None
    """Bytes."""
    shadow: tuple[str, str] | None = None
    """A bundle that judges too, and the folder of what it says."""
    log_file: str | None = None
    lines: bool = True
    """A line a frame on the terminal."""
    as_json: bool = False
    """Standard output is for the summary."""


class Outputs:
    """Writes to every sink in turn; closes those with queues at the same time."""

    def __init__(self, ending: Callable[[], None] = lambda: None) -> None:
        """`ending` is called when the closing begins."""
        self.page_url: str | None = None
        self._sinks: list[ResultSink] = []
        self._queues: list[BackgroundSink] = []
        self._ending = ending

    def add(self, sink: ResultSink, queue: BackgroundSink | None = None) -> None:
        """Take over a sink; `queue` is the one it leads to."""
        self._sinks.append(sink)
        if queue is not None:
            self._queues.append(queue)

    def reports(self) -> list[OutputReport]:
        """How the outputs with queues fared."""
        return [queue.report() for queue in self._queues]

    def write(self, result: Result, frame: Frame | None) -> None:
        """Write to every sink. Raises SinkError where one of them must not be missing."""
        for sink in self._sinks:
            sink.write(result, frame)

    def asked(self) -> None:
        """Tell those that await a result."""
        for sink in self._sinks:
            if isinstance(sink, AwaitingSink):
                sink.asked()

    def close(self) -> None:
        """Flush and close all, within the time of the slowest. May be called twice."""
        self._ending()
        for queue in self._queues:
            queue.finish()
        with contextlib.ExitStack() as stack:
            for sink in self._sinks:
                stack.callback(sink.close)

    def __enter__(self) -> Outputs:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def open_outputs(
    options: OutputOptions,
    detector: Detector,
    sources: Sequence[FrameSource],
    ending: Callable[[], None] = lambda: None,
    triggered: bool = False,
) -> Outputs:
    """Open what the options name.

    Where frames come from files the outputs are waited for; of a camera what finds no room is dropped and counted.

    Args:
        triggered: results come when they are asked for: between them the page waits for a trigger.

    Raises:
        ConfigError: an address or a rule is wrong, or a digital output is to show several cameras.
        SinkError: a file, folder or port cannot be had.
        BackendUnavailable: a library is missing.
    """
    outputs, waits = Outputs(ending), not any(source.live for source in sources)
    try:
        _open_files(outputs, options, detector, sources)
        if options.output is not None:
            from csflow.runtime.sinks.pulse import PulseSink

            if len(sources) > 1:
                raise ConfigError(
                    "--output pulses for each verdict, and the OK of one camera would pass a part that another one "
                    "rejects: start one run for each camera"
                )
            outputs.add(PulseSink(options.output))
        _open_network(outputs, options, waits)
        _open_views(outputs, options, waits)
        if options.serve is not None:
            _open_page(outputs, options, detector, sources, triggered)
    except BaseException:
        outputs.close()
        raise
    return outputs


def _open_files(outputs: Outputs, options: OutputOptions, detector: Detector, sources: Sequence[FrameSource]) -> None:
    waits = not any(source.live for source in sources)
    if options.results is not None:
        from csflow.runtime.sinks.files.jsonl import JsonLinesSink

        records = JsonLinesSink(options.results)
        if options.results_policy == "stop":
            outputs.add(records)
        else:
            _add_queue(outputs, BackgroundSink(records, f"results {options.results}", waits=waits))
    if options.csv_file is not None:
        from csflow.runtime.sinks.files.table import CsvSink

        _add_queue(outputs, BackgroundSink(CsvSink(options.csv_file), f"table {options.csv_file}", waits=waits))
    if options.save is not None:
        from csflow.runtime.sinks.overlay import OverlaySink

        rule = ResultRule(options.save_rule)
        by_name = {source.name: source for source in sources}
        raw = (lambda camera: decoder_of(by_name.get(camera))) if options.save_raw else None
        region = Region.of(detector.bundle.manifest.preprocessing)
        folder = OverlaySink(Path(options.save), region, options.save_budget, raw)
        name = f"pictures {options.save}"
        queue = BackgroundSink(folder, name, capacity=PICTURES_WAITING, pictures=True, waits=waits)
        outputs.add(SelectingSink(queue, rule), queue)
    if options.history is not None:
        from csflow.runtime.history.sink import HistorySink

        kept = HistorySink(Path(options.history), _line(options), options.history_budget)
        _add_queue(outputs, BackgroundSink(kept, f"history {options.history}", waits=waits))
    if options.shadow is not None:
        from csflow.runtime.replay.shadow import ShadowSink

        bundle, where = options.shadow
        shadow = ShadowSink(bundle, detector.engine.name, Path(where))
        name = f"shadow {bundle}"
        _add_queue(outputs, BackgroundSink(shadow, name, capacity=PICTURES_WAITING, pictures=True, waits=waits))


def _open_network(outputs: Outputs, options: OutputOptions, waits: bool) -> None:
    if options.mqtt is not None:
        from csflow.runtime.sinks.mqtt import MqttAddress, MqttSink

        name = f"mqtt {MqttAddress.parse(options.mqtt)}"
        _add_queue(outputs, BackgroundSink(MqttSink(options.mqtt), name, waits=waits))
    if options.webhook is not None:
        from csflow.runtime.sinks.webhook import WebhookSink, masked_url

        rule = ResultRule(options.webhook_rule)
        sink = WebhookSink(options.webhook)
        queue = BackgroundSink(sink, f"webhook {masked_url(options.webhook)}", waits=waits)
        outputs.add(SelectingSink(queue, rule), queue)


def _open_views(outputs: Outputs, options: OutputOptions, waits: bool) -> None:
    if options.log_file is not None:
        from csflow.runtime.sinks.log import LogSink

        outputs.add(LogSink())
    if options.lines:
        from csflow.runtime.sinks.terminal import TerminalSink

        stream = sys.stderr if options.results == "-" or options.as_json else sys.stdout
        # Whoever pipes the lines away and leaves wants the run to end; whoever stops reading does not stop the line.
        _add_queue(outputs, BackgroundSink(TerminalSink(stream), TERMINAL, waits=waits, fatal=True))


def _open_page(
    outputs: Outputs, options: OutputOptions, detector: Detector, sources: Sequence[FrameSource], triggered: bool
) -> None:
    assert options.serve is not None
    from csflow.runtime.labels.folder import LabelFolder
    from csflow.runtime.page.facts import Beside, PageInfo
    from csflow.runtime.page.labelling import Labelling
    from csflow.runtime.page.sink import PageSink

    info = PageInfo(
        bundle=detector.bundle.path.name,
        engine=detector.engine.name,
        warn_threshold=detector.calibration.warn_threshold,
        reject_threshold=detector.calibration.reject_threshold,
        cameras=tuple(source.name for source in sources),
        region=Region.of(detector.bundle.manifest.preprocessing),
        distrust=detector.distrust,
        triggered=triggered,
        signed_by=detector.identity.signed_by,
        unsigned=bool(detector.identity.pack_sha256 and not detector.identity.signed_by),
        line=_line(options),
    )
    waited_for = [source for source in sources if isinstance(source, Reconnecting)]
    by_name = {source.name: source for source in sources}
    page = PageSink(
        options.serve,
        info,
        os.environ.get("CSFLOW_SERVE_TOKEN") or None,
        outputs.reports,
        lambda: {s.name for s in waited_for if s.away},
        os.environ.get("CSFLOW_OPERATOR_TOKEN") or None,
        None
        if options.labels is None
        else Labelling(LabelFolder(options.labels), lambda camera: decoder_of(by_name[camera])),
        Beside(
            options.also,
            os.environ.get("CSFLOW_ALSO_TOKEN") or None,
            options.language,
            None if options.save is None else Path(options.save),
            None if options.shift is None else Path(options.shift),
        ),
    )
    outputs.page_url = page.url
    outputs.add(page)


def _line(options: OutputOptions) -> str:
    return options.line or platform.node() or "line"


def _add_queue(outputs: Outputs, queue: BackgroundSink) -> None:
    outputs.add(queue, queue)
