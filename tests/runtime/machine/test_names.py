"""Names of files are data: whatever their bytes, every output stays readable and valid."""

import csv
import json
import math
import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from csflow.runtime import schema
from csflow.runtime.machine.names import shown, shown_in_json
from csflow.runtime.picture.overlay import result_sheet
from csflow.runtime.sinks.files.jsonl import JsonLinesSink
from csflow.runtime.sinks.files.table import CsvSink
from csflow.runtime.sinks.terminal import result_line
from csflow.runtime.types import Result, Verdict

NAME = os.fsdecode(b'Pr\xfcfteil "1".png')
SHOWN = 'Pr\\xfcfteil "1".png'
IMAGE = np.full((48, 64, 3), 128, dtype=np.uint8)
RESULT = Result(Verdict.NOK, 2.0, 1.0, 0.4, np.zeros((2, 2), np.float32), (3, 4), f"{NAME} is odd", 0, 0, 0.01, NAME)


def test_bytes_that_are_not_utf8_are_written_out_and_text_is_left_alone() -> None:
    assert shown(NAME) == SHOWN
    assert shown("Prüfteil 𝛼\n\\x") == "Prüfteil 𝛼\n\\x"
    assert shown("\ud800") == "\\ud800"
    assert not re.search("[\ud800-\udfff]", shown(os.fsdecode(bytes(range(1, 256)))))
    assert json.loads(shown_in_json(json.dumps({NAME: [NAME]}, ensure_ascii=False))) == {SHOWN: [SHOWN]}


def test_json_is_valid_and_utf8_with_any_name_in_keys_and_values() -> None:
    for data in (schema.dump_json({NAME: [NAME]}), schema.json_line({NAME: [NAME]}).encode()):
        assert json.loads(data.decode("utf-8")) == {SHOWN: [SHOWN]}
        assert schema.parse_json(data) == {SHOWN: [SHOWN]}


def test_every_output_takes_a_frame_of_such_a_name(tmp_path: Path) -> None:
    error = replace(RESULT, verdict=Verdict.ERROR, score=math.nan)
    for result in (RESULT, error):
        with JsonLinesSink(tmp_path / "r.jsonl") as lines, CsvSink(tmp_path / "r.csv") as table:
            lines.write(result, None)
            table.write(result, None)
        assert SHOWN in result_line(result)
        assert result_sheet(IMAGE, result).ndim == 3
    records = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text("utf-8").splitlines()]
    assert {record["source"] for record in records} == {SHOWN}
    assert {record["reason"] for record in records} == {f"{SHOWN} is odd"}
    with (tmp_path / "r.csv").open(newline="", encoding="utf-8") as file:
        assert {row["source"] for row in csv.DictReader(file)} == {SHOWN}
