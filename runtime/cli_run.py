"""`csflow run`: a camera, a bundle, verdicts."""

from __future__ import annotations

import contextlib
import errno
import signal
import sys
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from csflow.runtime.command import INTERRUPTED, Command, bundle_option, release_stdout
from csflow.runtime.errors import CSFlowError, SinkError

if TYPE_CHECKING:
    from csflow.runtime.detector import Detector
    from csflow.runtime.sink import ResultSink
    from csflow.runtime.source import FrameSource
    from csflow.runtime.summary import Summary

__all__ = ["run"]

LONGEST_TIMEOUT_S = 604800.0

EPILOG = """\b
Cameras:
  0, /dev/video0, /dev/v4l/by-id/...   USB and other V4L2 cameras
  parts/  'parts/*.png'  part.png      pictures, in natural order
  line.mp4                             a video file
  rtsp://user:password@host/path       a network camera (also http://)
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
@click.option("--camera", default="0", show_default=True, metavar="URI", help="What to look at; see below.")
@bundle_option
@click.option("--backend", default="auto", show_default=True, metavar="NAME", help="auto, openvino, torch or fake.")
@click.option("--results", metavar="FILE", help="Append one JSON object a frame to FILE; '-' is standard output.")
@click.option("--save", metavar="DIR", help="Write a picture with heat map to DIR for every frame that was not OK.")
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
    camera: str,
    bundle: str,
    backend: str,
    results: str | None,
    save: str | None,
    frames: int | None,
    timeout: float,
    unverified: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Give every part before the camera a verdict, until the stream ends or Ctrl-C.

    Of a camera always the newest frame is taken, and frames dropped meanwhile are counted; of files and
    videos every frame is taken. Each frame gets one line, on standard error where standard output carries
    results or JSON.
    """
    from csflow.runtime.detector import Detector
    from csflow.runtime.source import open_source
    from csflow.runtime.stream import run_stream
    from csflow.runtime.summary import Tally

    if results == "-" and as_json:
        raise click.UsageError("--results - and --json both want standard output: give --results a file")
    piped = results == "-" or as_json
    with Detector.open(bundle, backend, unverified) as detector, contextlib.ExitStack() as stack:
        source = stack.enter_context(open_source(camera, timeout))
        sinks = _sinks(results, save, None if quiet else piped, detector, stack)
        _announce(detector, source)
        tally, errors = Tally(), []
        with _signals() as stop:
            try:
                run_stream(source, detector, sinks, stop=stop, max_frames=frames, silence_s=timeout, tally=tally)
            except CSFlowError as error:
                errors.append(error)
        try:
            _print_summary(tally.summary(), as_json, to_stderr=results == "-")
        except SinkError as error:
            errors.append(error)
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


def _sinks(
    results: str | None,
    save: str | None,
    lines_to_stderr: bool | None,
    detector: Detector,
    stack: contextlib.ExitStack,
) -> list[ResultSink]:
    """The records first: should a later sink fail, the frame is on record."""
    sinks: list[ResultSink] = []
    if results is not None:
        from csflow.runtime.sinks.jsonl import JsonLinesSink

        sinks.append(stack.enter_context(JsonLinesSink(results)))
    if save is not None:
        from csflow.runtime.sinks.overlay import OverlaySink

        roi = detector.bundle.manifest.preprocessing.roi
        sinks.append(stack.enter_context(OverlaySink(save, roi)))
    if lines_to_stderr is not None:
        from csflow.runtime.sinks.terminal import TerminalSink

        sinks.append(TerminalSink(sys.stderr if lines_to_stderr else sys.stdout))
    return sinks


def _announce(detector: Detector, source: FrameSource) -> None:
    calibration = detector.calibration
    click.echo(f"bundle     {detector.bundle.path}", err=True)
    click.echo(f"engine     {detector.engine.name}", err=True)
    if detector.distrust:
        click.echo(f"WARNING    {detector.distrust}", err=True)
    click.echo(f"source     {source.name}" + (" (live, newest frame)" if source.live else " (every frame)"), err=True)
    click.echo(
        f"thresholds warn {calibration.warn_threshold:.4g}, reject {calibration.reject_threshold:.4g}",
        err=True,
    )


def _print_summary(summary: Summary, as_json: bool, to_stderr: bool) -> None:
    from csflow.runtime.sink import sink_error

    text = summary.text()
    if as_json:
        import json

        text = json.dumps(summary.to_mapping(), indent=2, allow_nan=False)
    try:
        click.echo(text, err=to_stderr)
    except OSError as error:
        release_stdout()
        # A reader that has left does not miss the summary.
        if error.errno != errno.EPIPE:
            raise sink_error(error, "the summary") from None
