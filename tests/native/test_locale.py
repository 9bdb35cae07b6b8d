"""libcsflow in a program whose locale writes numbers in another way, as Qt, GTK and .NET programs set it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from csflow.runtime import schema
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.golden import GOLDEN

ROOT = Path(__file__).resolve().parents[2]
SIGNS = {"C": ".", "de_DE.UTF-8": ",", "fr_FR.UTF-8": ",", "ps_AF.UTF-8": "\u066b"}
"""Locale: its decimal sign; the last one is two bytes long."""
PROGRAM = """
import ctypes, json, sys
examples, library, probe, name, good, bad = sys.argv[1:]
sys.path.insert(0, examples)
import csflow_ctypes as c
libc = ctypes.CDLL(None)
libc.setlocale.restype = ctypes.c_char_p
if not libc.setlocale(6, name.encode()):
    sys.exit(f"no locale {name}")
text = ctypes.create_string_buffer(1000)
libc.snprintf(text, ctypes.c_size_t(99), b"%.1f", ctypes.c_double(0.5))
said = {"half": text.value.decode()}
lib = c.load(library)
with c.Detector(lib, good, device=b"fake") as detector:
    about, test = detector.describe(), detector.self_test()
    said["opened"] = [about.warn_threshold, about.reject_threshold, test.score_error, about.weights_sha256.decode()]
try:
    c.Detector(lib, bad, device=b"fake")
except c.LibraryError as error:
    said["refused"] = str(error)
inner = ctypes.CDLL(probe)
errors = (ctypes.c_double(0.125), ctypes.c_double(0.0), 0)
inner.probe_distrust(good.encode(), b"tensorrt-fp16", *errors, text, ctypes.c_size_t(1000))
said["distrust"] = text.value.decode()
numbers = b"[1.5, -2e-07, 12345678901234567890, 1e+300]"
inner.probe_canonical(numbers, ctypes.c_size_t(len(numbers)), text, ctypes.c_size_t(1000))
said["numbers"] = text.value.decode()
libc.snprintf(text, ctypes.c_size_t(99), b"%.1f", ctypes.c_double(0.5))
said["after"] = text.value.decode()
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def locales(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for LOCPATH with the locales of `SIGNS`."""
    if shutil.which("localedef") is None or not Path("/usr/share/i18n/locales/ps_AF").is_file():
        pytest.skip("localedef or the sources of locales (package locales) are not on this machine")
    folder = tmp_path_factory.mktemp("locales")
    for name in list(SIGNS)[1:]:
        command = ["localedef", "-i", name.partition(".")[0], "-f", "UTF-8", str(folder / name)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert (folder / name / "LC_NUMERIC").is_file(), done.stderr
    return folder


@pytest.mark.fault("A4")
def test_numbers_are_alike_in_every_locale(locales: Path, built: Path, calibrated_bundle: Bundle) -> None:
    other = calibrated_bundle.path.with_name("other.csflow")
    shutil.copytree(calibrated_bundle.path, other)
    golden = schema.parse_json(calibrated_bundle.read(GOLDEN))
    golden["frames"][0]["score"] *= 1.25
    Bundle.open(other).update({GOLDEN: schema.dump_json(golden)})
    examples = ROOT / "runtime" / "native" / "examples"
    files = (examples, built / "libcsflow.so", built / "runtime" / "native" / "test" / "libcsflow_probe.so")

    def said(name: str) -> dict[str, Any]:
        command = [sys.executable, "-c", PROGRAM, *map(str, files), name, str(calibrated_bundle.path), str(other)]
        environment = {**os.environ, "LOCPATH": str(locales)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        assert found.pop("half") == found.pop("after") == f"0{SIGNS[name]}5"
        return found

    expected = said("C")
    assert expected["opened"][:2] == [0.5, 0.6]
    assert "20.00%" in expected["refused"]
    assert "12.50%" in expected["distrust"]
    assert expected["numbers"] == "[1.5,-2e-07,12345678901234567890,1e+300]"
    for name in SIGNS:
        assert said(name) == expected, name
