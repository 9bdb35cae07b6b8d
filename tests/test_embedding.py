"""The examples of docs/embedding.md run as they stand."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from csflow.runtime.bundle.directory import Bundle

PAGE = Path(__file__).resolve().parents[1] / "docs" / "embedding.md"
FIRST, WITH_ASYNCIO, STREAM = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
DARK, BRIGHT = (np.full((64, 64, 3), grey, dtype=np.uint8) for grey in (51, 204))


@pytest.fixture(autouse=True)
def folder(calibrated_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with model.csflow, a good part and a bad one; the engine is the fake one."""
    monkeypatch.chdir(calibrated_bundle.path.parent)
    monkeypatch.setattr("csflow.runtime.engines.opening.default_backend", lambda _bundle: "fake")
    for name, image in (("part1.png", DARK), ("part2.png", BRIGHT)):
        Image.fromarray(image).save(name)
    return calibrated_bundle.path.parent


def run(code: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(code, str(PAGE), "exec"), names)
    return names


def test_the_first_example_has_15_lines() -> None:
    assert len([line for line in FIRST.splitlines() if line.strip()]) <= 15


def test_the_first_example_tells_good_from_bad(capsys: pytest.CaptureFixture[str]) -> None:
    run(FIRST)
    passes, rejected = capsys.readouterr().out.splitlines()
    assert passes == "part1.png passes"
    assert rejected.startswith("part2.png NOK score 0.8 above reject threshold 0.6 at (")


def test_the_first_example_ends_in_one_line_without_a_bundle(folder: Path) -> None:
    (folder / "model.csflow").rename(folder / "other.csflow")
    with pytest.raises(SystemExit, match="no bundle at"):
        run(FIRST)


def test_the_asyncio_example_gives_every_picture_its_verdict() -> None:
    verdicts = asyncio.run(run(WITH_ASYNCIO)["main"]([DARK, BRIGHT, DARK]))
    assert verdicts == ["OK", "NOK", "OK"]


def test_the_stream_example_writes_its_summary(capsys: pytest.CaptureFixture[str]) -> None:
    run(STREAM)
    assert "1 frames" in capsys.readouterr().out
    assert len(list(Path("pictures").iterdir())) == 1
