"""A line that makes parts: pictures whose score with the fake engine is known."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pytest
from PIL import Image

from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.engines.fake import FakeEngine
from csflow.runtime.types import Frame, Prediction

MakeParts = Callable[..., Path]


class Unused(FakeEngine):
    """An engine that no picture may reach."""

    def infer(self, frames: Sequence[Frame]) -> list[Prediction]:
        raise AssertionError(f"scored {frames[0].source}")


@pytest.fixture
def unused() -> type[FakeEngine]:
    """The class of an engine that no picture may reach."""
    return Unused


@pytest.fixture
def make_parts(tmp_path: Path) -> MakeParts:
    """`make_parts(name, levels) -> folder`: a plain picture a level, 0..765; fake score level / 765."""

    def make(name: str, levels: Iterable[int]) -> Path:
        folder = tmp_path / name
        folder.mkdir(parents=True)
        for level in levels:
            colour = (level // 3, (level + 1) // 3, (level + 2) // 3)
            Image.new("RGB", (64, 64), colour).save(folder / f"{level:03d}.png")
        return folder

    return make


@pytest.fixture
def trained_bundle(make_bundle: Callable[..., Bundle], make_parts: MakeParts) -> Bundle:
    """A bundle that lists 300.png to 309.png of the folder 'train' as its training pictures."""
    folder = make_parts("train", range(300, 310))
    files = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}
    listed = json.dumps({"files": files}).encode()
    return make_bundle().update({"provenance/training_images.json": listed})
