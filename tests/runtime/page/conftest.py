"""A real Chromium, driven through its debugging pipe (Chrome DevTools Protocol), and a state to show."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]


class Browser:
    """One page of a headless Chromium."""

    def __init__(self, profile: Path) -> None:
        assert CHROMIUM is not None
        to_browser, self._commands = os.pipe()
        self._answers, from_browser = os.pipe()
        # Chromium reads commands from descriptor 3 and answers on 4; the shell puts them there.
        arguments = [CHROMIUM, *FLAGS, "--remote-debugging-pipe", f"--user-data-dir={profile}", "about:blank"]
        script = f'exec "$@" 3<&{to_browser} 4>&{from_browser}'
        self._process = subprocess.Popen(
            ["/bin/bash", "-c", script, "chromium", *arguments],
            pass_fds=(to_browser, from_browser),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        self._buffer = b""
        self._next = 0
        self._session = ""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._complaints: list[str] = []
        self.call("Log.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._next += 1
        message: dict[str, Any] = {"id": self._next, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("method") == "Log.entryAdded":
                self._complaints.append(answer["params"]["entry"]["text"])
            if answer.get("id") == self._next:
                assert "error" not in answer, answer
                return dict(answer["result"])

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            data = os.read(self._answers, 1 << 20)
            assert data, "the browser has ended"
            self._buffer += data
        message, _, self._buffer = self._buffer.partition(b"\0")
        return dict(json.loads(message))

    def open(self, url: str) -> None:
        self.call("Page.navigate", url=url)

    def view(self, width: int, height: int, dark: bool = False) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def value(self, script: str) -> Any:
        result = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def complaints(self) -> list[str]:
        """What the console said since the last call."""
        self.value("0")
        told, self._complaints = self._complaints, []
        return told

    def wait(self, script: str, timeout_s: float = 60.0) -> Any:
        """The first true value of `script`; it may fail as long as the page loads."""
        until_s = time.monotonic() + timeout_s
        while time.monotonic() < until_s:
            value = self._tried(f"(() => {{ try {{ return {script} }} catch {{ return false }} }})()")
            if value:
                return value
            time.sleep(0.05)
        raise AssertionError(f"never true: {script}; the page says: {self.value('document.body.innerText')!r}")

    def _tried(self, script: str) -> Any:
        try:
            return self.value(script)
        except AssertionError as error:
            # Asked of a page that is just being left.
            if "navigated" in str(error):
                return None
            raise

    def screenshot(self, path: Path) -> None:
        data = self.call("Page.captureScreenshot", format="png")["data"]
        path.write_bytes(base64.b64decode(data))

    def close(self) -> None:
        os.close(self._commands)
        os.close(self._answers)
        self._process.terminate()
        self._process.wait(30)


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """The browser; its page is `about:blank` before and after each test that takes `browser`."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed (Debian: chromium)")
    page = Browser(tmp_path_factory.mktemp("chromium"))
    yield page
    page.close()


@pytest.fixture
def browser(chromium: Browser) -> Iterator[Browser]:
    chromium.view(1280, 800)
    yield chromium
    chromium.open("about:blank")
