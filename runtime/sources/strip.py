"""The endless strip of a line camera as pictures of one height that overlap."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from csflow.runtime.errors import EndOfStream, FrameError
from csflow.runtime.picture.origin import decoder_of
from csflow.runtime.source import FrameSource
from csflow.runtime.types import Frame

__all__ = ["Strip"]


class Strip:
    """Joins the pictures of a source, in their order, and cuts the strip into pieces.

    Every piece begins with the last `overlap` rows of the one before, so that what lies on a border is whole in one of
    them. At the end of a source that ends the last piece reaches back; rows that are too few for one are a FrameError.
    Where a picture is missing or damaged there is one FrameError, and the strip begins anew: no piece joins what did
    not follow one another.
    """

    def __init__(self, source: FrameSource, height: int, overlap: int) -> None:
        """Take over an opened source.

        Args:
            height: rows of a piece.
            overlap: rows that it shares with the one before, fewer than `height`.
        """
        self.name, self.live = source.name, source.live
        self.decoder = decoder_of(source)
        """As the source's."""
        self._source = source
        self._height, self._step = height, height - overlap
        self._number = 0
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._frames: list[Frame] = []
        # Rows that wait, how many of the first belong to no piece any more, and where the last piece ended.
        self._waiting = self._begin = self._ended = 0

    def read(self, timeout_s: float) -> Frame | None:
        """The next piece: numbered from 0, captured when its last rows were. None where it is not whole in time.

        Raises what the source raises; FrameError also for a gap in its numbers, and for a picture that does not fit.
        """
        end_s = time.monotonic() + timeout_s
        while self._waiting < self._begin + self._height:
            try:
                frame = self._source.read(max(0.0, end_s - time.monotonic()))
            except FrameError as error:
                self._begin_anew()
                raise FrameError(str(error), self._counted(), error.source, error.fault) from None
            except EndOfStream:
                if self._ended == self._waiting:
                    raise
                if self._waiting < self._height:
                    raise self._too_short() from None
                self._begin = self._waiting - self._height
                break
            if frame is None:
                return None
            self._add(frame)
        return self._piece()

    def _add(self, frame: Frame) -> None:
        last = self._frames[-1] if self._frames else None
        problem = None if last is None else _problem(last, frame)
        if problem is not None:
            self._begin_anew()
        self._frames.append(frame)
        self._waiting += len(frame.image)
        if problem is not None:
            raise FrameError(problem, self._counted(), frame.source, "truncated")

    def _too_short(self) -> FrameError:
        rows, source = self._waiting, self._frames[-1].source
        self._begin_anew()
        reason = f"the strip ended after {rows} rows, before a piece of {self._height} was whole: nobody saw them"
        return FrameError(reason, self._counted(), source, "truncated")

    def _piece(self) -> Frame:
        end = self._begin + self._height
        rows = np.concatenate([frame.image for frame in self._frames])[self._begin : end]
        self._ended = end
        # Those whose rows reach into the next piece, or into the last one at the end, stay.
        keep = self._begin
        self._begin += self._step
        while self._frames and len(self._frames[0].image) <= keep:
            gone = len(self._frames.pop(0).image)
            keep, self._begin, self._ended, self._waiting = (
                n - gone for n in (keep, self._begin, self._ended, self._waiting)
            )
        return replace(self._frames[-1], image=rows, index=self._counted())

    def _counted(self) -> int:
        self._number += 1
        return self._number - 1

    def close(self) -> None:
        """Release the source."""
        self._source.close()

    def __enter__(self) -> Strip:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _problem(before: Frame, frame: Frame) -> str | None:
    if frame.index != before.index + 1:
        return f"{frame.index - before.index - 1} pictures of the strip are missing"
    if frame.image.shape[1:] != before.image.shape[1:] or frame.image.dtype != before.image.dtype:
        return f"a picture of {frame.image.shape} after one of {before.image.shape} does not continue the strip"
    return None
