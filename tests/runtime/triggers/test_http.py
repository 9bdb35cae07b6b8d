"""Requests over HTTP: answered with their results, on this machine alone."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from csflow.runtime.bundle.directory import Bundle
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


def test_it_listens_on_the_loopback_address_of_ipv6_too() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    with open_trigger("http://[::1]:0") as trigger, ThreadPoolExecutor(1) as pool:
        assert isinstance(trigger, HttpTrigger)
        assert trigger.name == f"http://[::1]:{trigger.port}/trigger"
        asking = pool.submit(post, trigger, "?id=7")
        request = trigger.next(30.0)
        assert request is not None
        assert request.id == "7"
        trigger.close()
        with pytest.raises(urllib.error.HTTPError, match="504"):
            asking.result(30.0)


def test_part_and_deadline_travel_with_the_request() -> None:
    with HttpTrigger("127.0.0.1", 0) as trigger, ThreadPoolExecutor(1) as pool:
        asking = pool.submit(post, trigger, "?id=7&part=housing-12&deadline_ms=250")
        request = trigger.next(30.0)
        assert request is not None
        assert (request.id, request.part, request.deadline_s) == ("7", "housing-12", 0.25)
        trigger.close()
        with pytest.raises(urllib.error.HTTPError, match="504"):
            asking.result(30.0)


@pytest.mark.parametrize(("query", "headers"), [("?id=evil", {"Origin": "https://elsewhere"}), ("/more", {})])
def test_a_page_in_a_browser_and_another_path_get_nothing(query: str, headers: dict[str, str]) -> None:
    with HttpTrigger("127.0.0.1", 0) as trigger:
        with pytest.raises(urllib.error.HTTPError, match="404"):
            post(trigger, query, **headers)
        assert trigger.next(0.0) is None


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "soon", "60001"])
def test_a_deadline_that_is_none_is_a_bad_request_and_asks_for_nothing(text: str) -> None:
    with HttpTrigger("127.0.0.1", 0) as trigger:
        with pytest.raises(urllib.error.HTTPError, match="400"):
            post(trigger, f"?deadline_ms={text}")
        assert trigger.next(0.0) is None


def test_a_run_ends_in_order_while_a_client_keeps_its_connection_open(calibrated_bundle: Bundle) -> None:
    # Threads that sit in a read of it must not keep the interpreter from ending, nor abort it.
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).parent / "csflow"), "run", "--backend", "fake", "--quiet", "--frames", "1"]
    options = ["--bundle", str(calibrated_bundle.path), "--camera", "synthetic://?fps=30&size=64x64"]
    address = f"http://127.0.0.1:{port}"
    with subprocess.Popen([*command, *options, "--trigger", address], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        told = ""
        while "trigger" not in told:
            told = process.stderr.readline()
            assert told, "it ended before it began"
        with socket.create_connection(("127.0.0.1", port)) as silent:
            silent.sendall(b"POST /trigger HTTP/1.1\r\nContent-")
            with urllib.request.urlopen(f"{address}/trigger?id=1", b"", timeout=30) as answer:
                assert json.load(answer)["trigger"] == "1"
            assert process.wait(60) == 0
        assert "Fatal" not in process.stderr.read()
