"""Network cameras over HTTP: each picture as soon as it is there, and a cut one never as a picture."""

from __future__ import annotations

import base64
import http.server
import io
import itertools
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from PIL import Image

from csflow.runtime.errors import EndOfStream, FrameError, SourceError, SourceLost
from csflow.runtime.source import FrameSource, open_source
from csflow.runtime.sources import multipart
from csflow.runtime.sources.http import HttpSource
from csflow.runtime.sources.multipart import MultipartReader, boundary_of
from csflow.runtime.synthetic.product import part_at

pytest.importorskip("cv2", reason="cameras need csflow[camera]")
pytest.importorskip("simplejpeg", reason="cameras need csflow[camera]")


def jpeg(index: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(part_at(3, index, 0.0, (96, 64)).image).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


PICTURES = [jpeg(i) for i in range(4)]
CUT = PICTURES[1][: len(PICTURES[1]) // 2]


def part(body: bytes, length: int | None = -1, boundary: str = "--frame") -> bytes:
    """One part; its length is right where -1, unstated where None."""
    line = "" if length is None else f"Content-Length: {len(body) if length == -1 else length}\r\n"
    return f"{boundary}\r\nContent-Type: image/jpeg\r\n{line}\r\n".encode() + body + b"\r\n"


def bodies(data: bytes, boundary: str = "frame", chunk: int = 1000) -> list[bytes]:
    stream = io.BytesIO(data)
    reader = MultipartReader(lambda: stream.read(chunk), boundary)
    found = []
    while True:
        try:
            found.append(reader.part())
        except EOFError:
            return found


@pytest.mark.parametrize("length", [-1, None])
@pytest.mark.parametrize("boundary", ["frame", "--frame", "b", ""])
@pytest.mark.parametrize("chunk", [1, 7, 1000, 1 << 20])
def test_every_part_comes_once_and_whole(length: int | None, boundary: str, chunk: int) -> None:
    line = "--" + (boundary.lstrip("-") or "frame")
    data = b"".join(part(p, length, line) for p in PICTURES) + f"{line}--\r\n".encode()
    assert bodies(data, boundary, chunk) == PICTURES


@pytest.mark.parametrize("length", [-1, None, len(PICTURES[1])])
def test_what_was_cut_off_ends_where_the_next_part_begins(length: int | None) -> None:
    data = part(PICTURES[0]) + part(CUT, length) + part(PICTURES[2]) + part(PICTURES[3])
    found = bodies(data)
    assert found[0] == PICTURES[0]
    assert found[1].rstrip(b"\r\n") == CUT
    assert found[2:] == PICTURES[2:]


def test_a_stream_that_ends_within_a_part_gives_what_came() -> None:
    assert bodies(part(PICTURES[0]) + part(PICTURES[1])[:-1000]) == [PICTURES[0], PICTURES[1][:-998]]


@pytest.mark.parametrize("length", [-1, None])
def test_a_part_is_given_before_the_next_one_begins(length: int | None) -> None:
    chunks = iter([part(PICTURES[0], length)[:-2]])
    reader = MultipartReader(lambda: next(chunks), "frame")
    assert reader.part() == PICTURES[0]


def test_a_part_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multipart, "MAX_PART_BYTES", 1 << 22)
    parts = itertools.chain([part(b"", None)], itertools.repeat(bytes(1 << 20)))
    with pytest.raises(ValueError, match="without the end"):
        MultipartReader(lambda: next(parts), "frame").part()
    with pytest.raises(ValueError, match="no parts"):
        MultipartReader(lambda: bytes(1 << 20), "frame").part()
    with pytest.raises(ValueError, match="announces"):
        MultipartReader(lambda: part(b"", 999_999_999), "frame").part()


def test_the_boundary_is_found_in_any_spelling() -> None:
    assert boundary_of("multipart/x-mixed-replace;boundary=frame") == "frame"
    assert boundary_of('multipart/x-mixed-replace; charset=x; Boundary = "my frame"; q=1') == "my frame"
    assert boundary_of("multipart/x-mixed-replace") == ""


Answer = Callable[[http.server.BaseHTTPRequestHandler], None]


class Camera:
    """A camera whose answers a test writes."""

    def __init__(self, answer: Answer) -> None:
        self.requests: list[str] = []
        camera = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                camera.requests.append(self.headers.get("Authorization", ""))
                answer(self)

            def log_message(self, *_: object) -> None: ...

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self.thread.start()
        self.address = f"127.0.0.1:{self.server.server_address[1]}/video"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def camera() -> Iterator[Callable[[Answer], Camera]]:
    made: list[Camera] = []

    def make(answer: Answer) -> Camera:
        made.append(Camera(answer))
        return made[-1]

    yield make
    for one in made:
        one.close()


def sends(handler: http.server.BaseHTTPRequestHandler, kind: str, body: bytes, status: int = 200) -> None:
    handler.send_response(status)
    handler.send_header("Content-Type", kind)
    handler.end_headers()
    handler.wfile.write(body)


def drain(source: FrameSource) -> None:
    while True:
        source.read(1.0)


STREAM = "multipart/x-mixed-replace; boundary=frame"


def test_an_mjpeg_stream_gives_pillows_pictures_and_a_cut_one_is_truncated(camera: Callable[[Answer], Camera]) -> None:
    body = part(PICTURES[0]) + part(CUT) + part(PICTURES[2], None) + b"--frame--\r\n"
    with open_source(f"http://{camera(lambda h: sends(h, STREAM, body)).address}", 5.0) as source:
        assert isinstance(source, HttpSource)
        assert source.live
        first = source.read(1.0)
        with pytest.raises(FrameError, match="cut off") as cut:
            source.read(1.0)
        third = source.read(1.0)
        with pytest.raises(SourceLost, match="ended its stream"):
            source.read(1.0)
    assert first is not None
    assert third is not None
    assert np.array_equal(first.image, np.asarray(Image.open(io.BytesIO(PICTURES[0])).convert("RGB")))
    assert (cut.value.fault, cut.value.index, third.index) == ("truncated", 1, 2)
    with pytest.raises(EndOfStream):
        source.read(0.0)


def test_a_snapshot_address_is_a_camera_whose_every_new_picture_counts_once(
    camera: Callable[[Answer], Camera],
) -> None:
    given = iter([PICTURES[0], PICTURES[0], PICTURES[1], CUT, PICTURES[3]])
    # The first request only asks what the address gives.
    answers = iter([PICTURES[0], *given])
    with open_source(f"http://{camera(lambda h: sends(h, 'image/jpeg', next(answers))).address}", 5.0) as source:
        assert source.live
        before_ns = time.monotonic_ns()
        frames = [source.read(1.0) for _ in range(3)]
        with pytest.raises(FrameError) as cut:
            source.read(1.0)
        frames.append(source.read(1.0))
    assert [None if f is None else f.index for f in frames] == [0, None, 1, 3]
    assert frames[0] is not None
    assert before_ns <= frames[0].captured_ns <= time.monotonic_ns()
    assert cut.value.fault == "truncated"


def test_a_camera_that_shows_one_picture_for_ever_is_lost(camera: Callable[[Answer], Camera]) -> None:
    address = camera(lambda h: sends(h, "image/jpeg", PICTURES[0])).address
    with open_source(f"http://{address}", 0.3) as source, pytest.raises(SourceLost, match=r"no new picture for 0\.3 s"):
        drain(source)


def test_a_stream_that_falls_silent_is_lost(camera: Callable[[Answer], Camera]) -> None:
    done = threading.Event()

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        sends(handler, STREAM, part(PICTURES[0]))
        handler.wfile.flush()
        done.wait(10)

    with open_source(f"http://{camera(answer).address}", 0.3) as source:
        assert source.read(1.0) is not None
        with pytest.raises(SourceLost, match=r"silent for 0\.3 s"):
            source.read(1.0)
    done.set()


def test_a_login_is_used_and_never_shown(camera: Callable[[Answer], Camera]) -> None:
    expected = "Basic " + base64.b64encode(b"admin:s3 cret/").decode()

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        if handler.headers.get("Authorization") == expected:
            sends(handler, STREAM, part(PICTURES[0]))
            return
        handler.send_response(401)
        handler.send_header("WWW-Authenticate", 'Basic realm="camera"')
        handler.end_headers()

    address = camera(answer).address
    with open_source(f"http://admin:s3%20cret%2F@{address}", 5.0) as source:
        frame = source.read(1.0)
    assert frame is not None
    assert "cret" not in source.name + frame.source
    with pytest.raises(SourceError, match="HTTP 401") as caught:
        open_source(f"http://admin:wrong@{address}", 5.0)
    assert "wrong" not in str(caught.value)


def test_what_is_neither_stream_nor_picture_is_left_to_opencv(camera: Callable[[Answer], Camera]) -> None:
    address = camera(lambda h: sends(h, "text/html", b"<html>")).address
    with pytest.raises(SourceError, match="does not answer with a stream"):
        open_source(f"http://{address}", 2.0)
