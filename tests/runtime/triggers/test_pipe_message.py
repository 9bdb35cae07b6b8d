"""Messages of the pipe: what is written is what is read, and everything else is refused for good."""

from __future__ import annotations

import dataclasses
import struct
import subprocess
import sys
import zlib

import pytest

from csflow.runtime.triggers import pipe_message
from csflow.runtime.triggers.pipe_message import (
    FROM_SUPERVISOR,
    FROM_WORKER,
    KINDS,
    MAX_PAYLOAD,
    MAX_WORDS,
    PROTOCOL,
    Answer,
    Ask,
    Decoder,
    Encoder,
    Exposed,
    Failed,
    Held,
    Hello,
    Message,
    MessageError,
    Open,
    Ping,
    Pong,
    Ready,
    SelfTest,
)

HELLO = Hello(PROTOCOL, "1.2.3", 4711)
ANSWER = Answer("7", "housing-12", 0x5AA5, "", 0, 0, "", 0.4, 0.6, None, 48, 36, 5, 81234567890123456, 0.04, None)
MESSAGES: list[Message] = [
    HELLO,
    Ask("7", 81234567890123456, 500, "housing-12"),
    Ping(3),
    SelfTest(),
    Open(),
    Held(),
    Ready("model.csflow", "ab" * 32, "cd" * 32, "ef" * 32, "openvino-fp32", True, 0.5, 0.6),
    Exposed("7", 1),
    ANSWER,
    Pong(3, ""),
    Failed(302, "the bundle is damaged: ä\n"),
]


def decoder(*kinds: type[Message]) -> Decoder:
    return Decoder(kinds or (*FROM_SUPERVISOR, *FROM_WORKER))


def rest(message: Message) -> bytes:
    """The message as the second one, after Hello."""
    encoder = Encoder()
    encoder.encode(HELLO)
    return encoder.encode(message)


def greeted() -> Decoder:
    made = decoder()
    list(made.feed(Encoder().encode(HELLO)))
    return made


def test_every_kind_is_tried() -> None:
    assert {type(m) for m in MESSAGES} == set(KINDS.values())
    assert set(FROM_SUPERVISOR) | set(FROM_WORKER) == set(KINDS.values())


def test_what_is_written_is_what_is_read_however_the_bytes_come() -> None:
    encoder = Encoder()
    data = b"".join(encoder.encode(m) for m in MESSAGES)
    assert list(decoder().feed(data)) == MESSAGES
    slow = decoder()
    assert [m for i in range(len(data)) for m in slow.feed(data[i : i + 1])] == MESSAGES
    slow.end()


def test_the_bytes_are_those_that_the_docstring_describes() -> None:
    head = struct.pack("<2sBBII", b"CF", 1, 3, 2, 12)
    payload = b'{"number":3}'
    assert rest(Ping(3)) == head + struct.pack("<I", zlib.crc32(head + payload)) + payload
    assert rest(Ping(3)).hex().startswith("434601030200000" + "00c000000")


@pytest.mark.parametrize("message", MESSAGES[1:], ids=lambda m: type(m).__name__)
def test_no_flipped_bit_makes_another_message(message: Message) -> None:
    data = rest(message)
    for bit in range(8 * len(data)):
        wrong = bytearray(data)
        wrong[bit // 8] ^= 1 << bit % 8
        reader = greeted()
        try:
            # A length that grew waits for bytes that do not come; the end tells.
            assert list(reader.feed(bytes(wrong))) == []
        except MessageError:
            continue
        with pytest.raises(MessageError, match="broke off"):
            reader.end()


def test_a_refused_message_is_refused_again() -> None:
    reader = greeted()
    for _ in range(2):
        with pytest.raises(MessageError, match="message 2 on the pipe has no header"):
            next(reader.feed(b"GET / HTTP/1.1\r\n"))


@pytest.mark.parametrize(("skip", "told"), [(0, "message 1 on the pipe, expected 2"), (2, "message 3 on the pipe")])
def test_a_repeated_and_a_missing_message_are_noticed(skip: int, told: str) -> None:
    encoder = Encoder()
    for _ in range(skip):
        encoder.encode(HELLO)
    with pytest.raises(MessageError, match=told):
        next(greeted().feed(encoder.encode(Ping(1))))


def test_the_sequence_goes_on_after_its_largest_number() -> None:
    encoder, reader = Encoder(), greeted()
    encoder._sequence = reader._sequence = 0xFFFFFFFE
    data = b"".join(encoder.encode(Ping(i)) for i in range(3))
    assert list(reader.feed(data)) == [Ping(0), Ping(1), Ping(2)]
    assert reader._sequence == 1


def raw(number: int, payload: bytes, sequence: int = 2) -> bytes:
    head = struct.pack("<2sBBII", b"CF", 1, number, sequence, len(payload))
    return head + struct.pack("<I", zlib.crc32(payload, zlib.crc32(head))) + payload


@pytest.mark.parametrize(
    ("number", "payload", "told"),
    [
        (99, b"{}", "kind 99 on the pipe was not expected"),
        (3, b"{}", "number: missing"),
        (3, b'{"number":"3"}', "number: expected int, got str"),
        (3, b'{"number":3,"more":1}', "more: unknown key"),
        (3, b'{"number":NaN}', "NaN is not allowed"),
        (3, b"\xff", "not valid JSON"),
        (1, b'{"protocol":1,"csflow":"1","process":1}', "expected one Hello, first of all"),
        (3, b" " * (MAX_PAYLOAD + 1), "no header of this protocol"),
    ],
)
def test_what_fits_no_message_is_refused_in_words(number: int, payload: bytes, told: str) -> None:
    with pytest.raises(MessageError, match=told):
        next(greeted().feed(raw(number, payload)))


def test_the_first_message_is_hello_of_the_same_protocol() -> None:
    with pytest.raises(MessageError, match="expected one Hello, first of all"):
        next(decoder().feed(Encoder().encode(Ping(1))))
    with pytest.raises(MessageError, match=r"protocol 2 \(csflow 1\.2\.3\), this one 1: install the same csflow"):
        next(decoder().feed(Encoder().encode(dataclasses.replace(HELLO, protocol=2))))


def test_each_side_takes_what_the_other_says_alone() -> None:
    worker = Decoder(FROM_SUPERVISOR)
    assert list(worker.feed(Encoder().encode(HELLO))) == [HELLO]
    with pytest.raises(MessageError, match="was not expected from this side"):
        next(worker.feed(rest(ANSWER)))


def test_long_and_broken_texts_are_sent_in_a_form_that_is_read() -> None:
    words = "\udc80" + "\U0001f600" * 5000
    (got,) = greeted().feed(rest(dataclasses.replace(ANSWER, words=words, fault=words, id=words, part=words)))
    assert isinstance(got, Answer)
    assert got.words == "\\udc80" + "\U0001f600" * (MAX_WORDS - 1)


def test_a_number_that_is_none_cannot_be_sent() -> None:
    with pytest.raises(ValueError, match="JSON"):
        Encoder().encode(dataclasses.replace(ANSWER, score=float("nan")))


def test_a_supervisor_needs_no_numpy() -> None:
    code = f"import sys, {pipe_message.__name__}; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
