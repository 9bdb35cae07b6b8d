"""Of large pictures a run holds one, and as it is: the peak of memory of a process of its own."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from csflow.runtime import schema
from csflow.runtime.bundle.calibration import load_calibration
from csflow.runtime.bundle.directory import Bundle

CODE = """
import sys
from csflow.runtime.cli.main import main
for camera in sys.argv[2:4]:
    words = ["--bundle", sys.argv[1], "--backend", "fake"]
    main(["run", "--camera", camera, "--quiet", "--any-size", *words], standalone_mode=False)
    with open("/proc/self/status") as status:
        print("peak", next(line.split()[1] for line in status if line.startswith("VmHWM")), file=sys.stderr)
"""
BYTES_A_PIXEL = 5.0
"""The picture has 3; what is in work beside it is the same whatever its size."""


def written(folder: Path, size: tuple[int, int], count: int) -> None:
    patch = np.random.default_rng(0).integers(60, 200, (256, 256, 3), dtype=np.uint8)
    folder.mkdir()
    Image.fromarray(np.tile(patch, (size[1] // 256, size[0] // 256, 1))).save(folder / "0.png", compress_level=1)
    for i in range(1, count):
        os.link(folder / "0.png", folder / f"{i}.png")


@pytest.mark.parametrize("size", [(5120, 3584), pytest.param((16384, 8192), marks=pytest.mark.soak)])
def test_a_run_holds_one_picture_at_a_time(calibrated_bundle: Bundle, tmp_path: Path, size: tuple[int, int]) -> None:
    how = dataclasses.replace(calibrated_bundle.manifest.preprocessing, tiles=(1024, 256), looks=8)
    files = {name: calibrated_bundle.read(name) for name in calibrated_bundle.manifest.files}
    manifest = dataclasses.replace(calibrated_bundle.manifest, preprocessing=how, files={})
    bundle = Bundle.create(tmp_path / "m.csflow", manifest, files)
    calibration = load_calibration(calibrated_bundle)
    assert calibration is not None
    mine = dataclasses.replace(calibration, weights_sha256=bundle.weights_sha256)
    bundle.write_calibration(schema.dump_json(schema.to_mapping(mine)))
    written(tmp_path / "small", (1024, 1024), 1)
    written(tmp_path / "large", size, 2)
    words = [str(tmp_path / name) for name in ("m.csflow", "small", "large")]
    ran = subprocess.run([sys.executable, "-c", CODE, *words], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    small, large = (1024 * int(line.split()[1]) for line in ran.stderr.splitlines() if line.startswith("peak"))
    assert "2 frames" in ran.stdout
    grown = (large - small) / (size[0] * size[1] - 1024**2)
    print(f"{small >> 20} MiB, then {large >> 20} MiB: {grown:.1f} bytes a pixel")
    assert grown < BYTES_A_PIXEL
    assert large < 1.5 * 2**30
