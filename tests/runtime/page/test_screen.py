"""Clock, line, shift, history, language, night and kiosk, in a real browser."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from csflow.runtime.page.facts import Beside
from csflow.runtime.sinks.overlay import OverlaySink
from csflow.runtime.types import Frame, Verdict

from .results import ERROR, IMAGE, INFO, NOK, OK, OPERATOR

pytest.importorskip("starlette", reason="the page needs csflow[serve]")
from csflow.runtime.page.sink import PageSink

WORD = "document.getElementById('word').textContent"
ONE = replace(INFO, cameras=("cam",), line="Cap line 2")
DAY_S = 1_790_000_000


@pytest.fixture
def fresh(browser: Any) -> Iterator[Any]:
    """A browser that remembers nothing of the page."""
    yield browser
    browser.value("localStorage.clear()")


def open_page(browser: Any, url: str) -> None:
    browser.open(url)
    browser.wait("document.body.dataset.link === 'up'")


def test_line_and_clock_are_those_of_the_machine_that_inspects(fresh: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("csflow.runtime.page.state.time.time", lambda: DAY_S + 0.5)
    with PageSink("127.0.0.1:0", ONE) as page:
        open_page(fresh, page.url)
        told = fresh.value(f"new Date({DAY_S} * 1000).toLocaleTimeString([], {{ hour12: false }}).slice(0, -3)")
        fresh.wait(f"document.getElementById('clock').textContent.startsWith('{told}')")
        assert fresh.value("document.getElementById('line').textContent") == "Cap line 2"
        assert fresh.value("document.title").endswith(" – Cap line 2")


def test_before_its_words_are_there_the_page_shows_no_names_of_words(fresh: Any) -> None:
    with PageSink("127.0.0.1:0", ONE) as page:
        open_page(fresh, page.url)
        fresh.value("import('./words.js?fresh').then(words => { window.said = [words.t('chart.limit')] })")
        assert fresh.wait("window.said && window.said.join() + '.'") == "."


def test_the_operator_begins_a_shift_by_asking_twice(fresh: Any) -> None:
    with PageSink("127.0.0.1:0", ONE, operator_token=OPERATOR) as page:
        page.write(NOK, None)
        open_page(fresh, page.url)
        count = "document.getElementById('n-NOK').textContent"
        fresh.wait(f"{count} === '1'")
        assert fresh.value("document.getElementById('shift').hidden") is True
        open_page(fresh, f"{page.url}?token={OPERATOR}")
        fresh.wait("!document.getElementById('shift').hidden")
        fresh.value("document.getElementById('shift').click()")
        assert fresh.value("document.getElementById('shift').textContent") == "Begin at 0?"
        assert fresh.value(count) == "1"
        fresh.value("document.getElementById('shift').click()")
        fresh.wait(f"{count} === '0'")
        page.write(replace(NOK, camera="cam"), None)
        fresh.wait(f"{count} === '1' && document.getElementById('frames').textContent === '1'")


@pytest.mark.parametrize(
    ("choose", "word", "limit"),
    [
        ("document.getElementById('language').value = 'de'", "SCHLECHT", "2,50 × Grenze"),
        ("document.getElementById('language').value = 'own'", "ZŁY", "2.50 × limit"),
    ],
)
def test_the_page_speaks_the_language_that_is_chosen(
    fresh: Any, tmp_path: Path, choose: str, word: str, limit: str
) -> None:
    own = tmp_path / "pl.json"
    own.write_text(json.dumps({"language": "Polski", "language.code": "no such code", "word.NOK": "ZŁY"}))
    with PageSink("127.0.0.1:0", ONE, beside=Beside(language=str(own))) as page:
        page.write(replace(NOK, camera="cam"), Frame(IMAGE))
        open_page(fresh, page.url)
        fresh.wait(f"{WORD} === 'ZŁY'")
        # Later, for the page loads anew, and an answer would be lost with the old one.
        changed = "document.getElementById('language').dispatchEvent(new Event('change'))"
        fresh.value(f"window.left = true; {choose}; setTimeout(() => {changed}, 0); 0")
        fresh.wait(
            f"!window.left && {WORD} === '{word}' && document.getElementById('score').textContent.startsWith('{limit}')"
        )
        assert fresh.value("document.querySelectorAll('[data-t]:empty').length") == 0


def light(path: Path) -> float:
    """Mean of a screenshot's linear light, 0 to 1."""
    from PIL import Image

    with Image.open(path) as image:
        return float(((np.asarray(image.convert("RGB"), np.float64) / 255) ** 2.2).mean())


def test_at_night_the_page_is_dark(fresh: Any, tmp_path: Path) -> None:
    shots = {}
    with PageSink("127.0.0.1:0", ONE) as page:
        page.write(replace(NOK, camera="cam"), Frame(np.full((480, 640, 3), 220, np.uint8)))
        for mode in ("light", "night"):
            open_page(fresh, page.url)
            fresh.value(f"localStorage.setItem('csflow-mode', '{mode}'); location.reload()")
            fresh.wait(f"{WORD} === 'NOK' && document.documentElement.dataset.mode === '{mode}'")
            shots[mode] = tmp_path / f"{mode}.png"
            fresh.screenshot(shots[mode])
    assert light(shots["night"]) < 0.1
    assert light(shots["night"]) < light(shots["light"]) / 5


def test_a_kiosk_has_no_menu_and_closes_what_nobody_touches(fresh: Any) -> None:
    with PageSink("127.0.0.1:0", ONE, "a-token-of-enough-letters") as page:
        open_page(fresh, f"{page.url}?token=a-token-of-enough-letters&kiosk")
        assert fresh.value("location.search") == "?kiosk"
        page.write(replace(NOK, camera="cam"), Frame(IMAGE))
        fresh.wait("document.querySelector('#rejects button') !== null")
        assert fresh.value("document.getElementById('menu').checkVisibility()") is False
        fresh.value("document.querySelector('#rejects button').click()")
        assert fresh.value("document.getElementById('large').open") is True
        fresh.value("Date.now = (now => () => now() + 61000)(Date.now)")
        fresh.wait("!document.getElementById('large').open")


def test_parts_long_gone_are_read_from_disk_by_time(fresh: Any, tmp_path: Path) -> None:
    with OverlaySink(tmp_path) as saved:
        for number in range(70):
            verdict = (Verdict.NOK, Verdict.UNCERTAIN)[number % 2]
            one = replace(NOK, verdict=verdict, frame_index=number, captured_unix_ns=(DAY_S + number) * 10**9)
            saved.write(one, Frame(IMAGE))
    with PageSink("127.0.0.1:0", ONE, beside=Beside(saved=tmp_path)) as page:
        open_page(fresh, page.url)
        fresh.wait("!document.getElementById('past-open').hidden")
        fresh.value("document.getElementById('past-open').click()")
        cards = "document.querySelectorAll('#past-list li')"
        fresh.wait(f"{cards}.length === 60")
        fresh.value("document.getElementById('past-more').click()")
        fresh.wait(f"{cards}.length === 70")
        fresh.value(
            f"(e => {{ const d = new Date({DAY_S + 5} * 1000 - new Date().getTimezoneOffset() * 60000);"
            " e.value = d.toISOString().slice(0, 19); e.dispatchEvent(new Event('change')) })"
            "(document.getElementById('past-time'))"
        )
        fresh.wait(f"{cards}.length === 5")
        fresh.value("document.querySelector('#past-list button').click()")
        fresh.wait("document.getElementById('large-picture').naturalWidth > 256")
        assert fresh.value("document.getElementById('large-text').textContent").startswith("NOK · cam2-0")
        fresh.value("document.getElementById('previous').click()")
        assert fresh.value("document.getElementById('large-text').textContent").startswith("UNCERTAIN")


def test_a_line_that_saves_nothing_offers_no_history(fresh: Any) -> None:
    with PageSink("127.0.0.1:0", ONE) as page:
        for result in (OK, ERROR):
            page.write(result, None)
        open_page(fresh, page.url)
        assert fresh.value("document.getElementById('past-open').hidden") is True
