"""Small pictures of what the gate ran: as the model got it, or the whole picture where it got tiles."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from csflow.export.gate.pictures import picture_of
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.golden import load_golden
from csflow.runtime.errors import DataError
from csflow.runtime.picture.window import eight_bits
from csflow.toolkit.data.sample import Sample

__all__ = ["Thumbnails"]

SIDE_PX = 160


class Thumbnails:
    """Gives each picture of a run, the golden frames first, as a JPEG in a data URI."""

    def __init__(self, bundle: Bundle, samples: Sequence[Sample]) -> None:
        self._golden = [frame.image for frame, _ in load_golden(bundle)]
        self._samples, self._how = samples, bundle.manifest.preprocessing

    def __call__(self, index: int) -> str:
        """Of the picture with this number; empty where its file cannot be read any more."""
        try:
            picture = Image.fromarray(self._image(index))
        except DataError:
            return ""
        picture.thumbnail((SIDE_PX, SIDE_PX), Image.Resampling.LANCZOS)
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=85)
        return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()

    def _image(self, index: int) -> NDArray[np.uint8]:
        if index < len(self._golden):
            return self._golden[index]
        pieces = picture_of(self._samples[index - len(self._golden)], self._how)
        return pieces.image if pieces.grid is None else eight_bits(pieces.image, self._how.window)
