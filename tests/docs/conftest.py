"""The folder in which the commands of the docs are typed."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from csflow.runtime.bundle.directory import Bundle

from ..conftest import MakeOnce  # noqa: TID252 - tests are no package that could be named
from .blocks import ROOT
from .stand_ins import PLAN, Shell, play_what_is_not_here

DARK, BRIGHT = (np.full((64, 64, 3), grey, np.uint8) for grey in (51, 204))
GOOD_PARTS = 300
"""What a promise of 1 % with a confidence of 95 % needs, and one."""


@pytest.fixture
def at_the_line(calibrated_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """A folder with bundles, parts, good pictures, and the records of a run; the engine is the fake one."""
    folder = calibrated_bundle.path.parent
    monkeypatch.chdir(folder)
    monkeypatch.setattr("csflow.runtime.engines.opening.default_backend", lambda _bundle: "fake")
    monkeypatch.setenv("CSFLOW_CACHE", str(folder / "cache"))
    monkeypatch.setenv("CSFLOW_TRUST", str(folder / "factory.pub"))
    play_what_is_not_here(monkeypatch, [DARK, BRIGHT] * 30)
    for name in ("new.csflow", "part7.csflow", "housing.csflow"):
        shutil.copytree(calibrated_bundle.path, name)
    _write_pictures()
    station = re.search(r"```toml\n(.*?)```", (ROOT / "docs" / "plc.md").read_text(), re.DOTALL)
    assert station is not None
    Path("station.toml").write_text(station[1])
    Path("flow.plan").write_bytes(PLAN)
    shell = Shell(monkeypatch)
    shell.csflow(["csflow", "run", "--camera", "parts/", "--results", "results.jsonl", "--quiet"])
    return shell


def _write_pictures() -> None:
    for number in range(170, 195):
        part = Path("parts") / f"{number:04d}.png"
        part.parent.mkdir(exist_ok=True)
        Image.fromarray(BRIGHT if number == 173 else DARK + np.uint8(number % 25)).save(part)
    levels = np.linspace(299, 3122, 512 * 512).astype(np.uint16).reshape(512, 512)
    Image.fromarray(levels).save("part.tiff")


@pytest.fixture(scope="session")
def good_parts(made_once: MakeOnce) -> Path:
    """`calibration/good` with as many pictures as a promise of 1 % needs."""

    def write(folder: Path) -> None:
        good = folder / "calibration" / "good"
        good.mkdir(parents=True)
        for number in range(GOOD_PARTS):
            levels = np.array([number % 7, number // 7 % 7, number // 49], np.uint8)
            Image.fromarray(DARK + levels).save(good / f"{number:04d}.png", compress_level=1)

    return made_once("good parts", write)
