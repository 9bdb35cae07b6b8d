"""The parts that were not OK, in a real browser: a tap opens the one that was aimed at, however fast others come."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from csflow.runtime.page.facts import PageInfo
from csflow.runtime.page.files.shift import Shift
from csflow.runtime.types import Frame, Result, Verdict

pytest.importorskip("starlette", reason="the page needs csflow[serve]")
from csflow.runtime.page.sink import PageSink

INFO = PageInfo("model.csflow", "fake", 0.8, 1.0, ("line 1",))
IMAGE = np.full((480, 640, 3), 120, dtype=np.uint8)
HOT = np.zeros((8, 8), dtype=np.float32)
HOT[2, 5] = 20.0
NOK = Result(Verdict.NOK, 2.5, 1.0, 0.01, HOT, (0, 0), "score 2.5 above reject threshold 1", 0, 0, 0.012, "1", "line 1")
PLACES = 12
OPENED = "document.getElementById('large').dataset.part"


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Iterator[PageSink]:
    monkeypatch.setattr("csflow.runtime.page.pictures.TURNS_PER_S", 100.0)
    monkeypatch.setattr("csflow.runtime.page.server.POLL_S", 0.01)
    with PageSink("127.0.0.1:0", INFO) as sink:
        yield sink


def reject(page: PageSink, number: int, part: str = "") -> None:
    page.write(replace(NOK, frame_index=number, part=part, captured_unix_ns=(1_790_000_000 + number) * 10**9), None)


def known(browser: Any, number: int) -> None:
    """Wait until the page has been told of this part: shown, or kept back under a finger."""
    browser.wait(f"told >= {number}")


def listening(browser: Any, page: PageSink) -> None:
    """Open the page, with a count of what it was told."""
    browser.open(page.url)
    browser.wait("document.body.dataset.link === 'up'")
    browser.value(
        "var told = 0; var heard = new EventSource('events'); heard.onmessage = e =>"
        " JSON.parse(e.data).rejects.forEach(r => { told = Math.max(told, r.number) })"
    )


def press(browser: Any, kind: str, x: float, y: float) -> None:
    browser.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)


@pytest.mark.parametrize(("taps", "pause_s"), [(12, 0.0), pytest.param(100, 1.0, marks=pytest.mark.soak)])
def test_every_tap_opens_the_part_that_was_aimed_at(page: PageSink, browser: Any, taps: int, pause_s: float) -> None:
    """A reject comes under each finger that is down, and its place may be the very one that is pressed."""
    chance = random.Random(1)
    listening(browser, page)
    browser.value("var now_ms = 0; performance.now = () => now_ms")
    for number in range(1, PLACES + 1):
        reject(page, number)
    browser.wait(f"document.querySelectorAll('#rejects li').length === {PLACES}")
    known(browser, PLACES)
    for number in range(PLACES + 1, PLACES + 1 + taps):
        at = chance.randrange(PLACES)
        x, y, aimed = browser.value(
            f"(li => {{ const r = li.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2,"
            f" li.dataset.key] }})(document.querySelectorAll('#rejects li')[{at}])"
        )
        browser.value("now_ms += 1000")
        press(browser, "mousePressed", x, y)
        reject(page, number)
        known(browser, number)
        press(browser, "mouseReleased", x, y)
        browser.wait("document.getElementById('large').open")
        assert browser.value(OPENED) == aimed
        browser.value("document.getElementById('close').click()")
        browser.wait(f"[...document.querySelectorAll('#rejects li')].some(li => li.dataset.key.endsWith(':{number}'))")
        time.sleep(pause_s)


def test_a_tap_within_the_time_of_a_hand_means_what_was_there_before(page: PageSink, browser: Any) -> None:
    listening(browser, page)
    browser.value("performance.now = () => 5000")
    for number in range(1, PLACES + 2):
        reject(page, number)
        known(browser, number)
    browser.wait("document.querySelector('#rejects li').dataset.key.endsWith(':13')")
    browser.value("document.querySelector('#rejects button').click()")
    assert browser.value(OPENED).endswith(":1")
    browser.value("performance.now = () => 6000; document.querySelector('#rejects button').click()")
    assert browser.value(OPENED).endswith(":13")


def test_a_part_is_enlarged_turned_over_and_left_for_its_neighbours(page: PageSink, browser: Any) -> None:
    for number, part in enumerate(("housing 7", "housing 8"), 1):
        page.write(replace(NOK, frame_index=number, part=part, captured_unix_ns=number * 10**9), Frame(IMAGE))
    browser.open(page.url)
    browser.wait("document.querySelectorAll('#rejects img[src]').length === 2")
    browser.value("document.querySelectorAll('#rejects button')[1].click()")
    browser.wait("document.getElementById('large-picture').naturalWidth === 640")
    assert "part housing 8" in browser.value("document.getElementById('large-text').textContent")
    assert browser.value("document.getElementById('next').disabled") is True
    browser.value("document.getElementById('zoom-in').click()")
    wide = "document.getElementById('large-picture').clientWidth / document.getElementById('large-view').clientWidth"
    assert browser.value(wide) == pytest.approx(1.5, abs=0.05)
    browser.value("document.getElementById('show-raw').click()")
    assert "/raw.jpg" in browser.value("document.getElementById('large-picture').src")
    browser.value("document.getElementById('previous').click()")
    assert "part housing 7" in browser.value("document.getElementById('large-text').textContent")
    browser.wait("document.getElementById('large-picture').complete")
    assert browser.value("document.getElementById('large-picture').naturalWidth") == 640
    browser.value("document.getElementById('close').click()")
    assert browser.value("document.getElementById('large').open") is False


def test_no_verdict_is_cut_and_no_large_screen_scrolls(browser: Any) -> None:
    """Three cameras, a line of trouble, an engine that is not verified, and a shift of a million parts."""
    cameras = ("line 1", "line 2", "line 3")
    with PageSink("127.0.0.1:0", replace(INFO, cameras=cameras, distrust="engine fake failed the gate")) as page:
        counts = dict.fromkeys(page._state.shift().counts, 0)
        page._state.go_on(Shift(1_790_000_000.0, {**counts, "OK": 1_234_567}))
        for number in range(PLACES):
            verdict = (Verdict.NOK, Verdict.UNCERTAIN)[number % 2]
            one = replace(NOK, verdict=verdict, verified=False, frame_index=number, camera=cameras[number % 3])
            page.write(one, Frame(IMAGE))
        browser.open(page.url)
        browser.wait(f"document.querySelectorAll('#rejects li').length === {PLACES}")
        browser.wait("[...document.querySelectorAll('.tile')].every(tile => tile.dataset.state !== 'WAITING')")
        for width, height in ((1280, 800), (1920, 1080), (1024, 768), (1366, 768), (810, 1080), (390, 844)):
            browser.view(width, height)
            cut = "[...document.querySelectorAll('.parts b')].filter(b => b.scrollWidth > b.clientWidth).length"
            assert browser.value(cut) == 0, (width, height)
            tall, wide = browser.value("(e => [e.scrollHeight, e.scrollWidth])(document.documentElement)")
            assert wide <= width, (width, height)
            assert tall <= height or width < 1000, (width, height)


@pytest.mark.parametrize("size", [(390, 844), (1280, 800)])
def test_what_is_tapped_is_large_enough_for_a_glove(page: PageSink, browser: Any, size: tuple[int, int]) -> None:
    page.write(NOK, Frame(IMAGE))
    browser.view(*size)
    browser.open(page.url)
    browser.wait("document.querySelector('#rejects button') !== null")
    browser.value("document.querySelector('#rejects button').click()")
    small = browser.value(
        "[...document.querySelectorAll('button, summary, select, input:not([type=radio]):not([hidden])')]"
        ".filter(b => b.checkVisibility()).map(b => [b.id || b.textContent, b.getBoundingClientRect()])"
        ".filter(([, r]) => r.width < 48 || r.height < 48).map(([name]) => name)"
    )
    assert small == []
