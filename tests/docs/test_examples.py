"""The Python, TOML and JSON that docs print is what csflow takes. docs/embedding.md has a test of its own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from csflow.runtime import schema
from csflow.runtime.bundle.calibration import Calibration
from csflow.runtime.plc.settings import read_settings

from .blocks import PAGES


def printed(language: str) -> dict[str, str]:
    """Examples in that language by page and number."""
    found = {}
    for page in PAGES:
        for number, code in enumerate(re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.DOTALL), 1):
            found[f"{page.stem}-{number}"] = code
    return found


TOML = {name: text for name, text in printed("toml").items() if name.startswith("plc")}
BUILT = "engines-1"
"""Builds plans: by the library of the test."""
ELSEWHERE = "embedding"
PYTHON = {name: code for name, code in printed("python").items() if not name.startswith(ELSEWHERE) and name != BUILT}


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.soak] * (n == "doctor-1")) for n in PYTHON])
@pytest.mark.usefixtures("at_the_line")
def test_python_runs_as_printed(name: str, request: pytest.FixtureRequest) -> None:
    if name == "calibration-1":
        Path("images").symlink_to(request.getfixturevalue("good_parts"))
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(PYTHON[name], name, "exec"), names)
    checks = {
        "bundle-1": "thresholds.reject_threshold == 0.6 and weights == b'x'",
        "calibration-1": "report.calibration.bound <= 0.01 and report.highest[0]",
        "data-1": "part.image.shape == (480, 640, 3) and part.mask.shape == (480, 640) and part.mask.any()",
        "doctor-1": "finding.topic and finding.what",
        "inspect-1": "(header.flavour, header.version_text) == ('tensorrt', '10.3.0.26')",
    }
    assert eval(checks[name], names)


@pytest.mark.parametrize("name", TOML)
def test_a_stations_settings_are_read(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CSFLOW_MQTT", "mqtt://host/plant")
    text = TOML[name]
    for table, needed in (("station", "recipe = 1"), ("recipes.1", 'bundle = "b.csflow"\ncamera = "0"')):
        if f"[{table}]" not in text:
            text += f"\n[{table}]\n{needed}\n"
        elif needed.split(" ")[0] not in text:
            text = text.replace(f"[{table}]\n", f"[{table}]\n{needed}\n")
    path = tmp_path / "station.toml"
    path.write_text(text)
    assert read_settings(path).recipes


def test_a_fleets_file_is_read(tmp_path: Path) -> None:
    from csflow.export.fleet.products import read_products

    (text,) = (text for name, text in printed("toml").items() if name.startswith("fleet"))
    (tmp_path / "products.toml").write_text(text)
    for product in ("flange", "cover"):
        (tmp_path / product / "images").mkdir(parents=True)
    fleet = read_products(tmp_path / "products.toml")
    assert [product.name for product in fleet.products] == ["flange", "cover"]


def test_no_example_is_left_out() -> None:
    assert set(printed("toml")) == {*TOML, "fleet-1"}
    assert BUILT in printed("python")
    assert set(printed("json")) == {"bundle-1"}


def test_thresholds_are_read() -> None:
    bare = re.sub(r" *//.*", "", printed("json")["bundle-1"]).encode()
    stated = schema.from_mapping(Calibration, schema.parse_json(bare))
    assert (stated.reject_threshold, stated.scores) == (1.42, (0.81, 0.84))
