"""Verdicts and why one is not OK: every word, number and code once, for files, pages, controllers and C.

Needs no numpy: a process that only supervises imports it too. The numbers are those of csflow.h, and never change.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag
from typing import Literal, NamedTuple, TypeAlias

__all__ = ["FAULTS", "INVALIDATING", "Fault", "FaultWord", "Quality", "Reason", "Verdict", "quality_of", "reason_of"]


class Verdict(IntEnum):
    """Decision on one frame. Zero never means OK, so zeroed memory is never an accepted part.

    Travels by name in files, by number in C, by `code` on the wire.
    """

    NONE = 0
    OK = 1
    NOK = 2
    UNCERTAIN = 3
    ERROR = 4

    @property
    def code(self) -> int:
        """Its u16 on the wire: any two differ in at least 8 bits, also from 0xFFFF. Accept 0x5AA5 and nothing else."""
        return _CODES[self]


_CODES = {
    Verdict.NONE: 0x0000,
    Verdict.OK: 0x5AA5,
    Verdict.NOK: 0xA53C,
    Verdict.UNCERTAIN: 0x3C5A,
    Verdict.ERROR: 0xC3C3,
}


class Reason(IntEnum):
    """Why a verdict is not OK, a command failed or a station is in error, as a u16.

    The hundreds name the part at fault: 1 the camera, 2 the computer, 3 the model, 4 the dialogue with whoever asks,
    5 the machine round it, 9 csflow.
    """

    meaning: str

    def __new__(cls, number: int, meaning: str) -> Reason:
        """A number with its meaning in words."""
        made = int.__new__(cls, number)
        made._value_ = number
        made.meaning = meaning
        return made

    NONE = 0, "the verdict is OK, or there is none"
    ABOVE_WARN = 1, "score above the warn threshold"
    ABOVE_REJECT = 2, "score above the reject threshold"
    CAMERA_LOST = 101, "the camera is gone"
    CAMERA_TIMEOUT = 102, "no picture came in time"
    PICTURE_CORRUPT = 103, "the picture was damaged on its way"
    CAMERA_SETTINGS = 104, "the camera does not keep its settings"
    PICTURE = 105, "the picture cannot be used: empty, not decodable, wrong size or format"
    PICTURE_UNUSABLE = 106, "the picture does not show the part: old, frozen, dark, white or blurred"
    WORKER_CRASHED = 203, "the inspecting process ended"
    WORKER_HUNG = 204, "the inspecting process does not answer"
    SELF_TEST = 205, "the golden frames were not scored as they must be"
    INFERENCE = 206, "the engine failed"
    NOT_FINITE = 207, "score or map is no positive finite number"
    BUNDLE = 302, "the bundle is damaged or missing"
    CONFIGURATION = 303, "an option or the configuration is wrong"
    ENGINE = 304, "no engine fits the bundle and this machine"
    NOT_CALIBRATED = 305, "the bundle has no thresholds"
    UNVERIFIED = 306, "the decision gate has not passed the engine"
    BUSY = 401, "asked while not ready, or too many were waiting"
    UNKNOWN_RECIPE = 402, "no such recipe"
    DUPLICATE_ID = 403, "the id was that of the request before"
    DEADLINE = 404, "no verdict in time"
    ABORTED = 405, "the inspection was ended before the verdict"
    NOT_OWNER = 406, "another client has control"
    CLIENT_LOST = 407, "the client in control is gone"
    REFUSED_COMMAND = 408, "the command is not possible in this state"
    RESTART_LIMIT = 409, "the inspecting process was restarted too often"
    DISK = 501, "the disk is full or cannot be written"
    INTERNAL = 900, "a defect of csflow: report it"


class Quality(IntFlag):
    """What is to be known about a result beside its verdict; the low 16 bits are one register."""

    NONE = 0
    FRAME_STALE = 1 << 0
    FRAME_CORRUPT = 1 << 1
    FRAME_FROZEN = 1 << 2
    CAMERA_SETTINGS_MISMATCH = 1 << 3
    NONFINITE_SCORE = 1 << 4
    DEADLINE_MISSED = 1 << 5
    RECIPE_MISMATCH = 1 << 6
    MODEL_UNVERIFIED = 1 << 7
    UNDER_EXPOSED = 1 << 8
    OVER_EXPOSED = 1 << 9
    BLURRED = 1 << 10


INVALIDATING = Quality(0xFF)
"""Bits with which a controller accepts no part, whatever the verdict says."""

FaultWord: TypeAlias = Literal[
    "",
    "black",
    "blurred",
    "deadline",
    "engine",
    "frame",
    "frozen",
    "lost",
    "missed",
    "saturated",
    "score",
    "size",
    "stale",
    "stopped",
    "timeout",
    "truncated",
]
"""`Result.fault`: a key of `FAULTS`, or empty where the verdict is none of ERROR."""


class Fault(NamedTuple):
    """A kind of ERROR."""

    reason: Reason
    quality: Quality
    meaning: str


FAULTS: dict[str, Fault] = {
    "black": Fault(Reason.PICTURE_UNUSABLE, Quality.UNDER_EXPOSED, "lens covered, light off"),
    "blurred": Fault(Reason.PICTURE_UNUSABLE, Quality.BLURRED, "out of focus, or moved during the exposure"),
    "deadline": Fault(Reason.DEADLINE, Quality.DEADLINE_MISSED, "no verdict in time"),
    "engine": Fault(Reason.INFERENCE, Quality.NONE, "the engine failed on this frame"),
    "frame": Fault(
        Reason.PICTURE,
        Quality.FRAME_CORRUPT,
        "empty, not decodable, not fitting the region of interest, or without the part that it is aligned by",
    ),
    "frozen": Fault(Reason.PICTURE_UNUSABLE, Quality.FRAME_FROZEN, "the same bytes too many times"),
    "lost": Fault(Reason.CAMERA_LOST, Quality.NONE, "the camera is gone, and is being tried again"),
    "missed": Fault(Reason.BUSY, Quality.NONE, "too many triggers were waiting"),
    "saturated": Fault(Reason.PICTURE_UNUSABLE, Quality.OVER_EXPOSED, "too much light"),
    "score": Fault(
        Reason.NOT_FINITE, Quality.NONFINITE_SCORE, "the score is no positive number, or the map not finite"
    ),
    "size": Fault(Reason.PICTURE, Quality.FRAME_CORRUPT, "not the size the camera began with"),
    "stale": Fault(Reason.PICTURE_UNUSABLE, Quality.FRAME_STALE, "too old, or not newer than the frame before"),
    "stopped": Fault(Reason.ABORTED, Quality.NONE, "the run ended before this trigger's turn"),
    "timeout": Fault(Reason.CAMERA_TIMEOUT, Quality.NONE, "no frame after a trigger"),
    "truncated": Fault(Reason.PICTURE_CORRUPT, Quality.FRAME_CORRUPT, "cut off on its way"),
}
"""Every kind of ERROR by its word; docs/faults.md has the limits."""

_ABOVE = {Verdict.NOK: Reason.ABOVE_REJECT, Verdict.UNCERTAIN: Reason.ABOVE_WARN}


def reason_of(verdict: Verdict, fault: str) -> Reason:
    """The number for a result; INTERNAL for an ERROR with a word that is not in the table."""
    if verdict is Verdict.ERROR:
        return FAULTS[fault].reason if fault in FAULTS else Reason.INTERNAL
    return _ABOVE.get(verdict, Reason.NONE)


def quality_of(fault: str, verified: bool) -> Quality:
    """The bits for a result: those of its fault, and MODEL_UNVERIFIED where no decision gate has passed the engine."""
    bits = FAULTS[fault].quality if fault in FAULTS else Quality.NONE
    return bits if verified else bits | Quality.MODEL_UNVERIFIED
