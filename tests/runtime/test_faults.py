"""One table of verdicts, reasons and faults: the same in C, in the docs, and safe on the wire."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from csflow.runtime.faults import FAULTS, INVALIDATING, FaultWord, Quality, Reason, Verdict, quality_of, reason_of

ROOT = Path(__file__).parents[2]
HEADER = (ROOT / "runtime/native/include/csflow.h").read_text()


def constants(prefix: str) -> dict[str, int]:
    """The constants of csflow.h with an explicit value, by what follows their prefix."""
    found = re.findall(rf"\b{prefix}(\w+) = (0x[0-9A-F]+|\d+)", HEADER)
    return {name: int(value, 0) for name, value in found}


def test_reasons_are_those_of_the_header_by_name_and_number() -> None:
    numbers = constants("CSFLOW_REASON_")
    assert len(numbers) > 9
    assert {name: Reason[name].value for name in numbers} == numbers


def test_codes_are_those_of_the_header() -> None:
    assert {verdict.name: verdict.code for verdict in Verdict} == constants("CSFLOW_CODE_")


def test_verdicts_count_as_in_the_header() -> None:
    listed = re.search(r"enum \{ (CSFLOW_VERDICT_[^}]*) \}", HEADER)
    assert listed
    assert [name.removeprefix("CSFLOW_VERDICT_") for name in listed[1].split(", ")] == [v.name for v in Verdict]
    assert [v.value for v in Verdict] == list(range(5))


def test_no_few_wrong_bits_turn_one_code_into_another() -> None:
    words = [*(verdict.code for verdict in Verdict), 0xFFFF]
    assert all((a ^ b).bit_count() >= 8 for a, b in itertools.combinations(words, 2))


def test_the_docs_list_every_fault_with_its_number() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \|", (ROOT / "docs/faults.md").read_text(), re.MULTILINE)
    assert {word: int(number) for word, number in rows} == {word: f.reason.value for word, f in FAULTS.items()}


def test_every_word_is_in_the_table_and_in_its_order() -> None:
    assert ["", *FAULTS] == list(get_args(FaultWord))
    assert list(FAULTS) == sorted(FAULTS)


def test_each_reason_has_a_number_of_its_own_and_a_meaning() -> None:
    assert len({reason.value for reason in Reason}) == len(Reason.__members__)
    assert all(reason.meaning for reason in Reason)
    assert all(fault.reason is not Reason.INTERNAL for fault in FAULTS.values())


@pytest.mark.parametrize(
    ("verdict", "fault", "reason"),
    [
        (Verdict.OK, "", Reason.NONE),
        (Verdict.NOK, "", Reason.ABOVE_REJECT),
        (Verdict.UNCERTAIN, "", Reason.ABOVE_WARN),
        (Verdict.ERROR, "lost", Reason.CAMERA_LOST),
        (Verdict.ERROR, "unheard of", Reason.INTERNAL),
        (Verdict.ERROR, "", Reason.INTERNAL),
    ],
)
def test_the_number_for_a_result(verdict: Verdict, fault: str, reason: Reason) -> None:
    assert reason_of(verdict, fault) is reason


def test_an_unverified_result_has_a_bit_with_which_no_part_is_accepted() -> None:
    assert quality_of("", verified=True) == Quality.NONE
    assert quality_of("", verified=False) & INVALIDATING
    assert quality_of("blurred", verified=False) == Quality.BLURRED | Quality.MODEL_UNVERIFIED


def test_it_is_read_without_numpy() -> None:
    code = "import sys, csflow.runtime.faults; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
