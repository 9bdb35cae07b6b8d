"""The registers of a result: what a number becomes, and what none becomes."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from csflow.runtime.faults import Verdict
from csflow.runtime.plc.events import Finished
from csflow.runtime.plc.finding import Finding
from csflow.runtime.plc.results import result_block

FINDING = Finding(
    Verdict.OK,
    score=1.5,
    threshold=2.0,
    p_value=0.25,
    peak_xy=(3, 0),
    acquisition_ms=12.4,
    processing_ms=30.6,
    frame_age_ms=5.0,
)
NONE = 65535


def block(**changes: object) -> dict[str, object]:
    finding = replace(FINDING, **changes)  # type: ignore[arg-type]
    return result_block(Finished(1, 42, "K-1", finding, 7, True), 5, 8, 9)


def test_a_result_names_its_part_its_boot_and_its_recipe() -> None:
    shown = block()
    assert (shown["result_trigger_id"], shown["result_part_id"], shown["result_id"]) == (42, "K-1", 7)
    assert (shown["result_boot_id"], shown["recipe_used"], shown["recipe_crc_used"]) == (5, 8, 9)
    assert (shown["verdict"], shown["score"], shown["threshold"]) == (0x5AA5, 1.5, 2.0)
    assert (shown["ratio_x1000"], shown["p_x10000"], shown["peak_x"], shown["peak_y"]) == (750, 2500, 3, 0)
    times = [shown[f"{what}_ms"] for what in ("acquisition", "processing", "total", "frame_age")]
    assert times == [12, 31, 43, 5]


@pytest.mark.parametrize(
    ("register", "change", "value"),
    [
        ("ratio_x1000", {"score": 200.0}, NONE - 1),
        ("ratio_x1000", {"score": math.nan}, NONE),
        ("ratio_x1000", {"threshold": 0.0}, NONE),
        ("ratio_x1000", {"threshold": -1.0, "score": -1.0}, NONE),
        ("p_x10000", {"p_value": 0.0}, 0),
        ("p_x10000", {"p_value": math.nan}, NONE),
        ("peak_x", {"peak_xy": (-1, -1)}, NONE),
        ("peak_x", {"peak_xy": (NONE - 1, 0)}, NONE - 1),
        ("peak_y", {"peak_xy": (0, 70_000)}, NONE),
        ("frame_age_ms", {"frame_age_ms": math.nan}, NONE),
        ("frame_age_ms", {"frame_age_ms": -0.6}, NONE),
        ("frame_age_ms", {"frame_age_ms": 0.4}, 0),
        ("acquisition_ms", {"acquisition_ms": 1e9}, NONE),
        ("total_ms", {"acquisition_ms": 40_000.0, "processing_ms": 40_000.0}, NONE),
    ],
)
def test_what_is_none_or_does_not_fit_is_said_in_the_register(
    register: str, change: dict[str, object], value: int
) -> None:
    assert block(**change)[register] == value
