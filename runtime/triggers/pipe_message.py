"""Messages between a supervisor and the process that inspects, over a pipe each way. Needs no numpy.

A message is a header of 16 bytes, little-endian, and its payload:

    0   magic     2 bytes 'CF'
    2   version   u8, 1: of this header
    3   kind      u8, as `KINDS` numbers them
    4   sequence  u32, from 1, one more each message in this direction, after 0xFFFFFFFF 0
    8   length    u32, bytes of the payload, at most 65536
    12  crc       u32, CRC-32 (zlib) of bytes 0 to 11 and the payload

The payload is one JSON object in UTF-8 with exactly the fields of the message; a number that is not there is null.
Both sides send `Hello` first, and end where the other's protocol is another. Then:

    supervisor   Ask        give this part a verdict                      answered by Exposed (maybe) and Answer, once
                 Ping       prove that the loop turns                     answered by Pong, between two parts
                 SelfTest   score the golden frames again                 answered by Ready, or Failed
                 Open       open the camera; once, after Held             answered by Ready, or Failed
    worker       Held       golden frames passed, the camera is not open  before Ready, where the pipe says hold
                 Ready      golden frames passed, and what it is          before the first Answer, and after a SelfTest
                 Exposed    the picture is taken, the part may move       at most once an Ask, before its Answer
                 Answer     the verdict
                 Failed     why it ends                                   the last message of a worker that fails

The supervisor ends a worker by closing its pipe. Whoever reads anything else than such messages, a gap in their
sequence or a wrong checksum, trusts nothing that follows: there is no way to get in step again.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from csflow.runtime.errors import SourceLost
from csflow.runtime.schema import SchemaError, from_mapping, parse_json, to_mapping

__all__ = [
    "FROM_SUPERVISOR",
    "FROM_WORKER",
    "KINDS",
    "PROTOCOL",
    "Answer",
    "Ask",
    "Decoder",
    "Encoder",
    "Exposed",
    "Failed",
    "Held",
    "Hello",
    "Message",
    "MessageError",
    "Open",
    "Ping",
    "Pong",
    "Ready",
    "SelfTest",
]

PROTOCOL = 1
"""Changes when a message changes its meaning or its fields."""
MAX_PAYLOAD = 65536
MAX_WORDS = 1000
"""Characters of a text that are sent; what is longer is cut."""
_HEADER = struct.Struct("<2sBBIII")
_MAGIC, _VERSION, _CHECKED = b"CF", 1, 12


class MessageError(SourceLost):
    """What came over the pipe is no message of this protocol: nothing that follows can be trusted."""


@dataclass(frozen=True)
class Hello:
    """The first message of either side."""

    protocol: int
    """`PROTOCOL`."""
    csflow: str
    """Version of the package."""
    process: int
    """Process id."""


@dataclass(frozen=True)
class Ask:
    """Give this part a verdict."""

    id: str
    """Comes back in `Exposed` and `Answer`; at most 64 printable characters."""
    since_ns: int
    """CLOCK_MONOTONIC of the trigger, the same in every process of a machine: only a picture taken later answers it."""
    deadline_ms: int
    """From `since_ns` to the answer."""
    part: str = ""
    """The asker's own name for the part, at most 64 characters."""


@dataclass(frozen=True)
class Ping:
    """Prove that the loop that decides turns."""

    number: int


@dataclass(frozen=True)
class SelfTest:
    """Score the golden frames again."""


@dataclass(frozen=True)
class Open:
    """Open the camera: whoever had it has let go of it."""


@dataclass(frozen=True)
class Held:
    """The golden frames passed; `Open` is waited for."""


@dataclass(frozen=True)
class Ready:
    """The golden frames passed; what answers from now on."""

    bundle: str
    """Name of its folder."""
    bundle_sha256: str
    """Of the manifest, and so of every file but the thresholds."""
    weights_sha256: str
    """Identity of the model."""
    calibration_sha256: str
    """Of the thresholds."""
    engine: str
    verified: bool
    """Whether the decision gate has passed the engine."""
    warn_threshold: float
    reject_threshold: float


@dataclass(frozen=True)
class Exposed:
    """The picture is taken: the part may move."""

    id: str
    captured_ns: int
    """CLOCK_MONOTONIC at capture."""


@dataclass(frozen=True)
class Answer:
    """The one result of an `Ask`."""

    id: str
    part: str
    verdict: int
    """`Verdict.code`: 0x5AA5 is OK, and nothing else is."""
    fault: str
    """A word of `faults.FAULTS`; empty unless the verdict is ERROR."""
    reason: int
    """`faults.Reason`."""
    quality: int
    """`faults.Quality`."""
    words: str
    """Why the verdict is not OK, for people."""
    score: float | None
    threshold: float | None
    p_value: float | None
    peak_x: int
    """Highest point of the map in pixels of the picture; -1 where there is none."""
    peak_y: int
    frame_index: int
    """-1 where there was no frame."""
    captured_ns: int
    latency_s: float | None
    """Seconds from capture to verdict."""
    age_s: float | None
    """Seconds from capture until the detector took the picture."""


@dataclass(frozen=True)
class Pong:
    """The loop turns."""

    number: int
    """Of the `Ping`."""
    away: str
    """Why the camera is away; empty while it is there."""


@dataclass(frozen=True)
class Failed:
    """Why the worker ends."""

    reason: int
    """`faults.Reason`."""
    words: str


Message: TypeAlias = "Hello | Ask | Ping | SelfTest | Open | Held | Ready | Exposed | Answer | Pong | Failed"

KINDS: dict[int, type[Message]] = {
    1: Hello,
    2: Ask,
    3: Ping,
    4: SelfTest,
    5: Open,
    16: Ready,
    17: Exposed,
    18: Answer,
    19: Pong,
    20: Failed,
    21: Held,
}
"""Every message by its number in the header; numbers are never used again."""
FROM_SUPERVISOR = (Hello, Ask, Ping, SelfTest, Open)
FROM_WORKER = (Hello, Held, Ready, Exposed, Answer, Pong, Failed)
_NUMBERS = {cls: number for number, cls in KINDS.items()}


class Encoder:
    """Turns messages into bytes, one direction of one pipe."""

    def __init__(self) -> None:
        self._sequence = 0

    def encode(self, message: Message) -> bytes:
        """The bytes of the next message; long texts are cut. Raises ValueError for a number that is not finite."""
        fields = {k: _sendable(v) if isinstance(v, str) else v for k, v in to_mapping(message).items()}
        payload = json.dumps(fields, allow_nan=False, separators=(",", ":")).encode()
        self._sequence = self._sequence + 1 & 0xFFFFFFFF
        kind = _NUMBERS[type(message)]
        head = _HEADER.pack(_MAGIC, _VERSION, kind, self._sequence, len(payload), 0)[:_CHECKED]
        return head + struct.pack("<I", zlib.crc32(payload, zlib.crc32(head))) + payload


class Decoder:
    """Turns bytes into messages, one direction of one pipe, and refuses everything else for good."""

    def __init__(self, expected: tuple[type[Message], ...]) -> None:
        """Expect `FROM_SUPERVISOR` or `FROM_WORKER`."""
        self._expected = expected
        self._sequence, self._bytes, self._greeted = 0, b"", False

    def feed(self, data: bytes) -> Iterator[Message]:
        """The messages that `data` completes, in their order; those before a wrong one are given.

        Raises MessageError when the iteration comes to what is none, and then for every later call.
        """
        self._bytes += data
        return iter(self._next, None)

    def end(self) -> None:
        """The pipe was closed. Raises MessageError where that cut a message."""
        if self._bytes:
            raise MessageError(f"the pipe ended within message {self._sequence + 1}: the other side broke off")

    def _next(self) -> Message | None:
        if len(self._bytes) < _HEADER.size:
            return None
        magic, version, number, sequence, length, checksum = _HEADER.unpack_from(self._bytes)
        expected = self._sequence + 1 & 0xFFFFFFFF
        if (magic, version) != (_MAGIC, _VERSION) or length > MAX_PAYLOAD:
            raise MessageError(f"message {expected} on the pipe has no header of this protocol: start both sides again")
        if len(self._bytes) < _HEADER.size + length:
            return None
        payload = self._bytes[_HEADER.size : _HEADER.size + length]
        if zlib.crc32(payload, zlib.crc32(self._bytes[:_CHECKED])) != checksum:
            raise MessageError(f"message {expected} on the pipe has a wrong checksum: start both sides again")
        if sequence != expected:
            raise MessageError(f"message {sequence} on the pipe, expected {expected}: start both sides again")
        message = self._read(number, payload)
        self._sequence = sequence
        self._bytes = self._bytes[_HEADER.size + length :]
        return message

    def _read(self, number: int, payload: bytes) -> Message:
        cls = KINDS.get(number)
        if cls not in self._expected:
            raise MessageError(f"a message of kind {number} on the pipe was not expected from this side")
        try:
            message: Message = from_mapping(cls, parse_json(payload))
        except SchemaError as error:
            raise MessageError(f"{cls.__name__} on the pipe: {error}") from None
        if isinstance(message, Hello) == self._greeted:
            raise MessageError(f"{cls.__name__} on the pipe: expected one Hello, first of all")
        if isinstance(message, Hello) and message.protocol != PROTOCOL:
            raise MessageError(
                f"the other side speaks protocol {message.protocol} (csflow {message.csflow}), this one {PROTOCOL}: "
                "install the same csflow on both"
            )
        self._greeted = True
        return message


def _sendable(text: str) -> str:
    # A file name may hold bytes that are no text.
    return text[:MAX_WORDS].encode("utf-8", "backslashreplace").decode()
