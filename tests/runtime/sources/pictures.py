"""Folders and videos of one red picture, and how a source is drained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from csflow.runtime.errors import EndOfStream
from csflow.runtime.source import FrameSource
from csflow.runtime.types import Frame

RED = np.full((48, 64, 3), (200, 20, 10), dtype=np.uint8)
FRAMES = 3


def write_folder(folder: Path, names: tuple[str, ...] = ("p1.png", "p2.png", "p10.png")) -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        Image.fromarray(RED).save(folder / name)
    return folder


def write_video(path: Path, frames: int = FRAMES) -> Path:
    cv2 = pytest.importorskip("cv2", reason="videos need csflow[camera]")
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    for _ in range(frames):
        writer.write(np.ascontiguousarray(RED[:, :, ::-1]))
    writer.release()
    return path


def drain(source: FrameSource) -> list[Frame]:
    frames = []
    while True:
        try:
            frame = source.read(5.0)
        except EndOfStream:
            return frames
        assert frame is not None
        frames.append(frame)
