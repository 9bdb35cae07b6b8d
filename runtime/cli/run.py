"""`csflow run`: a camera, a bundle, verdicts."""

from __future__ import annotations

import contextlib
import errno
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from csflow.runtime.cli.command import INTERRUPTED, Command, bundle_option, pixels_option, release_stdout, tell
from csflow.runtime.cli.run_options import stream_options
from csflow.runtime.cli.run_outputs import output_options
from csflow.runtime.errors import CSFlowError, SinkError

if TYPE_CHECKING:
    from logging import Logger

    from csflow.runtime.detector import Detector
    from csflow.runtime.sinks.background import OutputReport
    from csflow.runtime.sinks.summary import Summary
    from csflow.runtime.source import FrameSource
    from csflow.runtime.trigger import Trigger

__all__ = ["run"]

LONGEST_TIMEOUT_S = 604800.0
SUMMARY_S = 2.0

EPILOG = """\b
Cameras:
  0, /dev/video0, /dev/v4l/by-id/...   USB and other V4L2 cameras, with settings: '0?size=1280x720&exposure=100'
  parts/  'parts/*.png'  part.png      pictures, in natural order
  line.mp4                             a video file
  rtsp://user:password@host/path       a network camera (also http://; gst+rtsp:// through GStreamer)
  'gst:PIPELINE'  csi:0  aravis:NAME   GStreamer, a Jetson's CSI connector, GenICam cameras
  synthetic://?defects=0.1&fps=10&seed=1&frames=100&size=256x256

\b
Exit codes:
  0    end of the stream, --frames reached, or stopped by SIGTERM
  1    wrong option, or no thresholds      2    wrong usage
  3    no usable bundle                    4    engine missing, not verified or failed
  5    no camera, no file                  6    camera lost while running
  7    disk full, or results not writable  130  stopped by Ctrl-C

Rejected parts do not change the exit code. The summary is printed at every end of a run that had begun.
"""


def _seconds(_ctx: click.Context, _parameter: click.Parameter, value: float) -> float:
    if not 0.1 <= value <= LONGEST_TIMEOUT_S:
        raise click.BadParameter(f"{value:g} does not lie between 0.1 and {LONGEST_TIMEOUT_S:g} seconds (a week).")
    return value


@click.command(cls=Command, epilog=EPILOG)
@click.option(
    "--camera",
    "cameras",
    multiple=True,
    default=("0",),
    show_default="0",
    metavar="URI",
    help="What to look at; see below. Repeat it for several cameras on one engine.",
)
@bundle_option
@pixels_option
@click.option(
    "--backend",
    default="auto",
    show_default=True,
    metavar="NAME",
    help="auto, tensorrt, tensorrt-rtx, openvino, torch or fake; with options: 'openvino?threads=2'.",
)
@output_options
@click.option("--frames", type=click.IntRange(min=1), metavar="N", help="Stop after N frames.")
@click.option(
    "--timeout",
    type=float,
    callback=_seconds,
    default=5.0,
    show_default=True,
    metavar="S",
    help="Longest time in seconds without a good frame, 0.1 to 604800.",
)
@stream_options
@click.option(
    "--unverified",
    is_flag=True,
    help="Run an engine too that has not passed 'csflow verify'; every result says so.",
)
@click.option("-q", "--quiet", is_flag=True, help="No line per frame.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON on standard output.")
@click.pass_context
def run(
    ctx: click.Context,
    /,
    cameras: tuple[str, ...],
    bundle: str,
    backend: str,
    frames: int | None,
    timeout: float,
    unverified: bool,
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Give every part before the camera a verdict, until the stream ends or Ctrl-C.

    Of a camera always the newest frame is taken, and frames dropped meanwhile are counted; of files and
    videos every frame is taken. With --trigger each trigger gets exactly one result. Each frame gets one line,
    on standard error where standard output carries results or JSON.
    """
    from csflow.runtime.cli.logs import run_logs
    from csflow.runtime.cli.run_options import open_cameras, stream_policy, stream_trigger
    from csflow.runtime.cli.run_outputs import output_choices
    from csflow.runtime.detector import Detector
    from csflow.runtime.line.outputs import open_outputs
    from csflow.runtime.line.stream import run_stream
    from csflow.runtime.machine.service import Service
    from csflow.runtime.sinks.summary import Tally

    if options["results"] == "-" and as_json:
        raise click.UsageError("--results - and --json both want standard output: give --results a file")
    chosen = output_choices(options, lines=not quiet, as_json=as_json)
    service = Service()
    with contextlib.ExitStack() as stack:
        log = stack.enter_context(run_logs(chosen.log_file))
        detector = stack.enter_context(Detector.open(bundle, backend, unverified))
        sources = open_cameras(cameras, timeout, options["reconnect"], stack)
        outputs = stack.enter_context(open_outputs(chosen, detector, sources, service.stopping))
        trigger = stream_trigger(options["trigger"], sources)
        _announce(detector, sources, trigger, outputs.page_url, log)
        tally, errors = Tally(), []
        with _signals() as stop:
            try:
                run_stream(
                    sources,
                    detector,
                    [outputs],
                    stop=stop,
                    tally=tally,
                    policy=stream_policy(options, frames, timeout),
                    trigger=trigger,
                    beat=service.beat,
                )
            except CSFlowError as error:
                log.error("%s", error)
                errors.append(error)
        try:
            _print_summary(tally.summary(), outputs.reports(), as_json, to_stderr=chosen.results == "-")
        except SinkError as error:
            errors.append(error)
        log.info("%s", " | ".join(tally.summary().text().splitlines()))
    if errors:
        raise errors[0]
    if stop.signal == signal.SIGINT:
        ctx.exit(INTERRUPTED)


class _Stop(threading.Event):
    """Set by a signal, which it remembers."""

    signal: int | None = None


@contextlib.contextmanager
def _signals() -> Iterator[_Stop]:
    """Ctrl-C and SIGTERM set the event once; a second signal acts as it did before."""
    stop = _Stop()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def handle(number: int, _frame: object) -> None:
        stop.signal = number
        stop.set()
        restore()

    for number in before:
        signal.signal(number, handle)
    try:
        yield stop
    finally:
        restore()


def _announce(
    detector: Detector, sources: Sequence[FrameSource], trigger: Trigger | None, page_url: str | None, log: Logger
) -> None:
    calibration = detector.calibration
    lines = [
        f"bundle     {detector.bundle.path}",
        f"engine     {detector.description}",
        *([] if not detector.distrust else [f"WARNING    {detector.distrust}"]),
        *(f"source     {source.name} ({'live' if source.live else 'every frame'})" for source in sources),
        *([] if trigger is None else [f"trigger    {trigger.name}"]),
        f"thresholds warn {calibration.warn_threshold:.4g}, reject {calibration.reject_threshold:.4g}",
        *([] if page_url is None else [f"page       {page_url}"]),
    ]
    tell("\n".join(lines))
    for line in lines:
        log.info("%s", line)


def _print_summary(summary: Summary, reports: Sequence[OutputReport], as_json: bool, to_stderr: bool) -> None:
    from csflow.runtime.machine.writable import writable
    from csflow.runtime.sink import sink_error

    text = "\n".join([summary.text(), *(report.text() for report in reports if report.told)])
    if as_json:
        import dataclasses

        from csflow.runtime.schema import dump_json

        outputs = [dataclasses.asdict(report) for report in reports]
        text = dump_json({**summary.to_mapping(), "outputs": outputs}).decode().rstrip()
    stream, name = (sys.stderr, "standard error") if to_stderr else (sys.stdout, "standard output")
    if not writable(stream, SUMMARY_S):
        raise SinkError(f"nobody reads the summary: the program that {name} goes to has stopped reading")
    try:
        click.echo(text, file=stream)
    except OSError as error:
        release_stdout()
        # A reader that has left does not miss the summary.
        if error.errno != errno.EPIPE:
            raise sink_error(error, "the summary") from None
