"""GStreamer pipelines as sources: a child process that writes raw pictures into a pipe.

Works with any OpenCV, which is not used here, and a pipeline that hangs or crashes takes nothing with it: its
process is killed. Needs gst-launch-1.0 and the plugins good and bad (gdppay is in the latter).
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import math
import os
import re
import select
import shlex
import shutil
import signal
import subprocess
import time
from collections import deque

from csflow.runtime.errors import BackendUnavailable, ConfigError, EndOfStream, FrameError, SourceError, SourceLost
from csflow.runtime.picture.origin import GSTREAMER, PILLOW
from csflow.runtime.sources.gstreamer.gdp import GdpReader, Packet
from csflow.runtime.sources.gstreamer.pipelines import (
    RtspStream,
    aravis_pipeline,
    csi_pipeline,
    probe_pipeline,
    rtsp_pipeline,
)
from csflow.runtime.sources.opencv import redact
from csflow.runtime.types import Frame

__all__ = ["GstSource", "open_aravis", "open_csi", "open_gst", "open_gst_rtsp"]

LAUNCHER: tuple[str, ...] = ("gst-launch-1.0",)
PACKETS = "gdppay ! fdsink sync=false fd="
RAW = "videoconvert ! videoflip video-direction=auto ! video/x-raw,format=(string){RGB,GRAY8,GRAY16_LE}"
"""Upright, in 8 bits; 16-bit grey is passed on so that it can be refused instead of losing its lower bits."""
UNDECODED = re.compile(r"jpegdec|image/jpeg(,.*)?")
NEWEST = "queue leaky=downstream max-size-buffers=1 max-size-bytes=0 max-size-time=0"
PIPE_BYTES = 1 << 20
STOP_S = 2.0
PLUGINS_S = 60.0
STDERR_LINES = 20
_SECRET = re.compile(r"(rtspt?s?|https?)://\S*@")


class GstSource:
    """The pictures of a pipeline, each stamped when its first byte can be read."""

    def __init__(self, name: str, pipeline: str, stall_s: float, live: bool = True, finite: bool = False) -> None:
        """Start the pipeline.

        Args:
            name: shown to people, without credentials.
            pipeline: elements up to raw video, as gst-launch-1.0 takes them.
            stall_s: longest time in seconds without a picture.
            live: frames that nobody fetches in time are dropped in the pipeline; else the pipeline waits.
            finite: the pipeline may end; else its end is a loss.

        Raises:
            BackendUnavailable: gst-launch-1.0 is not installed.
            ConfigError: the text cannot be split into words.
        """
        self.name = name
        self.live = live
        self._finite = finite
        self._stall_s = stall_s
        self._next = 0
        self._errors: deque[str] = deque(maxlen=STDERR_LINES)
        self._child, self._handle, encoded = _start(pipeline, live)
        self.decoder = PILLOW if encoded else GSTREAMER
        """What makes the pixels (`csflow.runtime.picture.origin`)."""
        self._reader = GdpReader(self._handle)
        self._heard_ns = time.monotonic_ns()
        self._closed = False

    def read(self, timeout_s: float) -> Frame | None:
        """The next picture; a pipeline that stands still or ends is killed and named lost, with its last words."""
        if self._closed:
            raise EndOfStream
        deadline_ns = time.monotonic_ns() + int(timeout_s * 1e9)
        while True:
            packet = self._packet()
            if packet is not None:
                return self._frame(packet)
            now_ns = time.monotonic_ns()
            if now_ns - self._heard_ns > self._stall_s * 1e9:
                raise self._lost(f"gave no frame for {self._stall_s:g} s")
            remaining_s = min((deadline_ns - now_ns) / 1e9, self._stall_s)
            if remaining_s <= 0:
                return None
            self._wait(remaining_s)

    def _packet(self) -> Packet | None:
        self._listen()
        try:
            return self._reader.read()
        except EOFError:
            raise self._ended() from None
        except SourceError as error:
            raise self._lost(str(error)) from None

    def _frame(self, packet: Packet) -> Frame:
        captured_ns = self._heard_ns = time.monotonic_ns()
        index, self._next = self._next, self._next + 1
        source = self.name if self.live else f"{self.name}#{index}"
        if packet.image is None:
            raise FrameError(f"{self.name} delivered {packet.problem}", index, source, "truncated")
        return Frame(packet.image, index, captured_ns, source)

    def _wait(self, timeout_s: float) -> None:
        poll = select.poll()
        poll.register(self._handle, select.POLLIN)
        poll.poll(math.ceil(timeout_s * 1e3))

    def _listen(self) -> None:
        # Unread, the pipe of its messages would fill up in a month and stop the pipeline.
        assert self._child.stderr is not None
        with contextlib.suppress(BlockingIOError):
            while text := os.read(self._child.stderr.fileno(), 4096):
                self._errors.extend(_SECRET.sub(r"\1://***@", text.decode("utf-8", "replace")).splitlines())

    def _ended(self) -> Exception:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(STOP_S)
        self._listen()
        if self._finite and self._child.returncode == 0:
            self.close()
            return EndOfStream()
        code = self._child.returncode
        return self._lost("ended" if not code else f"ended with exit code {code}" if code > 0 else f"died ({code})")

    def _lost(self, what: str) -> SourceError:
        self._listen()
        self.close()
        message = f"{self.name} {what}{_reason(self._errors)}"
        return SourceLost(message) if self._next else SourceError(message + "; try the pipeline with gst-launch-1.0")

    def close(self) -> None:
        """End the pipeline: asked first, as some camera daemons do not survive a client that is killed."""
        if self._closed:
            return
        self._closed = True
        for request in (signal.SIGINT, signal.SIGKILL):
            if self._child.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._child.pid, request)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._child.wait(STOP_S)
        os.close(self._handle)
        if self._child.stderr is not None:
            self._child.stderr.close()

    def __enter__(self) -> GstSource:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def open_gst(uri: str, timeout_s: float) -> GstSource:
    """gst:PIPELINE, any pipeline that ends in raw video.

    With `filesrc` every frame is taken and the end is the end; with `num-buffers=` too the end is the end;
    otherwise it is a camera, and its end a loss.
    """
    pipeline = uri.removeprefix("gst:").strip()
    if not pipeline:
        raise ConfigError("gst: needs a pipeline, for example 'gst:v4l2src device=/dev/video0'")
    from_file = "filesrc" in pipeline
    name = _SECRET.sub(r"\1://***@", uri)
    return GstSource(name, pipeline, timeout_s, live=not from_file, finite=from_file or "num-buffers=" in pipeline)


def open_csi(uri: str, timeout_s: float) -> GstSource:
    """csi:0?size=1280x720&fps=30&flip=0, a camera on a Jetson's CSI connector."""
    return GstSource(uri, csi_pipeline(uri), timeout_s)


def open_gst_rtsp(uri: str, timeout_s: float) -> GstSource:
    """gst+rtsp://user:password@host/path, decoded by GStreamer, in hardware where there is some.

    While it runs, the address with the password is readable in the list of processes.
    """
    name = "gst+" + redact(uri.removeprefix("gst+"))
    return GstSource(name, rtsp_pipeline(uri, _has, _asked(uri, timeout_s)), timeout_s)


def open_aravis(uri: str, timeout_s: float) -> GstSource:
    """aravis:NAME?size=...&exposure_us=..., a GenICam camera (GigE Vision, USB3 Vision) through Aravis."""
    return GstSource(uri, aravis_pipeline(uri), timeout_s)


def _asked(uri: str, timeout_s: float) -> RtspStream:
    """What the camera sends. One that does not answer is not told here: the pipeline's own words say why."""
    words = [*LAUNCHER, "-v", "--no-fault", *shlex.split(probe_pipeline(uri))]
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        answer = subprocess.run(words, check=False, capture_output=True, text=True, errors="replace", timeout=timeout_s)
        return RtspStream.parse(answer.stdout)
    return RtspStream("", True)


def _start(pipeline: str, live: bool) -> tuple[subprocess.Popen[bytes], int, bool]:
    """The process, what to read from it, and whether that will be JPEG."""
    try:
        words = shlex.split(pipeline)
    except ValueError as error:
        raise ConfigError(f"the pipeline {pipeline!r} cannot be read: {error}") from None
    if shutil.which(LAUNCHER[-1] if len(LAUNCHER) == 1 else LAUNCHER[0]) is None:
        raise BackendUnavailable(
            "GStreamer is not installed: apt-get install gstreamer1.0-tools gstreamer1.0-plugins-good "
            "gstreamer1.0-plugins-bad (and gstreamer1.0-plugins-base)"
        )
    reading, writing = os.pipe2(os.O_CLOEXEC)
    encoded = _leaves_jpeg(words)
    words += ["!", *(NEWEST if live else "queue").split(), "!", *([] if encoded else [*RAW.split(), "!"])]
    words += (PACKETS + str(writing)).split()
    with contextlib.suppress(OSError):  # beyond the user's share of pipe memory; then it stays as it is
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    try:
        # --no-fault: without it a pipeline that crashes would wait for a debugger for ever.
        child = subprocess.Popen(
            [*LAUNCHER, "--quiet", "--no-fault", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=(writing,),
            start_new_session=True,
            env={**os.environ, "GST_DEBUG_NO_COLOR": "1"},
        )
    except BaseException:
        os.close(reading)
        raise
    finally:
        os.close(writing)
    assert child.stderr is not None
    for handle in (reading, child.stderr.fileno()):
        os.set_blocking(handle, False)
    return child, reading, encoded


def _leaves_jpeg(words: list[str]) -> bool:
    """Whether a pipeline ends in JPEG; a jpegdec at its end is taken away, as csflow decodes itself, strictly."""
    last = len(words) - words[::-1].index("!") if "!" in words else 0
    if not UNDECODED.fullmatch("".join(words[last:])):
        return False
    importlib.import_module("simplejpeg")  # absent, it is to be missed now and not at the first picture
    if words[last] == "jpegdec" and last:
        del words[last - 1 :]
    return True


def _has(element: str) -> bool:
    try:
        # Its first start looks through all plugins, of which one may load a driver that hangs.
        asked = subprocess.run(["gst-inspect-1.0", element], check=False, capture_output=True, timeout=PLUGINS_S)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return asked.returncode == 0


def _reason(lines: deque[str]) -> str:
    """The first error that the pipeline named, with the package that brings a missing element."""
    told = [line.strip() for line in lines if line.strip()]
    first = next((t for t in told if t.startswith(("ERROR", "WARNING"))), told[0] if told else "")
    if 'no element "' in first:
        first += " (install the plugin that has it; gdppay is in gstreamer1.0-plugins-bad)"
    return f": {first}" if first else ""
