"""The operator's word over HTTP: who may give it, what is kept, and that calibration and training take it."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from csflow.calibration.calibrate import calibrate
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.engines.fake import FakeEngine
from csflow.runtime.errors import ConfigError, DataError, SinkError
from csflow.runtime.labels.folder import LABELS, LabelFolder
from csflow.runtime.page.facts import Seen
from csflow.runtime.page.labelling import OPENED, Labelling
from csflow.runtime.page.sink import PageSink
from csflow.runtime.picture.images import read_image
from csflow.runtime.picture.origin import OPENCV, decoder_in
from csflow.runtime.types import Frame, Verdict

from .results import ERROR, IMAGE, INFO, NOK, OK, OPERATOR, TOKEN

JSON = {"Content-Type": "application/json"}
NOISE = np.random.default_rng(1).integers(0, 256, (40, 60, 3), np.uint8)


class Client:
    """Speaks to a page as the operator, unless told otherwise."""

    def __init__(self, page: PageSink) -> None:
        self._where = page.url.split("/")[2]
        self.run = self.event()["run"]

    def ask(self, method: str, path: str, body: bytes = b"", token: str = OPERATOR, **headers: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection(self._where, timeout=60)
        bearer = {"Authorization": f"Bearer {token}"} if token else {}
        connection.request(method, path, body, {**JSON, **bearer, **headers})
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, text

    def event(self, token: str = OPERATOR) -> dict[str, Any]:
        connection = http.client.HTTPConnection(self._where, timeout=60)
        connection.request("GET", "/events", headers={"Authorization": f"Bearer {token}"} if token else {})
        answer = connection.getresponse()
        while not (line := answer.readline()).startswith(b"data: "):
            assert line
        connection.close()
        event: dict[str, Any] = json.loads(line[6:])
        return event

    def open(self, number: int) -> None:
        """Open a part; it may not have been drawn yet."""
        while (status := self.ask("POST", f"/open/{number}")[0]) == 410:
            self.event()
        assert status == 200

    def label(self, number: int, **word: Any) -> tuple[int, str]:
        body = {"run": self.run, "good": True, "reason": "only dust", "by": "anna", **word}
        return self.ask("POST", f"/label/{number}", json.dumps(body).encode())


@pytest.fixture
def folder(tmp_path: Path) -> LabelFolder:
    return LabelFolder(tmp_path / "labelled")


@pytest.fixture
def page(folder: LabelFolder) -> Iterator[PageSink]:
    pytest.importorskip("starlette", reason="the page needs csflow[serve]")
    labelling = Labelling(folder, {"cam": OPENCV, "cam2": OPENCV}.__getitem__)
    with PageSink("127.0.0.1:0", INFO, TOKEN, operator_token=OPERATOR, labelling=labelling) as sink:
        yield sink


def test_picture_word_and_record_are_kept_and_counted(page: PageSink, folder: LabelFolder) -> None:
    client = Client(page)
    page.write(NOK, Frame(NOISE))
    page.write(replace(OK, frame_index=1), Frame(NOISE[::-1]))
    client.open(1)
    status, told = client.label(1, use="calibration")
    assert (status, json.loads(told)["overruled"]) == (200, True)
    client.open(2)
    status, told = client.label(2, good=False, defect="crack", reason="hairline", by="boris")
    assert status == 200, told
    first, second = folder.read()
    assert (first.verdict, first.truth, first.reason, first.by) == ("NOK", "good", "only dust", "anna")
    assert first.result["score"] == NOK.score
    assert first.picture.startswith("calibration/good/cam2-0-")
    assert (second.verdict, second.truth, second.by) == ("OK", "crack", "boris")
    assert second.picture.startswith("test/crack/cam-0-")
    for label, image in ((first, NOISE), (second, NOISE[::-1])):
        path = folder.root / label.picture
        np.testing.assert_array_equal(read_image(path), image)
        assert decoder_in(path) == OPENCV
    end = time.monotonic() + 60.0
    while (labels := client.event()["labels"])["labels"] < 2:
        assert time.monotonic() < end, "the page counts a word a moment after it has answered"
    assert labels == {"operator": True, "labels": 2, "false_rejects": 1, "escapes": 1, "decided": 0, "overruled": 2}
    assert client.event(TOKEN)["labels"]["operator"] is False


@pytest.mark.parametrize("token", ["", TOKEN, OPERATOR + "x"])
def test_nobody_but_the_operator_labels(page: PageSink, folder: LabelFolder, token: str) -> None:
    page.write(NOK, Frame(IMAGE))
    client = Client(page)
    client.open(1)
    body = json.dumps({"run": client.run, "good": True, "reason": "x", "by": "eve"}).encode()
    for path in ("/open/1", "/label/1"):
        assert client.ask("POST", path, body, token)[0] == (403 if token == TOKEN else 401)
    assert folder.read() == []


def test_what_another_site_can_make_a_browser_send_is_refused(page: PageSink, folder: LabelFolder) -> None:
    page.write(NOK, Frame(IMAGE))
    client = Client(page)
    client.open(1)
    body = json.dumps({"run": client.run, "good": True, "reason": "x", "by": "eve"}).encode()
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        assert client.ask("POST", "/label/1", body, **{"Content-Type": kind})[0] == 415
    assert client.ask("GET", "/label/1")[0] == 405
    assert client.ask("OPTIONS", "/label/1")[0] == 405
    assert folder.read() == []


@pytest.mark.parametrize(
    ("word", "status", "said"),
    [
        ({"run": "another"}, 410, "gone"),
        ({"reason": " "}, 400, "needs a reason"),
        ({"by": ""}, 400, "who you are"),
        ({"use": "../up"}, 400, "use must be"),
        ({"good": False, "defect": "../up"}, 400, "no name for a type"),
        ({"good": True, "defect": "dent"}, 400, "cannot be good"),
        ({"more": 1}, 400, "more"),
        ({"reason": "x" * 20_000}, 413, "at most"),
    ],
)
def test_a_word_that_cannot_be_is_told_and_nothing_is_kept(
    page: PageSink, folder: LabelFolder, word: dict[str, Any], status: int, said: str
) -> None:
    page.write(NOK, Frame(IMAGE))
    client = Client(page)
    client.open(1)
    got, text = client.label(1, **word)
    assert (got, said in text) == (status, True), text
    assert folder.read() == []
    assert client.ask("POST", "/label/1", b"{")[0] == 400


def test_a_part_without_verdict_or_picture_and_one_that_was_not_opened_cannot_be_labelled(
    page: PageSink,
) -> None:
    page.write(replace(ERROR, frame_index=0), Frame(IMAGE))
    client = Client(page)
    assert client.label(1)[0] == 410
    client.open(1)
    status, text = client.label(1)
    assert (status, text) == (400, "ERROR is no verdict on a part to agree with")
    assert client.ask("POST", "/open/99")[0] == 410


def test_a_folder_that_hangs_stops_neither_the_page_nor_its_end(
    folder: LabelFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("starlette", reason="the page needs csflow[serve]")
    asked, released = threading.Event(), threading.Event()

    def hang(*_: object) -> None:
        asked.set()
        released.wait(600)
        raise SinkError("the folder came back")

    monkeypatch.setattr(LabelFolder, "add", hang)
    labelling = Labelling(folder, lambda _camera: OPENCV)
    with PageSink("127.0.0.1:0", INFO, TOKEN, operator_token=OPERATOR, labelling=labelling) as page:
        page.write(NOK, Frame(IMAGE))
        client = Client(page)
        client.open(1)
        answers: list[tuple[int, str]] = []

        def label() -> None:
            # Where this machine stands still for a second the connection is cut instead.
            with contextlib.suppress(OSError, http.client.HTTPException):
                answers.append(client.label(1))

        waiting = threading.Thread(target=label)
        waiting.start()
        assert asked.wait(60)
        client.open(1)
        assert client.event()["labels"]["labels"] == 0
    waiting.join(60)
    assert all(status == 507 and "the run ended before" in text for status, text in answers)
    assert not waiting.is_alive()
    writers = [thread for thread in threading.enumerate() if thread.name == "csflow-label"]
    assert all(thread.daemon for thread in writers)
    released.set()
    for thread in writers:
        thread.join(60)


def test_parts_that_were_opened_stay_and_the_oldest_goes(folder: LabelFolder) -> None:
    labelling = Labelling(folder, lambda _camera: OPENCV)
    for number in (*range(OPENED + 1), OPENED):
        labelling.open(Seen(number, NOK, Frame(IMAGE), 0.0))
    assert [labelling.opened(number) is not None for number in range(OPENED + 1)] == [False] + [True] * OPENED


def test_a_folder_that_cannot_be_used_is_told_before_the_run(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SinkError, match="cannot write into"):
        Labelling(LabelFolder(tmp_path / "file" / "x"), str)
    (tmp_path / LABELS).write_text('{"frame": 1}\n')
    with pytest.raises(DataError, match="line 1"):
        Labelling(LabelFolder(tmp_path), str)


def test_labelling_needs_the_operator_s_token(folder: LabelFolder) -> None:
    with pytest.raises(ConfigError, match="CSFLOW_OPERATOR_TOKEN"):
        PageSink("127.0.0.1:0", INFO, TOKEN, labelling=Labelling(folder, str))


def test_a_page_that_only_shows_takes_no_word() -> None:
    pytest.importorskip("starlette", reason="the page needs csflow[serve]")
    with PageSink("127.0.0.1:0", INFO, operator_token=OPERATOR) as page:
        page.write(NOK, Frame(IMAGE))
        client = Client(page)
        assert "labels" not in client.event()
        assert client.ask("POST", "/open/1")[0] == 404


def test_calibrate_takes_what_was_labelled_on_the_page(folder: LabelFolder, make_bundle: Callable[..., Bundle]) -> None:
    from csflow.runtime.page.labelling import Word

    labelling = Labelling(folder, lambda _camera: OPENCV)
    for i in range(12):
        frame = Frame(np.full((64, 64, 3), 50 + i, np.uint8))
        result = replace(NOK, verdict=Verdict.UNCERTAIN, source=f"cam#{i}")
        labelling.add(Seen(i, result, frame, 0.0), Word("", True, "fine", "anna", use="calibration"))
    bundle = make_bundle()
    made = calibrate(bundle, [folder.root / "calibration" / "good"], FakeEngine(bundle), 0.35, 0.9).calibration
    assert len(made.scores) == 12
    assert labelling.facts() == {"labels": 12, "false_rejects": 0, "escapes": 0, "decided": 12, "overruled": 0}
