"""Records of a run that a power cut, another program or a hand has changed."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from csflow.runtime.errors import DataError
from csflow.runtime.labels.folder import LABELS, LabelFolder
from csflow.runtime.labels.results import records_of
from csflow.runtime.schema import is_cut

RECORD = {"source": "a.png", "verdict": "OK", "score": 0.5, "time_utc": "2026-03-01T00:00:00.000Z", "part": None}


@pytest.mark.parametrize(
    ("line", "cut"),
    [(b'{"a": 1', True), (b"\0\0\0\n", True), (b"\n", True), (b'{"a": "x\0\0\n', True), (b'{"a": 1}\r\n', False),
     (b"no json", False)],
)  # fmt: skip
def test_what_a_power_cut_leaves_is_known(line: bytes, cut: bool) -> None:
    assert is_cut(line) is cut


def test_half_a_line_is_left_out_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole = json.dumps(RECORD)
    (tmp_path / "r.jsonl").write_text(f"{whole}\n{whole[:30]}\n\0\0\0\n{whole}\n{whole[:-1]}")
    with caplog.at_level(logging.WARNING, "csflow.records"):
        assert list(records_of(tmp_path / "r.jsonl")) == [RECORD, RECORD]
    assert "r.jsonl, line 2, 3, 5: not whole" in caplog.text


@pytest.mark.parametrize(("name", "value"), [("score", "x"), ("score", True), ("brightness", []), ("fault", -1)])
def test_a_value_of_another_kind_is_named(tmp_path: Path, name: str, value: Any) -> None:
    (tmp_path / "r.jsonl").write_text(json.dumps(RECORD | {name: value}))
    with pytest.raises(DataError, match=f"line 1: {name} is .*, expected a (number|text) or null"):
        list(records_of(tmp_path / "r.jsonl"))


def test_a_word_follows_half_of_another_that_a_power_cut_left(tmp_path: Path) -> None:
    folder = LabelFolder(tmp_path)
    for name in ("a", "b"):
        folder.add(name.encode(), f"{name}.png", "NOK", "good", "dust", "me")
        with (tmp_path / LABELS).open("ab") as file:
            file.write(b'{"picture": "tes')
    assert [label.picture.split("/")[-1][0] for label in folder.read()] == ["a", "b"]
