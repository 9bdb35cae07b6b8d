"""TOML as people and their editors save it."""

from __future__ import annotations

from pathlib import Path

import pytest

from csflow.runtime.errors import ConfigError
from csflow.runtime.machine.toml import read_toml


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    path = tmp_path / "station.toml"
    path.write_bytes(b"\xef\xbb\xbfname = 'press'\r\n")
    assert read_toml(path, "plc") == {"name": "press"}


@pytest.mark.parametrize("content", [b"name = ", b"name = 'pr\xe4ss'", b"name = 1\nname = 2"])
def test_what_is_no_toml_is_refused_by_name(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "station.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"station\.toml: ."):
        read_toml(path, "plc")
    with pytest.raises(ConfigError, match=r"cannot read .*none\.toml: No such file"):
        read_toml(tmp_path / "none.toml", "plc")
