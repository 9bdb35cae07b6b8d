"""station.toml: what it may say, and what is told where it says something else."""

from __future__ import annotations

from pathlib import Path

import pytest

from csflow.runtime.errors import ConfigError
from csflow.runtime.plc.settings import Modbus, Recipe, Station, read_settings

GOOD = """
[station]
recipe = 1
control = "modbus"

[recipes.1]
name = "housing"
bundle = "housing.csflow"
camera = "0?exposure=100"
options = ["--backend", "openvino"]

[recipes.12]
bundle = "/srv/lid.csflow"
camera = "0"
deadline_ms = 200
uncertain = "accept"

[modbus]
listen = "127.0.0.1:1502"
clients = ["192.168.0.0/24"]
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "station.toml"
    path.write_text(text)
    return path


def test_a_whole_file(tmp_path: Path) -> None:
    settings = read_settings(written(tmp_path, GOOD))
    assert settings.station == Station(1, "modbus")
    assert settings.modbus == Modbus("127.0.0.1:1502", ("192.168.0.0/24",))
    first, second = settings.recipe(1), settings.recipe(12)
    assert first is not None
    assert second is not None
    assert (first.number, first.bundle) == (1, str(tmp_path / "housing.csflow"))
    assert (second.bundle, second.deadline_ms) == ("/srv/lid.csflow", 200)
    assert settings.recipe(2) is None
    assert settings.recipe(0) is None


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("recipe = 1\n", "", "recipe: missing"),
        ("recipe = 1\n", "recipe = 3\n", r"there is no \[recipes.3\]"),
        ('control = "modbus"', 'control = "opcua"', "expected one of"),
        ("[recipes.12]", "[recipes.0]", "expected a number from 1 to 65535"),
        ("[recipes.12]", "[recipes.012]", "expected a number from 1 to 65535"),
        ("[recipes.12]", "[recipes.70000]", "expected a number from 1 to 65535"),
        ("deadline_ms = 200", "deadline_ms = 0", "deadline_ms 0"),
        ("deadline_ms = 200", "deadlin_ms = 200", "did you mean 'deadline_ms'"),
        ('"accept"', '"perhaps"', "expected reject or accept"),
        ("[modbus]", "[modbuss]", "unknown key"),
        ("recipe = 1\n", "recipe = \n", "Invalid value"),
        ('"--backend", "openvino"', '"--trigger", "-"', "options: --trigger is not for a recipe"),
        ('"--backend", "openvino"', '"--camera=1"', "options: --camera=1 is not for a recipe"),
        ("[modbus]", '[s7]\naddress = "10.0.0.1:102"\ndb = 1\nslot = 32\n[modbus]', "slot from 0 to 31"),
        ("[modbus]", '[digital]\nok = "1"\nnok = "2"\npulse_ms = 0\n[modbus]', "pulse_ms 0"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, old: str, new: str, words: str) -> None:
    assert old in GOOD
    with pytest.raises(ConfigError, match=words):
        read_settings(written(tmp_path, GOOD.replace(old, new)))


def test_a_checksum_changes_with_everything_that_decides() -> None:
    recipe = Recipe("a.csflow", "0")
    values = {recipe.crc("x", "y"), recipe.crc("x", "z"), Recipe("a.csflow", "1").crc("x", "y")}
    values.add(Recipe("a.csflow", "0", uncertain="accept").crc("x", "y"))
    assert len(values) == 4
    assert recipe.crc("x", "y") == Recipe("a.csflow", "0").crc("x", "y") != 0
