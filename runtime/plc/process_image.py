"""The process image: what a controller writes and reads, as one block of 16-bit registers each way.

Every adapter carries these two blocks and nothing else. Version 0x0100: registers keep their place for ever, new ones
take free places. Numbers of 32 bits have their high word first unless `low_word_first`; bytes of a register are
big-endian, as Modbus has them. Register numbers count from 0.
"""

from __future__ import annotations

import dataclasses
import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntFlag
from typing import Any, TypeVar, cast

__all__ = [
    "MAP_VERSION",
    "NO_SHARE",
    "ORDER_REGISTERS",
    "REPORT_REGISTERS",
    "Control",
    "Orders",
    "Report",
    "Status",
    "pack",
    "registers",
    "unpack",
]

MAP_VERSION = 0x0100
ORDER_REGISTERS = 32
"""Size of the block that the controller writes."""
REPORT_REGISTERS = 128
"""Size of the block that csflow writes."""
TEXT_REGISTERS = 16
LARGEST_FLOAT32 = 3.4028235e38
NO_SHARE = 0xFFFF
"""In registers that may have no value: there is none."""

T = TypeVar("T", bound="Orders | Report")


class Control(IntFlag):
    """Bits of the CONTROL register, which the controller writes. Levels, held until they are answered."""

    ENABLE = 1 << 0
    TRIGGER = 1 << 1
    RESULT_ACK = 1 << 2
    BUFFER_RESULTS = 1 << 3
    EXECUTE = 1 << 4
    CLEAR_ERROR = 1 << 5
    SET_OFFLINE = 1 << 6


class Status(IntFlag):
    """Bits of the STATUS register, which csflow writes. No edge need be seen: levels stay until they are answered."""

    ONLINE = 1 << 0
    READY = 1 << 1
    TRIGGER_ACK = 1 << 2
    BUSY = 1 << 3
    ACQ_DONE = 1 << 4
    RESULT_VALID = 1 << 5
    RESULT_TOGGLE = 1 << 6
    OVERRUN = 1 << 7
    CMD_EXECUTING = 1 << 8
    CMD_DONE = 1 << 9
    CMD_FAILED = 1 << 10
    WARNING = 1 << 11
    ERROR = 1 << 12
    MISSED_TRIGGER = 1 << 13
    RECIPE_READY = 1 << 14


def _at(register: int, kind: str, meaning: str, default: Any = 0) -> Any:
    place = {"register": register, "kind": kind, "meaning": meaning}
    return dataclasses.field(default=default, metadata=place)


@dataclass(frozen=True)
class Orders:
    """What the controller wants; all zero wants nothing."""

    control: int = _at(0, "u16", "bits, see CONTROL")
    heartbeat: int = _at(1, "u16", "any change within the time limit keeps control; 0: not supervised")
    trigger_id: int = _at(2, "u32", "names the part; not 0, not the one before")
    command: int = _at(4, "u16", "what EXECUTE starts, see COMMAND")
    argument: int = _at(5, "u16", "number of the recipe for PrepareRecipe")
    deadline_ms: int = _at(6, "u16", "from trigger to result; 0: the recipe's")
    part_id: str = _at(8, "text", "32 ASCII characters, padded with 0", "")


@dataclass(frozen=True)
class Report:
    """What csflow says; all zero says that there is no verdict."""

    status: int = _at(0, "u16", "bits, see STATUS")
    heartbeat: int = _at(1, "u16", "counts while supervisor and worker live")
    state: int = _at(2, "u16", "see STATE")
    error_code: int = _at(3, "u16", "why ERROR is 1, see REASON")
    warning_code: int = _at(4, "u16", "why WARNING is 1, see REASON")
    recipe: int = _at(5, "u16", "recipe in force; 0: none")
    recipe_crc: int = _at(6, "u32", "checksum of its bundle and settings")
    boot_id: int = _at(8, "u32", "new at each start of csflow")
    map_version: int = _at(10, "u16", "0x0100", MAP_VERSION)
    acquired_id: int = _at(11, "u16", "low word of the trigger id that ACQ_DONE is about")
    refused_id: int = _at(12, "u32", "trigger id that MISSED_TRIGGER is about")
    sequence_begin: int = _at(16, "u16", "equals SEQUENCE_END unless the read was torn")
    verdict: int = _at(17, "u16", "0x5AA5 is OK, and nothing else is")
    result_trigger_id: int = _at(18, "u32", "trigger id that the result answers")
    result_id: int = _at(20, "u32", "number of the result; never used twice")
    quality: int = _at(22, "u16", "bits, see QUALITY")
    reason: int = _at(23, "u16", "why the verdict is not OK, see REASON")
    score: float = _at(24, "f32", "higher is stranger; NaN: none", math.nan)
    threshold: float = _at(26, "f32", "reject above; NaN: none", math.nan)
    ratio_x1000: int = _at(28, "u16", "score / threshold * 1000; 65535: none", NO_SHARE)
    p_x10000: int = _at(29, "u16", "p value * 10000; 65535: none", NO_SHARE)
    recipe_used: int = _at(30, "u16", "recipe that this result was made with")
    acquisition_ms: int = _at(31, "u16", "trigger to picture; 65535: that long or more")
    processing_ms: int = _at(32, "u16", "picture to verdict")
    total_ms: int = _at(33, "u16", "trigger to result")
    frame_age_ms: int = _at(34, "u16", "picture's age when its inspection began; 65535: none", NO_SHARE)
    peak_x: int = _at(36, "u16", "highest point of the map in pixels; 65535: none, or farther", NO_SHARE)
    peak_y: int = _at(37, "u16", "the same, downwards", NO_SHARE)
    pending: int = _at(40, "u16", "results that wait for RESULT_ACK, this one included")
    result_part_id: str = _at(41, "text", "PART_ID of the trigger", "")
    result_boot_id: int = _at(57, "u32", "BOOT_ID under which the result was made")
    recipe_crc_used: int = _at(59, "u32", "RECIPE_CRC under which the result was made")
    sequence_end: int = _at(63, "u16", "see SEQUENCE_BEGIN")
    triggers: int = _at(64, "u32", "triggers accepted")
    completed: int = _at(66, "u32", "terminal results, one for each of them")
    ok: int = _at(68, "u32", "of these OK")
    nok: int = _at(70, "u32", "of these not OK")
    uncertain: int = _at(72, "u32", "of these uncertain")
    error: int = _at(74, "u32", "of these ERROR, aborted ones included")
    missed: int = _at(76, "u32", "triggers refused")
    overruns: int = _at(78, "u32", "of these because results waited")
    camera_reconnects: int = _at(80, "u32", "times the camera came back, since the start of csflow")
    worker_restarts: int = _at(82, "u32", "since the start of csflow")
    uptime_s: int = _at(86, "u32", "seconds since the start of csflow")
    temperature_x10: int = _at(96, "u16", "hottest sensor of the machine, degrees Celsius * 10; 65535: none", NO_SHARE)
    free_disk_mb: int = _at(99, "u16", "MB free where the state is; 65534: that or more, 65535: none", NO_SHARE)


_SIZES = {Orders: ORDER_REGISTERS, Report: REPORT_REGISTERS}
_WORDS = {"u16": 1, "u32": 2, "f32": 2, "text": TEXT_REGISTERS}
_FORMATS = {"u16": "H", "u32": "I", "f32": "f", "text": f"{2 * TEXT_REGISTERS}s"}


def registers(cls: type[Orders | Report]) -> list[tuple[int, int, str, str, str]]:
    """The map of a block: first register, number of registers, kind, name, meaning of each value, in order."""
    rows = [
        (f.metadata["register"], f.metadata["kind"], f.name, f.metadata["meaning"]) for f in dataclasses.fields(cls)
    ]
    return [(place, _WORDS[kind], kind, name.upper(), meaning) for place, kind, name, meaning in rows]


class _Layout:
    """Where the values of a block lie."""

    def __init__(self, cls: type[Orders | Report]) -> None:
        rows = registers(cls)
        self.kinds = [kind for _, _, kind, _, _ in rows]
        self.names = [f.name for f in dataclasses.fields(cls)]
        self.doubles = [2 * place for place, words, _, _, _ in rows if words == 2]
        ends = [0, *(place + words for place, words, _, _, _ in rows)]
        gaps = [place - end for (place, *_), end in zip(rows, ends, strict=False)]
        parts = [f"{2 * gap}x{_FORMATS[kind]}" for gap, kind in zip(gaps, self.kinds, strict=True)]
        self.struct = struct.Struct(">" + "".join(parts) + f"{2 * (_SIZES[cls] - ends[-1])}x")

    def swapped(self, data: bytes) -> bytes:
        """The block with the other word order."""
        turned = bytearray(data)
        for at in self.doubles:
            turned[at : at + 4] = data[at + 2 : at + 4] + data[at : at + 2]
        return bytes(turned)


_LAYOUTS = {cls: _Layout(cls) for cls in (Orders, Report)}


def pack(block: Orders | Report, low_word_first: bool = False) -> bytes:
    """The block as bytes, two a register. Values that do not fit are cut: numbers wrap, text loses its end."""
    layout = _LAYOUTS[type(block)]
    values = [_PUT[kind](getattr(block, name)) for kind, name in zip(layout.kinds, layout.names, strict=True)]
    data = layout.struct.pack(*values)
    return layout.swapped(data) if low_word_first else data


def unpack(cls: type[T], data: bytes, low_word_first: bool = False) -> T:
    """The block from its bytes. Raises ValueError where there are more or fewer bytes than it has."""
    layout = _LAYOUTS[cast(Any, cls)]
    if len(data) != layout.struct.size:
        raise ValueError(f"{len(data)} bytes: expected {layout.struct.size} for {cls.__name__}")
    values = layout.struct.unpack(layout.swapped(data) if low_word_first else data)
    read = (_text(v) if kind == "text" else v for kind, v in zip(layout.kinds, values, strict=True))
    return cast(T, cast(Any, cls)(**dict(zip(layout.names, read, strict=True))))


def _text(data: bytes) -> str:
    return "".join(chr(c) if 32 <= c < 127 else "?" for c in data.partition(b"\0")[0])


def _float32(value: float) -> float:
    return value if not math.isfinite(value) or abs(value) < LARGEST_FLOAT32 else math.copysign(math.inf, value)


_PUT: dict[str, Callable[[Any], Any]] = {
    "u16": lambda value: int(value) & 0xFFFF,
    "u32": lambda value: int(value) & 0xFFFFFFFF,
    "f32": _float32,
    "text": lambda value: value.encode("ascii", "replace"),
}
