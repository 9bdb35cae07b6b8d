"""What the path of a genicam: camera costs in a bench: unpack, colour, the pipe from the driver's process, window."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from csflow.runtime.picture.colour import grey_or_rgb
from csflow.runtime.picture.pfnc import PixelFormat, unpack
from csflow.runtime.picture.window import eight_bits
from csflow.runtime.sources.genicam.packets import PacketReader, write_packet
from csflow.runtime.sources.genicam.source import image_of, set_pipe

__all__ = ["FORMATS", "acquisition"]

FORMATS = ("Mono8", "Mono12p", "BayerRG8")


@contextlib.contextmanager
def _pipe():
    reading, writing = os.pipe()
    set_pipe(writing)
    os.set_blocking(reading, False)
    try:
        yield PacketReader(reading), writing
    finally:
        os.close(reading)
        os.close(writing)


def acquisition(name: str, size: tuple[int, int]) -> Callable[[], NDArray[np.uint8]]:
    """An action that takes one picture of a format and (width, height) from a producer's buffer to what a line gets."""
    form = PixelFormat.parse(name)
    data = np.random.default_rng(0).integers(0, 256, form.row_bits(size[0]) // 8 * size[1], dtype=np.uint8)
    window = (0, (1 << form.bits) - 1) if form.bits > 8 else None

    def take() -> NDArray[np.uint8]:
        image = grey_or_rgb(unpack(data, form, size), form)
        with _pipe() as (reader, writing):
            told = {"event": "picture", "shape": list(image.shape), "dtype": str(image.dtype)}
            driver = threading.Thread(target=write_packet, args=(writing, told, image))
            driver.start()
            while (packet := reader.read()) is None:
                time.sleep(0)
            driver.join()
        return eight_bits(image_of(packet), window)

    return take
