"""A GenICam camera as a source: its driver runs in a process of its own, which is killed when it hangs."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import math
import os
import select
import subprocess
import sys
import time
from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from csflow.runtime import errors, schema
from csflow.runtime.errors import CSFlowError, EndOfStream, FrameError, SourceError, SourceLost
from csflow.runtime.picture.colour import three_channels
from csflow.runtime.picture.origin import GENICAM
from csflow.runtime.sources.genicam.packets import FIRE, Packet, PacketReader
from csflow.runtime.sources.genicam.wish import Wish
from csflow.runtime.types import Frame

__all__ = ["GenicamSource", "image_of", "open_genicam", "set_pipe"]

DRIVER = ("-m", "csflow.runtime.sources.genicam.driver")
OPEN_S = 30.0
"""Beyond the camera's own time: an interpreter starts, and a producer asks every network for cameras."""
STOP_S = 2.0
STDERR_LINES = 20
PIPE_BYTES = 1 << 20
_LOG = logging.getLogger("csflow.camera")


class GenicamSource:
    """The pictures of one camera, stamped when the producer gave them."""

    live = True
    decoder = GENICAM
    """What makes the pixels (`csflow.runtime.picture.origin`)."""

    def __init__(self, name: str, wish: Wish, stall_s: float) -> None:
        """Start the driver and wait until the camera is open and set.

        Args:
            name: shown to people.
            wish: which camera, and how it is to be set.
            stall_s: longest time in seconds in which the driver may say nothing at all.

        Raises as `drive` does.
        """
        self.name = name
        self.waits = bool(wish.trigger)
        """Whether it exposes only when it is told to."""
        self._fires = wish.trigger == "Software"
        self._stall_s = stall_s
        self._next = 0
        self._seen: tuple[int | None, int] = (None, 0)
        self._damaged = self._missed = 0
        self._closed = False
        self._errors: deque[str] = deque(maxlen=STDERR_LINES)
        self._child, self._handle = _start(wish)
        self._reader = PacketReader(self._handle)
        self._heard_s = time.monotonic()
        try:
            opened = self._await("opened", OPEN_S + stall_s)
        except BaseException:
            self.close()
            raise
        self.device = str(opened["device"])
        """The camera for people: serial number, maker and model."""
        self.features: dict[str, str] = dict(opened["features"])
        """What was set, as it was read back."""

    def _await(self, event: str, limit_s: float) -> Any:
        end_s = time.monotonic() + limit_s
        while (left_s := end_s - time.monotonic()) > 0:
            packet = self._packet()
            if packet is None:
                self._wait(left_s)
            elif packet.told["event"] == event:
                return packet.told
            else:
                self._heed(packet)
        raise self._lost(f"was not opened within {limit_s:g} s")

    def read(self, timeout_s: float) -> Frame | None:
        """The next picture; a driver that says nothing, or ends, is killed and named lost, with its last words.

        A picture of which parts did not arrive is a FrameError with the fault 'truncated'.
        """
        if self._closed:
            raise EndOfStream
        end_s = time.monotonic() + timeout_s
        while True:
            packet = self._packet()
            if packet is not None:
                if (frame := self._heed(packet)) is not None:
                    return frame
                continue
            now_s = time.monotonic()
            if now_s - self._heard_s > self._stall_s:
                raise self._lost(f"hangs in its driver: it said nothing for {self._stall_s:g} s")
            if now_s >= end_s:
                return None
            self._wait(min(end_s - now_s, self._stall_s))

    def fire(self) -> None:
        """Execute the camera's software trigger, where it waits for that."""
        if self._fires and not self._closed and self._child.stdin is not None:
            with contextlib.suppress(OSError, ValueError):  # a driver that has just ended, or was closed
                self._child.stdin.write(FIRE)
                self._child.stdin.flush()

    def _packet(self) -> Packet | None:
        self._listen()
        try:
            packet = self._reader.read()
        except EOFError:
            raise self._ended() from None
        except SourceError as error:
            raise self._lost(f"cannot be understood: {error}") from None
        if packet is not None:
            self._heard_s = time.monotonic()
        return packet

    def _heed(self, packet: Packet) -> Frame | None:
        told = packet.told
        if told["event"] == "failed":
            raise self._failed(str(told["kind"]), str(told["message"]))
        if told["event"] == "warning":
            _LOG.warning("%s", told["message"])
        if told["event"] == "incomplete":
            index, self._next = self._next, self._next + 1
            self._damaged += 1
            reason = f"{self.name} sent a picture of which parts were lost on the way: check network card and cable"
            raise FrameError(reason, index, self.name, "truncated")
        return self._frame(packet) if told["event"] == "picture" else None

    def _frame(self, packet: Packet) -> Frame:
        camera = dict(packet.told["camera"])
        index = self._next + self._missing(camera.get("frame_id"), int(packet.told["dropped"]))
        missed, self._missed = self._missed, int(camera.get("missed_triggers", 0))
        # A trigger that the camera missed is a part without a picture.
        index += max(0, self._missed - missed)
        self._next, self._damaged = index + 1, 0
        return Frame(image_of(packet), index, int(packet.told["captured_ns"]), self.name, camera=camera)

    def _missing(self, frame_id: int | None, dropped: int) -> int:
        """Frames between the last one and this: by the camera's numbers, or, where it has none, those dropped here."""
        before, self._seen = self._seen, (frame_id, dropped)
        if frame_id is None or before[0] is None:
            return dropped - before[1] if frame_id is None else 0
        # A number that is not higher began anew, or came round: GigE Vision 1 has 16 bits.
        return max(0, frame_id - before[0] - 1 - self._damaged)

    def _wait(self, seconds: float) -> None:
        waiting = select.poll()
        for handle in (self._handle, self._stderr):
            waiting.register(handle, select.POLLIN)
        if waiting.poll(math.ceil(1000 * seconds)) and not self._listen():
            # Its messages ended; what else comes is waited for without them.
            time.sleep(min(seconds, 0.001))

    @property
    def _stderr(self) -> int:
        assert self._child.stderr is not None
        return self._child.stderr.fileno()

    def _listen(self) -> bool:
        """Keep the last lines of what the driver prints; False where it cannot print any more."""
        with contextlib.suppress(BlockingIOError):
            while text := os.read(self._stderr, 4096):
                self._errors.extend(text.decode("utf-8", "replace").splitlines())
            return False
        return True

    def _failed(self, kind: str, message: str) -> CSFlowError:
        self.close()
        made = getattr(errors, kind, SourceError)
        if made is SourceLost and not self._next:
            made = SourceError
        failure: CSFlowError = made(message)
        return failure

    def _ended(self) -> SourceError:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(STOP_S)
        return self._lost(f"was lost: its driver ended ({self._child.returncode})")

    def _lost(self, what: str) -> SourceError:
        self._listen()
        self.close()
        told = next((line.strip() for line in reversed(self._errors) if line.strip()), "")
        message = f"{self.name} {what}" + (f": {told[:200]}" if told else "")
        return SourceLost(message) if self._next else SourceError(message)

    def close(self) -> None:
        """End the driver: asked first, so that the camera is given back; then killed."""
        if self._closed:
            return
        self._closed = True
        assert self._child.stdin is not None
        with contextlib.suppress(OSError):
            self._child.stdin.close()
        # A driver that waits for a reader of its pictures would not look up.
        os.close(self._handle)
        try:
            self._child.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        if self._child.stderr is not None:
            self._child.stderr.close()

    def __enter__(self) -> GenicamSource:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def open_genicam(uri: str, timeout_s: float) -> GenicamSource:
    """genicam:NAME?ExposureTime=5000&Gain=6, a camera through a GenTL producer, or pylon:NAME (`Wish` has the grammar).

    Raises:
        ConfigError: an option that there is not, or a feature that the camera does not have.
        BackendUnavailable: a library or a GenTL producer is missing.
        SourceError: there is no such camera, another program has it, or it does not take its settings.
    """
    return GenicamSource(uri.partition("?")[0], Wish.parse(uri), timeout_s)


def image_of(packet: Packet) -> NDArray[Any]:
    """(H, W, 3) uint8 RGB of 8 bits; of more, what the camera sent: (H, W) grey or (H, W, 3) RGB, uint16."""
    shape = tuple(packet.told["shape"])
    image: NDArray[Any] = packet.data.view(packet.told["dtype"]).reshape(shape)
    return three_channels(image) if image.dtype == np.uint8 and len(shape) == 2 else image


def set_pipe(handle: int) -> None:
    """Let a pipe hold as much as the user may have, up to `PIPE_BYTES`."""
    with contextlib.suppress(OSError):  # beyond the user's share of pipe memory; then it stays as it is
        fcntl.fcntl(handle, fcntl.F_SETPIPE_SZ, PIPE_BYTES)


def _start(wish: Wish) -> tuple[subprocess.Popen[bytes], int]:
    """The process, and what to read from it."""
    reading, writing = os.pipe2(os.O_CLOEXEC)
    set_pipe(writing)
    words = schema.json_line(schema.to_mapping(wish))
    try:
        child = subprocess.Popen(
            [sys.executable, *DRIVER, words, str(writing)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=(writing,),
            start_new_session=True,
        )
    except BaseException:
        os.close(reading)
        raise
    finally:
        os.close(writing)
    assert child.stderr is not None
    for handle in (reading, child.stderr.fileno()):
        os.set_blocking(handle, False)
    return child, reading
