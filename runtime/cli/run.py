"""`csflow run`: a camera, a bundle, verdicts."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from csflow.runtime.cli.command import (
    INTERRUPTED,
    Command,
    backend_option,
    bundle_option,
    ending_signals,
    pixels_option,
    release_stdout,
    tell,
)
from csflow.runtime.cli.run_options import stream_options
from csflow.runtime.cli.run_outputs import output_options
from csflow.runtime.errors import SinkError

if TYPE_CHECKING:
    from csflow.runtime.line.inspection import Ended, Opened

__all__ = ["Stop", "run", "signals"]

EXAMPLES = (
    "csflow run --camera 0 --results results.jsonl --serve 127.0.0.1:8080",
    "csflow run --camera parts/ --save rejected/",
    "csflow run --camera '0?exposure=100' --trigger gpio:/dev/gpiochip0:17 --deadline-ms 200",
)

SUMMARY_S = 2.0

EPILOG = """\b
Cameras:
  0, /dev/video0, /dev/v4l/by-id/...   USB and other V4L2 cameras, with settings: '0?size=1280x720&exposure=100'
  parts/  'parts/*.png'  part.png      pictures, in natural order
  line.mp4                             a video file
  watch:lot/                           pictures as they appear in a folder
  rtsp://user:password@host/path       a network camera (also http://; gst+rtsp:// through GStreamer)
  'gst:PIPELINE'  csi:0  aravis:NAME   GStreamer, a Jetson's CSI connector, GenICam cameras through Aravis
  'genicam:SERIAL?ExposureTime=5000'   GenICam cameras through their maker's GenTL producer
  'pylon:SERIAL?ExposureTime=5000'     Basler's cameras through their maker's library
  synthetic://?defects=0.1&fps=10&seed=1&frames=100&size=256x256

\b
Exit codes:
  0    end of the stream, --frames reached, or stopped by SIGTERM or SIGHUP
  1    wrong option, or no thresholds      2    wrong usage
  3    no usable bundle                    4    engine missing, not verified or failed
  5    no such file, no camera in time                  6    camera lost while running
  7    disk full, or results not writable  130  stopped by Ctrl-C

Rejected parts do not change the exit code. The summary is printed at every end of a run that had begun.
"""


@click.command(cls=Command, epilog=EPILOG, examples=EXAMPLES)
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
@backend_option("auto", "Engine that inspects. ")
@output_options
@stream_options
@click.option(
    "--unverified",
    is_flag=True,
    help="Run an engine too that has not passed 'csflow verify'; every result says so.",
)
@click.option("-q", "--quiet", is_flag=True, help="No line per frame.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON on standard output.")
@click.pass_context
def run(ctx: click.Context, /, **options: Any) -> None:
    """Give every part before the camera a verdict, until the stream ends or Ctrl-C.

    Of a camera always the newest frame is taken, and frames dropped meanwhile are counted; of files and
    videos every frame is taken. With --trigger each trigger gets exactly one result. Each frame gets one line,
    on standard error where standard output carries results or JSON.
    """
    from csflow.runtime.cli.logs import run_logs
    from csflow.runtime.cli.run_options import inspection
    from csflow.runtime.line.inspection import inspect

    wish, stop = inspection(options), Stop()
    with run_logs(wish.outputs.log_file) as log:

        def announce(opened: Opened) -> None:
            tell("\n".join(opened.lines()))
            for line in opened.lines():
                log.info("%s", line)

        ended = inspect(wish, announce, lambda: signals(stop))
        errors = [] if ended.error is None else [ended.error]
        for error in errors:
            log.error("%s", error)
        try:
            _print_summary(ended, options["as_json"], to_stderr=wish.outputs.results == "-")
        except SinkError as error:
            errors.append(error)
        log.info("%s", " | ".join(ended.summary.text().splitlines()))
    if errors:
        raise errors[0]
    if stop.signal == signal.SIGINT:
        ctx.exit(INTERRUPTED)


class Stop(threading.Event):
    """Set by a signal, which it remembers."""

    signal: int | None = None


@contextlib.contextmanager
def signals(stop: Stop) -> Iterator[Stop]:
    """Ctrl-C, SIGTERM and SIGHUP set the event once; a second signal acts as it did before."""
    before = {number: signal.getsignal(number) for number in ending_signals()}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def handle(number: int, _frame: FrameType | None) -> None:
        stop.signal = number
        stop.set()
        restore()

    for number in before:
        signal.signal(number, handle)
    try:
        yield stop
    finally:
        restore()


def _print_summary(ended: Ended, as_json: bool, to_stderr: bool) -> None:
    from csflow.runtime.machine.writable import writable
    from csflow.runtime.schema import dump_json
    from csflow.runtime.sink import sink_error

    text = "\n".join([ended.summary.text(), *(report.text() for report in ended.reports if report.told)])
    if as_json:
        outputs = [dataclasses.asdict(report) for report in ended.reports]
        text = dump_json({**ended.summary.to_mapping(), "outputs": outputs}).decode().rstrip()
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
