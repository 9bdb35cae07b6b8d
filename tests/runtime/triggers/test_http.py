"""Requests over HTTP: answered with their results, on this machine alone."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from csflow.runtime.errors import ConfigError
from csflow.runtime.trigger import open_trigger
from csflow.runtime.triggers.http import HttpTrigger


def post(trigger: HttpTrigger, query: str = "", **headers: str) -> dict[str, Any]:
    request = urllib.request.Request(trigger.name + query, data=b"", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            record: dict[str, Any] = json.load(answer)
    except urllib.error.HTTPError as error:
        error.close()
        raise
    return record


def test_http_is_for_this_machine_alone_and_a_taken_port_is_told() -> None:
    with pytest.raises(ConfigError, match="loopback only"):
        open_trigger("http://0.0.0.0:8500")
    first = open_trigger("http://127.0.0.1:0")
    assert isinstance(first, HttpTrigger)
    with pytest.raises(ConfigError, match="choose another port"):
        open_trigger(f"http://127.0.0.1:{first.port}")
    first.close()


def test_who_still_waits_when_it_closes_is_told() -> None:
    trigger = HttpTrigger("127.0.0.1", 0)
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(post, trigger)
        assert trigger.next(30.0) is not None
        trigger.close()
        with pytest.raises(urllib.error.HTTPError, match="504"):
            asking.result(30.0)


def test_the_part_travels_with_the_request() -> None:
    with HttpTrigger("127.0.0.1", 0) as trigger, ThreadPoolExecutor(1) as pool:
        asking = pool.submit(post, trigger, "?id=7&part=housing-12")
        request = trigger.next(30.0)
        assert request is not None
        assert (request.id, request.part) == ("7", "housing-12")
        trigger.close()
        with pytest.raises(urllib.error.HTTPError, match="504"):
            asking.result(30.0)


@pytest.mark.parametrize(("query", "headers"), [("?id=evil", {"Origin": "https://elsewhere"}), ("/more", {})])
def test_a_page_in_a_browser_and_another_path_get_nothing(query: str, headers: dict[str, str]) -> None:
    with HttpTrigger("127.0.0.1", 0) as trigger:
        with pytest.raises(urllib.error.HTTPError, match="404"):
            post(trigger, query, **headers)
        assert trigger.next(0.0) is None
