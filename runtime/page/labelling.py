"""The operator's word from the page: which parts can still be labelled, and how they are kept.

A part is labelled with the camera's own picture, not with what the page drew. Those of the newest parts and of the
listed rejects are at hand; one that the operator has opened stays so until four later ones were opened.
"""

from __future__ import annotations

import io
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from PIL import Image

from csflow.runtime import schema
from csflow.runtime.errors import ConfigError, DataError
from csflow.runtime.faults import Verdict
from csflow.runtime.labels.folder import PLACES, LabelFolder
from csflow.runtime.labels.label import Label, truth_of
from csflow.runtime.page.facts import Seen
from csflow.runtime.picture.origin import png_info
from csflow.runtime.sinks.record import result_record

__all__ = ["Labelling", "Word"]

OPENED = 4


@dataclass(frozen=True)
class Word:
    """What the page sends about a part."""

    run: str
    """Of the page's state: parts are numbered anew in every run."""
    good: bool
    """What the part is, whatever csflow said."""
    reason: str
    by: str
    defect: str = ""
    """Type of the defect; empty where it has no name."""
    use: str = "test"
    """One of `PLACES`, for a good part."""

    def __post_init__(self) -> None:
        if not self.by.strip():
            raise ValueError("say who you are")
        if self.use not in PLACES:
            raise ValueError(f"use must be one of {', '.join(PLACES)}")


class Labelling:
    """Takes words on parts into a folder, one at a time. May be used by several threads."""

    def __init__(self, folder: LabelFolder, decoder: Callable[[str], str]) -> None:
        """Read the folder, so that one which cannot be used is known before the first word.

        Args:
            decoder: gives what made the pixels of a camera's frames, from its name (`decoder_of`).

        Raises:
            DataError: labels.jsonl in it is not one of csflow's.
            SinkError: it cannot be made or written.
        """
        self._folder = folder
        self._decoder = decoder
        self._writing = threading.Lock()
        # Another one, held for moments only: the page must not wait for a disk.
        self._lock = threading.Lock()
        self._opened: deque[Seen] = deque(maxlen=OPENED)
        folder.make()
        self.counts = folder.counts()
        """How often the operator agreed."""

    def open(self, seen: Seen) -> None:
        """Keep the picture of a part: somebody looks at it."""
        with self._lock:
            if all(kept.number != seen.number for kept in self._opened):
                self._opened.append(seen)

    def opened(self, number: int) -> Seen | None:
        """The part of this number, where it was opened lately."""
        with self._lock:
            return next((seen for seen in self._opened if seen.number == number), None)

    def add(self, seen: Seen, word: Word) -> Label:
        """Keep a part's picture, losslessly, and the word on it.

        Raises:
            ConfigError: the word cannot be.
            DataError: there is no verdict on the part to agree with, or no picture.
            SinkError: the folder cannot be written.
        """
        result = seen.result
        if seen.frame is None or result.verdict in (Verdict.ERROR, Verdict.NONE):
            raise DataError(f"{result.verdict.name} is no verdict on a part to agree with")
        defect = word.defect.strip() or (None if word.good else "defect")
        truth = truth_of(result.verdict.name, None, defect, word.good)
        buffer = io.BytesIO()
        levels = seen.frame.levels
        kept = seen.frame.image if levels is None or levels.ndim == 3 else levels
        Image.fromarray(kept).save(buffer, "PNG", pnginfo=png_info(self._decoder(result.camera)))
        record: dict[str, Any] = result_record(result)
        name = f"{result.source}-{record['time_utc'].replace(':', '').replace('.', '')}.png"
        with self._writing:
            try:
                made = self._folder.add(
                    buffer.getvalue(), name, result.verdict.name, truth, word.reason, word.by, word.use, record
                )
            except ValueError as error:
                raise ConfigError(str(error)) from None
            self.counts = self._folder.counts()
        return made

    def facts(self) -> dict[str, int]:
        """The counts, for the page."""
        return {**schema.to_mapping(self.counts), "overruled": self.counts.overruled}
