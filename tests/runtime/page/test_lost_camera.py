"""A camera that is lost among others, in a real browser: nothing of the others goes missing, and names may be long."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from csflow.runtime.types import Frame

from .results import ERROR, IMAGE, INFO, NOK

pytest.importorskip("starlette", reason="the page needs csflow[serve]")
from csflow.runtime.page.sink import PageSink

LONG = "/dev/v4l/by-id/usb-Basler_acA2440-75uc_24109557-video-index0"
TWO = replace(INFO, cameras=(LONG, "rtsp://10.0.0.7/lid"))
LOST = replace(ERROR, camera=LONG, fault="lost", reason="the camera is lost: no frame for 5 s", source=LONG)
LISTED = "document.querySelectorAll('#rejects li').length === 2"


def test_a_page_that_is_opened_again_lists_all_though_one_camera_has_no_picture(browser: Any) -> None:
    with PageSink("127.0.0.1:0", TWO, absent=lambda: {LONG}) as page:
        page.write(LOST, None)
        page.write(replace(NOK, camera=TWO.cameras[1]), Frame(IMAGE))
        for _ in range(2):
            browser.open("about:blank")
            browser.open(page.url)
            browser.wait(LISTED)
            browser.wait("document.querySelector('.tile img:not([hidden])') !== null")


@pytest.mark.parametrize("size", [(1280, 800), (1024, 768), (768, 1024), (390, 844)])
def test_a_long_name_is_wider_than_no_screen(size: tuple[int, int], browser: Any) -> None:
    with PageSink("127.0.0.1:0", TWO, absent=lambda: {LONG}) as page:
        page.write(replace(NOK, camera=TWO.cameras[1]), Frame(IMAGE))
        page.write(LOST, None)
        browser.view(*size)
        browser.open(page.url)
        browser.wait(f"{LISTED} && document.body.dataset.verdict === 'LOST'")
        browser.wait("document.querySelector('.tile img:not([hidden])') !== null")
        assert browser.value("document.documentElement.scrollWidth") <= size[0]
        picture, tile = browser.value(
            "(t => [t.querySelector('img'), t].map(e => e.getBoundingClientRect().height))"
            "([...document.querySelectorAll('.tile')].at(-1))"
        )
        assert picture > tile / 3
