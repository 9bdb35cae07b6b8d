"""Drawing in a real browser with mouse and finger; the token, the headers, and what is refused."""

import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from csflow.runtime.cli.pictures import roi as command
from csflow.runtime.picture.region import Region, load_region

pytest.importorskip("starlette", reason="the page needs csflow[serve]")
from csflow.runtime.drawing.server import DrawingServer
from csflow.runtime.page.access import Address

SCENE = np.tile(np.linspace(40, 200, 640, dtype=np.uint8)[None, :, None], (480, 1, 3))
READY = "document.body.dataset.ready === 'yes'"
SAVED: list[Region] = []


def save(region: Region) -> str:
    SAVED.append(region)
    return "saved; next: csflow train"


@pytest.fixture
def page() -> Iterator[DrawingServer]:
    SAVED.clear()
    server = DrawingServer(Address.parse("127.0.0.1:0"), SCENE, Region(ignore=((600, 0, 40, 40),)), save)
    yield server
    server.close()


def on_screen(browser: Any, x: int, y: int) -> dict[str, float]:
    point = f"new DOMPoint({x}, {y}).matrixTransform(document.getElementById('board').getScreenCTM())"
    return {name: float(browser.value(f"{point}.{name}")) for name in ("x", "y")}


def mouse(browser: Any, kind: str, x: int, y: int) -> None:
    browser.call("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **on_screen(browser, x, y))


def drag(browser: Any, start: tuple[int, int], end: tuple[int, int]) -> None:
    for kind, where in (("mousePressed", start), ("mouseMoved", end), ("mouseReleased", end)):
        mouse(browser, kind, *where)


def choose(browser: Any, tool: str) -> None:
    browser.value(f"document.querySelector('#tools input[value={tool}]').click()")


def near(box: tuple[int, ...], expected: tuple[int, ...]) -> bool:
    return max(abs(a - b) for a, b in zip(box, expected, strict=True)) <= 2


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)])
def test_region_and_areas_are_drawn_with_the_mouse_and_saved(
    page: DrawingServer, browser: Any, width: int, height: int, tmp_path: Path
) -> None:
    browser.complaints()
    browser.view(width, height)
    browser.open(page.url)
    browser.wait(READY)
    assert "token" not in browser.value("location.href")
    assert browser.value("document.documentElement.scrollWidth <= innerWidth")
    drag(browser, (40, 60), (200, 160))
    browser.wait("document.querySelectorAll('.area').length === 2")
    choose(browser, "roi")
    drag(browser, (600, 440), (20, 40))
    browser.wait("document.getElementById('frame').style.display === ''")
    choose(browser, "polygon")
    for corner in ((300, 200), (400, 200), (400, 300), (302, 201)):
        mouse(browser, "mousePressed", *corner)
        mouse(browser, "mouseReleased", *corner)
    browser.wait("document.querySelectorAll('.area').length === 3")
    browser.screenshot(tmp_path / "drawn.png")
    browser.value("document.getElementById('save').click()")
    browser.wait("document.getElementById('hint').textContent === 'saved; next: csflow train'")
    (region,) = SAVED
    assert region.roi is not None
    assert near(region.roi, (20, 40, 580, 400))
    assert region.ignore[0] == (600, 0, 40, 40)
    assert near(region.ignore[1], (40, 60, 160, 100))
    rest = Region(ignore=region.ignore[2:]).looked_at(np.ones((480, 640), np.bool_))
    assert (~rest).sum() == pytest.approx(100 * 100 / 2, rel=0.05)
    assert page.done.is_set()
    assert browser.complaints() == []


def test_a_finger_draws_and_undo_takes_back(page: DrawingServer, browser: Any) -> None:
    browser.view(390, 844)
    browser.open(page.url)
    browser.wait(READY)
    for kind, where in (("touchStart", (100, 100)), ("touchMove", (250, 220)), ("touchEnd", None)):
        points = [] if where is None else [on_screen(browser, *where)]
        browser.call("Input.dispatchTouchEvent", type=kind, touchPoints=points)
    browser.wait("document.querySelectorAll('.area').length === 2")
    browser.value("document.getElementById('undo').click()")
    assert browser.value("document.querySelectorAll('.area').length") == 1
    choose(browser, "polygon")
    mouse(browser, "mousePressed", 10, 10)
    browser.value("document.getElementById('save').click()")
    browser.wait("document.getElementById('hint').textContent.startsWith('A polygon is open')")
    assert SAVED == []


def test_without_the_token_nobody_sees_or_saves_anything(page: DrawingServer) -> None:
    base = page.url.partition("?")[0]
    for path in ("", "picture.png", "start"):
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(base + path)
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(base + "save", b'{"roi": null, "polygons": []}')
    with urllib.request.urlopen(f"{base}start{page.url.removeprefix(base)}") as answer:
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["Cache-Control"] == "no-store"
    assert SAVED == []


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "not valid JSON"),
        (b'{"roi": [0, 0, 700, 10], "polygons": []}', "leaves the picture"),
        (b'{"roi": [0, 0, 0, 10], "polygons": []}', "width, height >= 1"),
        (b'{"roi": null, "polygons": [[[0, 0], [640, 0], [640, 480], [0, 480]]]}', "all of the region is ignored"),
        (b'{"roi": null, "polygons": [[[0, 0], [9, 9]]]}', "at least 3 corners"),
    ],
)
def test_what_cannot_be_is_refused_in_words(page: DrawingServer, body: bytes, problem: str) -> None:
    base, _, query = page.url.partition("?")
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(f"{base}save?{query}", body)
    assert error.value.code == 400
    assert problem in error.value.read().decode()
    assert SAVED == []


def test_the_command_ends_when_the_page_has_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(SCENE).save(tmp_path / "scene.png")
    found = threading.Event()
    told: list[str] = []

    def tell(text: str) -> None:
        told.append(text)
        found.set()

    def draw() -> None:
        found.wait(60)
        base, _, query = told[0].removeprefix("draw on ").splitlines()[0].partition("?")
        urllib.request.urlopen(f"{base}save?{query}", b'{"roi": [9, 8, 70, 60], "polygons": []}').read()

    monkeypatch.setattr(command, "tell", tell)
    drawing = threading.Thread(target=draw)
    drawing.start()
    file = tmp_path / "region.json"
    result = CliRunner().invoke(command.roi, [str(tmp_path / "scene.png"), "--draw", "--save", str(file)])
    drawing.join()
    assert result.exit_code == 0, result.output
    assert f"csflow train IMAGES --region {file}" in result.output
    assert load_region(file) == Region((9, 8, 70, 60))
