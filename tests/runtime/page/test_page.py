"""The live page in a real browser: it loads, updates, shows an ERROR, tells when csflow is gone and comes back."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from csflow.runtime.labels.folder import LabelFolder
from csflow.runtime.page.facts import PageInfo
from csflow.runtime.page.labelling import Labelling
from csflow.runtime.sink import OutputReport
from csflow.runtime.types import Frame, Result, Verdict

pytest.importorskip("starlette", reason="the page needs csflow[serve]")
from csflow.runtime.page.sink import PageSink

INFO = PageInfo("model.csflow", "fake", 0.8, 1.0, ("line 1", "line 2"))
IMAGE = np.full((480, 640, 3), 120, dtype=np.uint8)
HOT = np.zeros((8, 8), dtype=np.float32)
HOT[2, 5] = 20.0
OK = Result(Verdict.OK, 0.5, 1.0, 0.4, HOT * 0, (0, 0), "", 0, 0, 0.012, "line 1#0", "line 1")
NOK = replace(OK, verdict=Verdict.NOK, score=2.5, anomaly_map=HOT, reason="score 2.5 above reject threshold 1")
ERROR = replace(
    OK,
    verdict=Verdict.ERROR,
    score=math.nan,
    p_value=math.nan,
    anomaly_map=np.zeros((0, 0), np.float32),
    reason="line 2 <b>unplugged</b>",
    source="line 2#7",
    camera="line 2",
)
REPORT = OutputReport("mqtt mqtt://broker:1883/x", 3, 1, 4, 2, "no connection to the broker")

OPERATOR = "operator-of-enough-letters"

WORD = "document.getElementById('word').textContent"


def serve(address: str = "127.0.0.1:0") -> PageSink:
    return PageSink(address, INFO, reports=lambda: [REPORT])


@pytest.fixture
def page() -> Iterator[PageSink]:
    with serve() as sink:
        yield sink


def test_the_page_shows_verdict_picture_counters_cameras_and_outputs(page: PageSink, browser: Any) -> None:
    browser.open(page.url)
    browser.wait(f"{WORD} === 'WAITING' && document.body.dataset.link === 'up'")
    page.write(OK, Frame(IMAGE))
    browser.wait(f"{WORD} === 'OK'")
    page.write(NOK, Frame(IMAGE))
    browser.wait(f"{WORD} === 'NOK'")
    browser.wait("document.querySelector('.tile img').naturalWidth === 640")
    browser.wait("document.querySelectorAll('#rejects img').length === 1")
    text = browser.value("document.body.innerText")
    for expected in ("model.csflow", "fake", "2.50 × limit", "OK line 1", "SILENT line 2", "no part yet"):
        assert expected in text
    for expected in ("FAILING mqtt mqtt://broker:1883/x", "3 written, 5 lost, 2 waiting", "no connection"):
        assert expected in text
    assert browser.value("document.getElementById('n-NOK').textContent") == "1"


def test_an_error_is_shown_with_its_reason_and_nothing_in_it_is_markup(page: PageSink, browser: Any) -> None:
    page.write(ERROR, None)
    browser.open(page.url)
    browser.wait(f"{WORD} === 'ERROR'")
    assert browser.value("document.getElementById('detail').textContent") == "line 2 <b>unplugged</b>"
    assert browser.value("document.querySelectorAll('#verdict b, #health li b b').length") == 0
    assert "no picture: line 2" in browser.value("document.querySelector('#tiles').innerText")
    browser.wait("document.querySelector('#rejects i:not([hidden])') !== null")
    assert "ERROR line 2" in browser.value("document.getElementById('cameras').innerText")


@pytest.mark.parametrize("size", [(390, 844), (1280, 800), (1920, 1080)])
@pytest.mark.parametrize("dark", [False, True])
def test_every_screen_is_filled_and_none_scrolls_sideways(
    size: tuple[int, int], dark: bool, page: PageSink, browser: Any
) -> None:
    for result in [OK, NOK, ERROR] * 5:
        page.write(result, Frame(IMAGE))
    browser.view(*size, dark)
    browser.open(page.url)
    # The verdict comes with its picture, which may be later than the rejects; "WAITING" is set smaller.
    browser.wait(f"document.querySelectorAll('#rejects li').length === 10 && {WORD} === 'ERROR'")
    width, height = browser.value("(e => [e.scrollWidth, e.scrollHeight])(document.documentElement)")
    assert width <= size[0]
    assert size[0] < 500 or height <= size[1]
    # Readable at three metres: capitals of 1/200 of that are 15 mm, 57 px of 0.26 mm, of letters of 78 px.
    letters_px = browser.value("parseFloat(getComputedStyle(document.getElementById('word')).fontSize)")
    assert letters_px >= (60 if size[0] < 500 else 78)
    ground = browser.value("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(14, 17, 20)") == dark


def test_the_page_tells_that_csflow_is_gone_and_shows_the_next_run_without_a_click(browser: Any) -> None:
    first = serve()
    first.write(NOK, Frame(IMAGE))
    browser.open(first.url)
    browser.wait(f"{WORD} === 'NOK'")
    address = first.url.removeprefix("http://").rstrip("/")
    first.close()
    browser.wait(f"{WORD} === 'NO SIGNAL'")
    assert "no connection" in browser.value("document.getElementById('link').textContent")
    with serve(address) as second:
        second.write(OK, Frame(IMAGE))
        browser.wait(f"{WORD} === 'OK'")
        assert browser.value("document.getElementById('n-NOK').textContent") == "0"
        browser.wait("document.querySelectorAll('#rejects li').length === 0")


def test_nothing_is_loaded_from_elsewhere(page: PageSink, browser: Any) -> None:
    page.write(NOK, Frame(IMAGE))
    browser.open(page.url)
    browser.wait("document.querySelectorAll('#rejects img').length === 1")
    origins = browser.value(
        "[...new Set(performance.getEntriesByType('resource').map(e => e.name).filter(n => !n.startsWith('data:'))"
        ".map(n => new URL(n).origin + '/'))]"
    )
    assert origins == [page.url]


def test_the_operator_says_that_a_verdict_was_wrong(browser: Any, tmp_path: Path) -> None:
    folder = LabelFolder(tmp_path / "labelled")
    labelling = Labelling(folder, lambda _camera: "OpenCV")
    info = replace(INFO, cameras=("line 1",))
    with PageSink("127.0.0.1:0", info, operator_token=OPERATOR, labelling=labelling) as page:
        browser.complaints()
        page.write(NOK, Frame(IMAGE))
        browser.open(page.url)
        browser.wait("document.querySelectorAll('#rejects img').length === 1")
        browser.value("document.querySelector('#rejects button').click()")
        assert browser.value("getComputedStyle(document.getElementById('word-on-it')).display") == "none"
        browser.value("document.getElementById('large').close(), document.getElementById('become').click()")
        browser.value(f"document.querySelector('#token [name=token]').value = '{OPERATOR}'")
        browser.value("document.querySelector('#token form:last-of-type button').click()")
        browser.wait("location.search === '' && !document.getElementById('judge').hidden")
        browser.value("document.getElementById('judge').click()")
        browser.wait("document.getElementById('word-on-it').checkVisibility()")
        assert browser.value("document.getElementById('is-good').textContent") == "Wrong: the part is good"
        fill = "(f => { f.kind.value = 'good'; f.reason.value = 'only <b>dust'; f.by.value = 'anna'; f.keep.click() })"
        browser.value(f"{fill}(document.getElementById('word-on-it'))")
        browser.wait("document.getElementById('said').textContent.startsWith('overruled, kept as test/good/')")
        browser.wait("document.getElementById('labels').textContent === '1 labelled, 1 overruled'")
        assert browser.complaints() == []
    (label,) = folder.read()
    assert (label.truth, label.reason, label.by) == ("good", "only <b>dust", "anna")


@pytest.mark.parametrize("verdict", [Verdict.OK, Verdict.NOK])
def test_an_engine_that_is_not_verified_is_told_and_no_verdict_has_its_plain_colour(
    verdict: Verdict, browser: Any
) -> None:
    info = replace(INFO, distrust="engine fake failed the decision gate")
    with PageSink("127.0.0.1:0", info) as page:
        page.write(replace(OK, verdict=verdict, verified=False), Frame(IMAGE))
        browser.open(page.url)
        browser.wait(f"{WORD} === '{verdict.name}'")
        assert "failed the decision gate" in browser.value("document.getElementById('troubles').innerText")
        assert "NOT VERIFIED" in browser.value("document.getElementById('score').innerText")
        assert browser.value("document.title") == f"{verdict.name} (NOT VERIFIED) – csflow"
        style = browser.value("getComputedStyle(document.getElementById('verdict')).backgroundImage")
        assert style.startswith("repeating-linear-gradient")


THREE = replace(INFO, cameras=("line 1", "line 2", "line 3"))
KEPT = Path(__file__).resolve().parents[3] / "out" / "pages"
"""The screenshots of three cameras, to be looked at: those of the last run."""
SIZES = {"desk": (1280, 800), "wall": (1920, 1080), "tablet": (810, 1080), "phone": (390, 844)}


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_of_three_cameras_the_lost_one_has_the_banner(size: tuple[int, int], browser: Any) -> None:
    lost = replace(ERROR, camera="line 2", fault="lost", reason="no frame for 5 s")
    with PageSink("127.0.0.1:0", THREE, reports=lambda: [REPORT]) as page:
        browser.view(*size)
        for result in (OK, replace(OK, camera="line 3"), lost, OK, replace(NOK, camera="line 3", part="housing-12")):
            page.write(result, Frame(IMAGE) if result is not lost else None)
        browser.open(page.url)
        browser.wait(f"{WORD} === 'CAMERA LOST' && document.querySelectorAll('#rejects li').length === 2")
        browser.wait("document.querySelector('#tiles').innerText.includes('housing-12')")
        assert browser.value("document.getElementById('score').textContent") == "line 2"
        states = browser.value("[...document.querySelectorAll('.tile')].map(tile => tile.dataset.state)")
        assert states == ["OK", "LOST", "NOK"]
        assert "no connection to the broker" in browser.value("document.querySelector('#troubles .lost').innerText")
        seen = browser.value(
            "['word', 'score', 'troubles'].map(id => document.getElementById(id).getBoundingClientRect())"
            ".every(r => r.top >= 0 && r.bottom <= innerHeight && r.left >= 0 && r.right <= innerWidth)"
        )
        assert seen
        KEPT.mkdir(parents=True, exist_ok=True)
        browser.screenshot(KEPT / f"three-{size[0]}x{size[1]}.png")


def test_between_triggers_nothing_is_silent_and_the_part_is_named(browser: Any) -> None:
    with PageSink("127.0.0.1:0", replace(INFO, cameras=("line 1",), triggered=True, unsigned=True)) as page:
        browser.open(page.url)
        browser.wait("document.getElementById('detail').textContent === 'waiting for trigger'")
        page.write(replace(OK, part="housing-12", trigger="7"), Frame(IMAGE))
        browser.wait("document.getElementById('detail').textContent.startsWith('part housing-12 · trigger 7')")
        assert "waiting for trigger" in browser.value("document.getElementById('score').textContent")
        assert browser.value("document.getElementById('troubles').innerText").startswith("NOT SIGNED")


def test_a_verified_engine_shows_no_warning(page: PageSink, browser: Any) -> None:
    page.write(OK, Frame(IMAGE))
    browser.open(page.url)
    browser.wait(f"{WORD} === 'OK'")
    assert "VERIFIED" not in browser.value("document.getElementById('troubles').innerText")
    assert browser.value("getComputedStyle(document.getElementById('verdict')).backgroundImage") == "none"


@pytest.mark.parametrize("token", [None, "one-more-token-of-letters"])
def test_the_browser_has_nothing_to_complain_about(token: str | None, browser: Any) -> None:
    with PageSink("127.0.0.1:0", INFO, token) as page:
        page.write(NOK, Frame(IMAGE))
        browser.complaints()
        browser.open(page.url + ("" if token is None else f"?token={token}"))
        browser.wait("document.querySelectorAll('#rejects img').length === 1")
        assert browser.complaints() == []


def test_a_token_opens_the_page_and_leaves_the_address_bar(browser: Any) -> None:
    token = "a-token-of-enough-letters"
    with PageSink("127.0.0.1:0", INFO, token) as page:
        browser.open(page.url)
        browser.wait("document.querySelector('input[name=token]') !== null")
        browser.value(
            f"document.querySelector('[name=token]').value = '{token}'; document.querySelector('button').click()"
        )
        browser.wait(f"location.pathname === '/' && location.search === '' && {WORD} === 'WAITING'")
        browser.wait("document.body.dataset.link === 'up'")
