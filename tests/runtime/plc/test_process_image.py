"""The two blocks of registers: their places for ever, both word orders, and what does not fit."""

from __future__ import annotations

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csflow.runtime.plc.process_image import (
    MAP_VERSION,
    NO_SHARE,
    ORDER_REGISTERS,
    REPORT_REGISTERS,
    Control,
    Orders,
    Report,
    Status,
    pack,
    registers,
    unpack,
)

WORD = st.integers(0, 0xFFFF)
DOUBLE = st.integers(0, 0xFFFFFFFF)
TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=32)
ORDERS = st.builds(Orders, WORD, WORD, DOUBLE, WORD, WORD, WORD, TEXT)


@given(ORDERS, st.booleans())
def test_orders_come_back_as_they_went(orders: Orders, low_word_first: bool) -> None:
    data = pack(orders, low_word_first)
    assert len(data) == 2 * ORDER_REGISTERS
    assert unpack(Orders, data, low_word_first) == orders


@given(st.floats(width=32, allow_nan=False), DOUBLE, TEXT, st.booleans())
def test_a_report_comes_back_as_it_went(score: float, number: int, part: str, low_word_first: bool) -> None:
    report = Report(score=score, threshold=-0.0, result_id=number, result_part_id=part, boot_id=number)
    data = pack(report, low_word_first)
    assert len(data) == 2 * REPORT_REGISTERS
    assert unpack(Report, data, low_word_first) == report


def test_the_bits_and_sizes_that_programs_in_controllers_know() -> None:
    control = "ENABLE TRIGGER RESULT_ACK BUFFER_RESULTS EXECUTE CLEAR_ERROR SET_OFFLINE"
    status = (
        "ONLINE READY TRIGGER_ACK BUSY ACQ_DONE RESULT_VALID RESULT_TOGGLE OVERRUN CMD_EXECUTING CMD_DONE CMD_FAILED "
        "WARNING ERROR MISSED_TRIGGER RECIPE_READY"
    )
    for bits, names in ((Control, control), (Status, status)):
        assert {bit.name: bit.value for bit in bits} == {name: 2**i for i, name in enumerate(names.split())}
    assert (MAP_VERSION, ORDER_REGISTERS, REPORT_REGISTERS, NO_SHARE) == (256, 32, 128, 65535)
    assert Report().map_version == 256


def test_every_register_keeps_its_place() -> None:
    """A change of this list needs another MAP_VERSION."""
    orders = "0 CONTROL 1 HEARTBEAT 2 TRIGGER_ID 4 COMMAND 5 ARGUMENT 6 DEADLINE_MS 8 PART_ID"
    report = (
        "0 STATUS 1 HEARTBEAT 2 STATE 3 ERROR_CODE 4 WARNING_CODE 5 RECIPE 6 RECIPE_CRC 8 BOOT_ID 10 MAP_VERSION "
        "11 ACQUIRED_ID 12 REFUSED_ID 16 SEQUENCE_BEGIN 17 VERDICT 18 RESULT_TRIGGER_ID 20 RESULT_ID 22 QUALITY "
        "23 REASON 24 SCORE 26 THRESHOLD 28 RATIO_X1000 29 P_X10000 30 RECIPE_USED 31 ACQUISITION_MS "
        "32 PROCESSING_MS 33 TOTAL_MS 34 FRAME_AGE_MS 36 PEAK_X 37 PEAK_Y 40 PENDING 41 RESULT_PART_ID "
        "57 RESULT_BOOT_ID 59 RECIPE_CRC_USED 63 SEQUENCE_END 64 TRIGGERS 66 COMPLETED 68 OK 70 NOK 72 UNCERTAIN "
        "74 ERROR 76 MISSED 78 OVERRUNS 80 CAMERA_RECONNECTS 82 WORKER_RESTARTS 86 UPTIME_S 96 TEMPERATURE_X10 "
        "99 FREE_DISK_MB"
    )
    for block, places in ((Orders, orders), (Report, report)):
        assert " ".join(f"{place} {name}" for place, _, _, name, _ in registers(block)) == places


def test_words_lie_big_endian_and_the_high_word_first_unless_asked() -> None:
    report = Report(verdict=0x5AA5, boot_id=0x11223344)
    assert pack(report)[34:36] == b"\x5a\xa5"
    assert pack(report)[16:20] == b"\x11\x22\x33\x44"
    assert pack(report, low_word_first=True)[16:20] == b"\x33\x44\x11\x22"
    assert pack(report, low_word_first=True)[34:36] == b"\x5a\xa5"


def test_no_two_values_share_a_register() -> None:
    for cls, size in ((Orders, ORDER_REGISTERS), (Report, REPORT_REGISTERS)):
        used = [place + i for place, words, *_ in registers(cls) for i in range(words)]
        assert len(used) == len(set(used))
        assert max(used) < size


def test_zeros_say_no_verdict_and_want_nothing() -> None:
    assert unpack(Orders, bytes(2 * ORDER_REGISTERS)) == Orders()
    assert unpack(Report, bytes(2 * REPORT_REGISTERS)).verdict == 0


def test_what_does_not_fit_is_cut() -> None:
    report = Report(heartbeat=0x12345, result_id=-1, score=1e300, result_part_id="ä" + "x" * 40)
    back = unpack(Report, pack(report))
    assert (back.heartbeat, back.result_id, back.score) == (0x2345, 0xFFFFFFFF, math.inf)
    assert back.result_part_id == "?" + "x" * 31


def test_bytes_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match="expected 64 for Orders"):
        unpack(Orders, bytes(63))


def test_a_part_id_that_is_no_text_is_shown_as_question_marks() -> None:
    data = bytearray(pack(Orders()))
    struct.pack_into(">H", data, 16, 0x0AFF)
    assert unpack(Orders, bytes(data)).part_id == "??"
