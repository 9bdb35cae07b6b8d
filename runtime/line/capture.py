"""Pictures of good and defective parts for a data set, taken through the very path that a line takes its pictures."""

from __future__ import annotations

import contextlib
import importlib.metadata
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from csflow.runtime.atomic import write_atomic
from csflow.runtime.errors import ConfigError
from csflow.runtime.faults import Verdict
from csflow.runtime.labels.folder import PLACES
from csflow.runtime.labels.label import GOOD, check_truth
from csflow.runtime.line.cameras import CameraPolicy, open_cameras, warm_up_left_s
from csflow.runtime.line.rounds import Rounds, Turn
from csflow.runtime.picture.origin import CAPTURE, decoder_of, raw_png
from csflow.runtime.picture.window import in_window
from csflow.runtime.sink import sink_error
from csflow.runtime.source import FrameSource, source_kind
from csflow.runtime.trigger import Request, Trigger
from csflow.runtime.types import Frame, Result

__all__ = ["Capture", "Captured", "Preview", "capture", "place_of"]

WAITING = 4
"""Frames of a camera that may wait while one is written: a short burst is not thinned out."""
DEADLINE_S = 1.0
THUMBNAIL = (64, 64)
LEAST_BITS = 10
"""Of a camera of more than 8: dark pictures are compared as it sees them."""
PLAIN_KINDS = ("camera", "csi", "aravis", "genicam", "pylon", "synthetic", "files", "video", "watch")
"""Kinds of source whose URI holds settings and no password."""


@dataclass(frozen=True)
class Capture:
    """What is to be captured, and when."""

    camera: str
    """As `open_source` takes it."""
    folder: Path
    """The data set."""
    place: str = "train/good"
    """The folder in it: train/good, calibration/good, test/good or test/<defect>."""
    every: int = 1
    """Each how manieth frame is kept; without a trigger."""
    change: float | None = None
    """Keep a frame only where it differs from the last one kept by so many grey levels on average."""
    pictures: int | None = None
    """End after so many; None goes on until the stream or the triggers end, or `stop` is set."""
    camera_policy: CameraPolicy = field(default_factory=CameraPolicy)

    def __post_init__(self) -> None:
        place_of(self.place)


@dataclass
class Captured:
    """How many frames became pictures, and what became of the others."""

    pictures: int = 0
    passed_over: int = 0
    """Neither the n-th, nor changed."""
    same: int = 0
    """Equal, byte for byte, to the picture before: of a camera that hangs, or of a scene that was drawn."""
    bad: int = 0
    """Frames that could not be delivered."""


def place_of(text: str) -> tuple[str, str]:
    """("train", "good") of "train/good". Raises ConfigError for what is no folder of a data set."""
    split, _, truth = text.strip("/").partition("/")
    try:
        check_truth(truth)
        if split not in PLACES or (truth != GOOD and split != "test"):
            raise ValueError(f"{text!r} is no folder for pictures")
    except ValueError as error:
        raise ConfigError(f"{error}: expected train/good, calibration/good, test/good or test/DEFECT") from None
    return split, truth


class Preview(Protocol):
    """Somebody who looks on."""

    def show(self, frame: Frame) -> bool:
        """Look at a frame; whether it is to be taken, where pictures are taken by him alone."""

    def count(self, pictures: int) -> None:
        """So many are taken."""


def capture(
    wish: Capture,
    trigger: Trigger | None,
    opened: Callable[[FrameSource], None],
    saved: Callable[[Path, Captured], None],
    failed: Callable[[str], None],
    stopping: Callable[[], AbstractContextManager[threading.Event]],
    preview: Preview | None = None,
    chosen: bool = False,
) -> Captured:
    """Take pictures until the end.

    Args:
        trigger: asks for each picture; None takes frames as they come. Closed by the caller.
        opened: is given the source once it is there.
        saved: is told of each picture that is whole on the disk.
        failed: is told of each frame that could not be delivered, in words.
        stopping: gives the event that ends it.
        preview: is shown each frame that comes; without a trigger.
        chosen: whether it says which frames are taken, and nothing else does.

    Raises ConfigError, SourceError and SinkError.
    """
    with contextlib.ExitStack() as stack:
        (source,) = open_cameras((wish.camera,), wish.camera_policy, stack)
        opened(source)
        with stopping() as stop:
            if trigger is not None:
                stop.wait(warm_up_left_s([source]))
            writer, done = _Writer(wish, source), Captured()
            for turn in _turns(wish, source, trigger, stop):
                wanted = preview is None or turn.frame is None or preview.show(turn.frame) or not chosen
                if wanted:
                    _take(wish, writer, done, turn, saved, failed, trigger)
                if preview is not None:
                    preview.count(done.pictures)
                if done.pictures == wish.pictures:
                    break
    return done


def _turns(wish: Capture, source: FrameSource, trigger: Trigger | None, stop: threading.Event) -> Iterator[Turn]:
    depth, silence_s = (1 if trigger else WAITING), wish.camera_policy.timeout_s
    rounds = Rounds([source], stop, lambda: None, depth=depth, silence_s=silence_s, max_results=None)
    try:
        for turns in rounds.free(1) if trigger is None else rounds.asked(trigger, DEADLINE_S):
            yield from turns
    finally:
        for feed in rounds.feeds:
            feed.close()


def _take(
    wish: Capture,
    writer: _Writer,
    done: Captured,
    turn: Turn,
    saved: Callable[[Path, Captured], None],
    failed: Callable[[str], None],
    trigger: Trigger | None,
) -> None:
    frame = turn.frame
    if frame is None:
        done.bad += 1
        failed(str(turn.item))
    elif path := writer.write(frame, done, turn.request):
        saved(path, done)
    if trigger is not None and turn.request is not None:
        trigger.answer(turn.request, _answer(turn, turn.request, wish))


def _answer(turn: Turn, request: Request, wish: Capture) -> Result:
    """What an asker gets: no verdict, as there is no model."""
    frame, nan = turn.frame, float("nan")
    reason = f"captured for {wish.place}" if frame is not None else str(turn.item)
    index, captured_ns = (frame.index, frame.captured_ns) if frame is not None else (-1, request.since_ns)
    nothing = np.zeros((0, 0), np.float32)
    source = "" if frame is None else frame.source
    result = Result(Verdict.NONE, nan, nan, nan, nothing, (-1, -1), reason, index, captured_ns, nan, source)
    return replace(result, camera=turn.feed.name, trigger=request.id)


class _Writer:
    """Chooses among frames and writes those as PNG, each with how it was taken."""

    def __init__(self, wish: Capture, source: FrameSource) -> None:
        self._wish, self._source = wish, source
        self._folder = wish.folder.joinpath(*place_of(wish.place))
        plain = source_kind(wish.camera) in PLAIN_KINDS
        self._camera = wish.camera if plain else source.name
        self._seen = 0
        self._kept: NDArray[np.uint8] | None = None

    def write(self, frame: Frame, done: Captured, request: Request | None) -> Path | None:
        """The new file; None where this frame is not wanted."""
        self._seen += 1
        asked = request is not None
        if not asked and (self._seen - 1) % self._wish.every:
            done.passed_over += 1
            return None
        if self._kept is not None and np.array_equal(self._kept, frame.image):
            done.same += 1
            return None
        if not asked and not self._changed(frame.image):
            done.passed_over += 1
            return None
        path = self._free_path(frame)
        try:
            write_atomic(path, raw_png(frame.image, decoder_of(self._source), CAPTURE, self._record(frame, request)))
        except OSError as error:
            raise sink_error(error, path) from None
        self._kept = frame.image
        done.pictures += 1
        return path

    def _changed(self, image: NDArray[Any]) -> bool:
        if self._wish.change is None or self._kept is None:
            return True
        difference = np.abs(_thumbnail(image) - _thumbnail(self._kept)).mean()
        return bool(difference > self._wish.change)

    def _free_path(self, frame: Frame) -> Path:
        unix_ns = frame.captured_unix_ns
        while (path := self._folder / _file_name(unix_ns, frame)).exists():
            unix_ns += 1
        return path

    def _record(self, frame: Frame, request: Request | None) -> dict[str, object]:
        wish = self._wish
        asked = {"trigger": request.id} if request else {"every": wish.every, "change": wish.change}
        return {
            "camera": self._camera,
            "source": frame.source,
            "frame_index": frame.index,
            "captured_unix_ns": frame.captured_unix_ns,
            "csflow": importlib.metadata.version("csflow"),
            **asked,
        }


def _thumbnail(image: NDArray[Any]) -> NDArray[np.float32]:
    if image.dtype == np.uint16:
        bits = max(int(image.max()).bit_length(), LEAST_BITS)
        image = in_window(image, (0, (1 << bits) - 1))
    return np.asarray(Image.fromarray(image).convert("L").resize(THUMBNAIL, Image.Resampling.BOX), np.float32)


def _file_name(unix_ns: int, frame: Frame) -> str:
    # Sorts by time; a file keeps its name.
    stamp = datetime.fromtimestamp(unix_ns // 10**9, timezone.utc).strftime("%Y%m%dT%H%M%S")
    stem = "" if "://" in frame.source else re.sub(r"[^A-Za-z0-9]+", "-", Path(frame.source).stem).strip("-")[-32:]
    return f"{stamp}.{unix_ns % 10**9:09d}Z-{stem or f'{frame.index:08d}'}.png"
