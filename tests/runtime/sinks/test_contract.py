"""What every sink promises, wherever its results go."""

from __future__ import annotations

import contextlib
import io
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from csflow.runtime.errors import SinkError
from csflow.runtime.line.outputs import Outputs
from csflow.runtime.page.facts import PageInfo
from csflow.runtime.page.sink import PageSink
from csflow.runtime.sink import ResultSink
from csflow.runtime.sinks.background import BackgroundSink
from csflow.runtime.sinks.files.jsonl import JsonLinesSink
from csflow.runtime.sinks.files.table import CsvSink
from csflow.runtime.sinks.log import LogSink
from csflow.runtime.sinks.memory import MemorySink
from csflow.runtime.sinks.mqtt import MqttSink
from csflow.runtime.sinks.overlay import OverlaySink
from csflow.runtime.sinks.pulse import PulseSink
from csflow.runtime.sinks.rule import ResultRule, SelectingSink
from csflow.runtime.sinks.terminal import TerminalSink
from csflow.runtime.sinks.webhook import WebhookSink
from csflow.runtime.types import Frame, Result, Verdict

from .servers import BROKER, Broker, Hook

IMAGE = np.full((48, 64, 3), 128, dtype=np.uint8)
NOK = Result(Verdict.NOK, 1.83, 1.0, 0.002, np.ones((2, 2), np.float32), (48, 36), "why", 42, 7, 0.0123, "parts/17.png")
OK = replace(NOK, verdict=Verdict.OK, score=0.5, reason="")
ERROR = replace(
    NOK,
    verdict=Verdict.ERROR,
    score=math.nan,
    p_value=math.nan,
    anomaly_map=np.zeros((0, 0), dtype=np.float32),
    peak_xy=(-1, -1),
    reason="parts/17.png is not a picture",
    fault="frame",
)
ALL = (
    OK,
    NOK,
    ERROR,
    replace(NOK, verdict=Verdict.UNCERTAIN),
    replace(NOK, threshold=math.nan),
    replace(NOK, source='lot "7"/\udcfc\n=1.png', trigger="t", part="p\udc80", verified=False),
)


@dataclass
class Made:
    """A sink, and whether it says so when it is given a result after its end."""

    sink: ResultSink
    refuses: bool = True


def mqtt(tmp: Path, stack: contextlib.ExitStack) -> Made:
    pytest.importorskip("paho.mqtt.client", reason="MQTT needs csflow[mqtt]")
    if BROKER is None:
        pytest.skip("mosquitto is not installed")
    broker = Broker(tmp)
    stack.callback(broker.stop)
    sink = MqttSink(f"mqtt://127.0.0.1:{broker.port}/line")
    until_s = time.monotonic() + 60.0
    while not sink._client.is_connected():
        assert time.monotonic() < until_s
        time.sleep(0.005)
    return Made(sink)


def webhook(_tmp: Path, stack: contextlib.ExitStack) -> Made:
    hook = Hook()
    stack.callback(hook.close)
    return Made(WebhookSink(hook.url), refuses=False)


def page(_tmp: Path, _stack: contextlib.ExitStack) -> Made:
    pytest.importorskip("starlette", reason="the page needs csflow[serve]")
    return Made(PageSink("127.0.0.1:0", PageInfo("model.csflow", "fake", 0.8, 1.0, ("cam",))))


def pulse(_tmp: Path, stack: contextlib.ExitStack) -> Made:
    pytest.importorskip("gpiod", reason="the extra gpio is not installed")
    from ..chip import Chip  # noqa: TID252 - tests are no package that could be named

    stack.enter_context(mock.patch("gpiod.request_lines", Chip(22, 23).request_lines))
    return Made(PulseSink("gpio:/dev/gpiochip0?ok=22&nok=23&pulse_ms=1"))


def together(tmp: Path, _stack: contextlib.ExitStack) -> Made:
    outputs = Outputs()
    outputs.add(JsonLinesSink(tmp / "results.jsonl"))
    queue = BackgroundSink(MemorySink(), "memory")
    outputs.add(queue, queue)
    return Made(outputs)


SINKS: dict[str, Callable[[Path, contextlib.ExitStack], Made]] = {
    "all together": together,
    "background": lambda *_: Made(BackgroundSink(MemorySink(), "memory")),
    "csv": lambda tmp, _: Made(CsvSink(tmp / "new" / "parts.csv")),
    "jsonl": lambda tmp, _: Made(JsonLinesSink(tmp / "new" / "results.jsonl")),
    "log": lambda *_: Made(LogSink(), refuses=False),
    "memory": lambda *_: Made(MemorySink()),
    "mqtt": mqtt,
    "overlay": lambda tmp, _: Made(OverlaySink(tmp / "new" / "pictures")),
    "page": page,
    "pulse": pulse,
    "selected": lambda *_: Made(SelectingSink(MemorySink(), ResultRule("all"))),
    "standard output": lambda *_: Made(JsonLinesSink("-")),
    "terminal": lambda *_: Made(TerminalSink(io.StringIO()), refuses=False),
    "webhook": webhook,
}


@pytest.fixture(params=list(SINKS))
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Made]:
    with contextlib.ExitStack() as stack:
        one = SINKS[request.param](tmp_path, stack)
        yield one
        one.sink.close()


def test_every_sink_is_tried() -> None:
    import csflow.runtime

    root = Path(str(csflow.runtime.__file__)).parent
    classes = {
        line.split("(")[0].removeprefix("class ").rstrip(":\n")
        for path in (*root.glob("sinks/**/*.py"), root / "page/sink.py", root / "line/outputs.py")
        for line in path.read_text().splitlines()
        if line.startswith("class ") and ("Sink" in line or "Outputs" in line)
    }
    tried = {name for name, value in globals().items() if isinstance(value, type) and hasattr(value, "write")}
    assert classes <= tried, "a new sink is one line in SINKS"


def test_it_takes_every_kind_of_result_with_and_without_a_picture(made: Made) -> None:
    assert isinstance(made.sink, ResultSink)
    with made.sink as same:
        assert same is made.sink
        for result in ALL:
            same.write(result, Frame(IMAGE, source=result.source))
            same.write(result, None)


def test_it_may_be_closed_twice(made: Made) -> None:
    made.sink.close()
    made.sink.close()


def test_a_result_after_its_end_is_refused(made: Made) -> None:
    if not made.refuses:
        pytest.skip("it has no end of its own: nothing is held open")
    made.sink.close()
    with pytest.raises(SinkError, match="closed"):
        made.sink.write(NOK, None)


def test_writing_changes_neither_result_nor_picture(made: Made) -> None:
    image, result = IMAGE.copy(), replace(NOK, anomaly_map=NOK.anomaly_map.copy())
    frame = Frame(image)
    made.sink.write(result, frame)
    made.sink.close()
    np.testing.assert_array_equal(image, IMAGE)
    np.testing.assert_array_equal(result.anomaly_map, NOK.anomaly_map)
