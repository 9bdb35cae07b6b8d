"""The preview in a real browser: the newest frame and the count; the button takes one picture, and a stranger none."""

import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from csflow.runtime.cli.pictures import capture as command
from csflow.runtime.types import Frame

pytest.importorskip("starlette", reason="the page needs csflow[serve]")
from csflow.runtime.drawing.preview import PreviewServer
from csflow.runtime.page.access import Address

FRAME = Frame(np.full((300, 400, 3), 90, dtype=np.uint8))


@pytest.fixture
def page() -> Iterator[PreviewServer]:
    server = PreviewServer(Address.parse("127.0.0.1:0"), "images/train/good", button=True)
    yield server
    server.close()


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)])
def test_the_newest_frame_the_count_and_the_button(
    page: PreviewServer, browser: Any, width: int, height: int, tmp_path: Path
) -> None:
    browser.view(width, height)
    browser.open(page.url)
    assert not page.show(FRAME)
    page.count(12)
    browser.wait("document.getElementById('newest').naturalWidth === 400")
    browser.wait("document.getElementById('count').textContent === '12'")
    assert browser.value("document.getElementById('place').textContent") == "images/train/good"
    assert browser.value("document.documentElement.scrollWidth <= innerWidth")
    browser.screenshot(tmp_path / "preview.png")
    browser.value("document.getElementById('take').click()")
    until_s = time.monotonic() + 60
    while not page.show(FRAME):
        assert time.monotonic() < until_s
        time.sleep(0.02)
    assert not page.show(FRAME), "one press, one picture"
    page.close()
    browser.wait("!document.getElementById('trouble').hidden")
    browser.open("about:blank")
    assert all("ERR_CONNECTION_REFUSED" in complaint for complaint in browser.complaints())


def test_without_the_token_nothing_is_seen_or_taken(page: PreviewServer) -> None:
    base = page.url.partition("?")[0]
    page.show(FRAME)
    for path, body in (("", None), ("newest.jpg", None), ("count", None), ("take", b"")):
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(base + path, body)
    assert not page.show(FRAME)


def test_the_command_takes_what_the_button_asks_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told, there = [], threading.Event()

    def tell(text: str) -> None:
        told.append(text)
        if text.startswith("preview"):
            there.set()

    def press() -> None:
        there.wait(60)
        base, _, query = told[0].split()[1].partition("?")
        for _ in range(2):
            urllib.request.urlopen(f"{base}take?{query}", b"").read()

    monkeypatch.setattr(command, "tell", tell)
    pressing = threading.Thread(target=press)
    pressing.start()
    words = ["--camera", "synthetic://?seed=3&size=64x64&fps=50", str(tmp_path), "--preview", "--pictures", "2"]
    result = CliRunner().invoke(command.capture, words)
    pressing.join()
    assert result.exit_code == 0, result.output
    assert len(list((tmp_path / "train" / "good").glob("*.png"))) == 2


def test_a_preview_and_a_trigger_are_refused() -> None:
    result = CliRunner().invoke(command.capture, ["images", "--preview", "--key"])
    assert result.exit_code == 2
    assert "button of its own" in result.output
