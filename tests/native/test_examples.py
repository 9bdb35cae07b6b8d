"""The examples build, run, and say what Python says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from csflow.runtime.bundle import Bundle
from csflow.runtime.detector import Detector

ROOT = Path(__file__).resolve().parents[2]


def pictures(folder: Path) -> list[Path]:
    """A bright, a middling and a dark picture, the last in grey."""
    draw = np.random.default_rng(6)
    paths = []
    for name, low, shape in (("a.ppm", 180, (40, 31, 3)), ("b.ppm", 90, (64, 64, 3)), ("c.pgm", 1, (9, 200))):
        Image.fromarray(draw.integers(low, low + 60, shape, dtype=np.uint8)).save(folder / name)
        paths.append(folder / name)
    return paths


def test_the_c_example(built: Path, calibrated_bundle: Bundle, tmp_path: Path) -> None:
    paths = pictures(tmp_path)
    program = built / "runtime" / "native" / "test" / "inspect"
    command = [str(program), str(calibrated_bundle.path), "fake", *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    with Detector.open(calibrated_bundle.path, "fake") as detector:
        for line, path in zip(done.stdout.splitlines(), paths, strict=True):
            expected = detector.detect(Image.open(path))
            verdict, score, peak, name = line.split("\t")
            assert (verdict, name) == (expected.verdict.name, str(path))
            assert np.float32(score) == np.float32(expected.score)
            assert peak == f"{expected.peak_xy[0]},{expected.peak_xy[1]}"
    assert done.returncode == 2
    refused = subprocess.run([*command[:3], __file__], capture_output=True, text=True, timeout=60, check=False)
    assert "no PGM or PPM" in refused.stderr


def test_the_ctypes_example_says_why_it_cannot_open(built: Path, tmp_path: Path) -> None:
    example = ROOT / "runtime" / "native" / "examples" / "csflow_ctypes.py"
    command = [sys.executable, str(example), str(built / "libcsflow.so"), str(tmp_path / "none")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "no bundle at" in done.stderr
