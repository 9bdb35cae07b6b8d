"""The commands of docs that train, score and export, as printed, by real engines: part of `make soak`.

Where a line names no network, no number of epochs or no rate, those are the small ones of `SMALL`: machines of tests
reach no model hub, and have no 299 calibration pictures. README's own are in tests/soak/test_readme.py.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from PIL import Image

from csflow.runtime.engines.tensorrt.library import load_library
from csflow.runtime.errors import BackendUnavailable
from csflow.runtime.synthetic.product import render_part

from .blocks import BLOCKS, ROOT, Block
from .stand_ins import PLAN, Shell, play_what_is_not_here

pytestmark = pytest.mark.soak

MINUTES = [block for block in BLOCKS if block.runs and block.takes_minutes and block.page != "README.md"]
SMALL = {
    "train": {"backbone": "tf_efficientnet_lite0", "image_size": 128, "hidden": 32, "epochs": 2},
    "calibrate": {"false_reject_rate": "20%"},
}
CAMERA = (800, 600)


@pytest.fixture
def at_the_desk(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """A folder with pictures and a bundle that was trained on such ones, exported and calibrated."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CSFLOW_CACHE", str(tmp_path / "cache"))
    play_what_is_not_here(monkeypatch, [render_part(seed=5, index=i, size=CAMERA).image for i in range(12)])
    shell = Shell(monkeypatch, SMALL)
    shutil.copytree(trained, "model.csflow")
    Path("flow.plan").write_bytes(PLAN)
    line = ["--train", "60", "--calibration", "20", "--test-good", "8", "--test-defects", "2", "--size", "128"]
    shell.csflow(["csflow", "synthetic", "pictures", *line])
    shell.csflow(["csflow", "calibrate", "pictures/calibration/good"])
    shell.csflow(["csflow", "verify", "--backend", "openvino-fp32"])
    return shell


def write_pictures(folder: Path, number: int, size: tuple[int, int], first: int) -> None:
    folder.mkdir(parents=True)
    for index in range(first, first + number):
        Image.fromarray(render_part(seed=6, index=index, size=size).image).save(folder / f"{index:03d}.png")


def prepare(block: Block) -> None:
    """What the page speaks of beside `images/`."""
    if block.page == "roi.md":
        write_pictures(Path("images/train/good"), 20, CAMERA, 0)
    elif block.page == "tiles.md":
        for place, number in (("train/good", 6), ("calibration/good", 15), ("new", 2)):
            write_pictures(Path("sheets") / place, number, (896, 896), 100 * number)
    elif block.page != "data.md":
        shutil.copytree("pictures", "images")
        shutil.copytree("images/calibration", "calibration")


@pytest.mark.parametrize("block", MINUTES, ids=lambda block: block.name)
def test_a_block_runs_as_printed(block: Block, at_the_desk: Shell) -> None:
    if any("tensorrt-rtx" in line for line in block.commands):
        pytest.importorskip("tensorrt_rtx", reason="TensorRT for RTX is not installed")
    prepare(block)
    at_the_desk.run(block)


def test_plans_are_built_as_the_page_on_engines_has_it(at_the_desk: Shell) -> None:
    try:
        load_library("auto")
    except BackendUnavailable as error:
        pytest.skip(str(error))
    at_the_desk.csflow(["csflow", "export", "--fp16", "--no-engines"])
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "engines.md").read_text(), re.DOTALL)
    names: dict[str, object] = {"__name__": "example"}
    exec(compile(code, "engines.md", "exec"), names)
    assert len(names["records"]) == 2  # type: ignore[arg-type]


def test_there_are_blocks_to_run() -> None:
    assert len(MINUTES) > 12
