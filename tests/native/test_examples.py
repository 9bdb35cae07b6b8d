"""The examples build, run, and say what Python says."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from csflow.runtime import schema
from csflow.runtime.bundle.calibration import load_calibration
from csflow.runtime.bundle.directory import Bundle
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


@pytest.fixture(scope="session")
def with_opencv(built: Path, run: Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example in C++, compiled with Debian's OpenCV."""
    headers = Path("/usr/include/opencv4")
    if lacking := [m for m in ("imgproc", "imgcodecs", "videoio") if not (headers / f"opencv2/{m}.hpp").exists()]:
        pytest.skip(f"not on this machine: {', '.join(f'libopencv-{module}-dev' for module in lacking)}")
    program = tmp_path_factory.mktemp("opencv") / "inspect_opencv"
    native = ROOT / "runtime" / "native"
    flags = ("-std=c++17", "-Wall", "-Wextra", "-Werror", "-isystem", headers, f"-I{native / 'include'}")
    opencv = [f"-lopencv_{module}" for module in ("core", "imgproc", "imgcodecs", "videoio")]
    source = native / "examples" / "inspect_opencv.cpp"
    run("c++", *flags, source, f"-L{built}", "-lcsflow", f"-Wl,-rpath,{built}", *opencv, "-o", program)
    return program


def said_by(program: Path, *words: object) -> tuple[int, list[list[str]], str]:
    """Exit code, lines in columns, and what it complained of."""
    command = [str(word) for word in (program, *words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, [line.split("\t") for line in done.stdout.splitlines()], done.stderr


def test_the_opencv_example_reads_a_folder_and_draws_the_map(
    with_opencv: Path, calibrated_bundle: Bundle, tmp_path: Path
) -> None:
    calibration = load_calibration(calibrated_bundle)
    assert calibration is not None
    strict = dataclasses.replace(calibration, scores=(0.01,), warn_threshold=0.02, reject_threshold=0.03)
    calibrated_bundle.write_calibration(schema.dump_json(schema.to_mapping(strict)))
    pixels = np.random.default_rng(1).integers(0, 4, (60, 90, 3), dtype=np.uint8)
    (tmp_path / "parts").mkdir()
    Image.fromarray(pixels).save(tmp_path / "parts" / "dark.png")
    pixels[:, 45:] += 200
    Image.fromarray(pixels).save(tmp_path / "parts" / "half.png")
    (tmp_path / "drawn").mkdir()
    code, lines, _ = said_by(with_opencv, calibrated_bundle.path, "fake", tmp_path / "parts", tmp_path / "drawn")
    with Detector.open(calibrated_bundle.path, "fake") as detector:
        for name, (verdict, score, peak, path) in zip(("dark.png", "half.png"), lines, strict=True):
            expected = detector.detect(Image.open(tmp_path / "parts" / name))
            assert (verdict, path) == (expected.verdict.name, str(tmp_path / "parts" / name))
            assert np.float32(score) == np.float32(expected.score)
            assert peak == f"{expected.peak_xy[0]},{expected.peak_xy[1]}"
    assert code == 2
    assert [path.name for path in (tmp_path / "drawn").iterdir()] == ["half.png.png"]
    drawn = np.asarray(Image.open(tmp_path / "drawn" / "half.png.png"))
    np.testing.assert_array_equal(drawn[:, :20], pixels[:, :20])
    assert (drawn[:, 70:] != pixels[:, 70:]).any(axis=2).all()


def test_the_opencv_example_reads_a_video(with_opencv: Path, calibrated_bundle: Bundle, tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2", reason="the extra camera is not installed")
    video = cv2.VideoWriter(str(tmp_path / "v.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10.0, (64, 48))
    for level in (100, 140, 200):
        video.write(np.full((48, 64, 3), level, np.uint8))
    video.release()
    code, lines, _ = said_by(with_opencv, calibrated_bundle.path, "fake", tmp_path / "v.avi")
    assert code == 2
    assert [(verdict, name) for verdict, _, _, name in lines] == [("OK", "0"), ("UNCERTAIN", "1"), ("NOK", "2")]


def test_the_opencv_example_says_what_it_cannot_open(with_opencv: Path, tmp_path: Path) -> None:
    assert "no bundle at" in said_by(with_opencv, tmp_path / "none", "fake", ROOT)[2]
    assert "name another" in said_by(with_opencv, tmp_path / "none", "fake", tmp_path / "none.avi")[2]
