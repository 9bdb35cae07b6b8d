"""What every adapter keeps to: it has control only where it is given, leaves nothing behind, and names its extra."""

from __future__ import annotations

import builtins
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from csflow.runtime.errors import BackendUnavailable, ConfigError, CSFlowError
from csflow.runtime.machine.install import pip_install
from csflow.runtime.plc.adapters.adapter import Adapter, Adapters, open_adapter
from csflow.runtime.plc.exchange import Exchange
from csflow.runtime.plc.process_image import Orders, Report, Status
from csflow.runtime.plc.settings import ADAPTERS, S7, Digital, Lines, Modbus, Mqtt, OpcUa, Recipe, Settings, Station

OK = Report(status=Status.RESULT_VALID | Status.READY, verdict=0x5AA5, state=6)
SECTIONS: dict[str, Any] = {
    "modbus": Modbus("127.0.0.1:0"),
    "lines": Lines("127.0.0.1:0"),
    "s7": S7("127.0.0.1:9", db=1),
    "opcua": OpcUa("127.0.0.1:0"),
    "digital": Digital(ok="1", nok="2"),
    "mqtt": Mqtt("mqtt://127.0.0.1:9/line"),
}
LIBRARIES = {
    "opcua": ("asyncua", "opcua"),
    "s7": ("snap7", "s7"),
    "digital": ("gpiod", "gpio"),
    "mqtt": ("paho", "mqtt"),
}


class Pins:
    """Lines of a chip that does as it is told."""

    levels: dict[Any, Any]

    def request_lines(self, _chip: str, config: dict[Any, Any], **_: Any) -> Pins:
        self.levels = {line: settings.output_value for line, settings in config.items()}
        return self

    def set_values(self, values: dict[Any, Any]) -> None:
        self.levels.update(values)

    def release(self) -> None:
        pass


@pytest.fixture
def pins(monkeypatch: pytest.MonkeyPatch) -> Pins:
    gpiod = pytest.importorskip("gpiod")
    made = Pins()
    monkeypatch.setattr(gpiod, "request_lines", made.request_lines)
    return made


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """OPC UA makes its certificate in the working directory."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def opened(pins: Pins) -> Callable[[Exchange, str], list[Adapter]]:
    """`opened(exchange, *kinds)` opens adapters, none in control."""
    del pins

    def open_them(exchange: Exchange, *kinds: str) -> list[Adapter]:
        settings = settings_of(*kinds)
        return [open_adapter(kind, settings, exchange) for kind in kinds]

    return open_them


def settings_of(*kinds: str) -> Settings:
    return Settings(Station(1), {"1": Recipe("a", "0")}, **{kind: SECTIONS[kind] for kind in kinds})


def test_every_adapter_is_tried() -> None:
    assert set(SECTIONS) == set(ADAPTERS)


@pytest.mark.parametrize("kind", ADAPTERS)
def test_it_opens_without_control_and_closes_twice(kind: str, opened: Callable[..., list[Adapter]]) -> None:
    exchange = Exchange()
    exchange.publish(OK)
    (adapter,) = opened(exchange, kind)
    assert isinstance(adapter, Adapter)
    assert adapter.name.startswith(kind)
    assert adapter.alive
    adapter.close()
    adapter.close()
    assert (exchange.orders, exchange.holder, exchange.report) == (Orders(), "", OK)


def test_all_of_them_together(pins: Pins) -> None:
    adapters = Adapters(settings_of(*ADAPTERS), Exchange())
    assert len(adapters.names) == len(ADAPTERS)
    adapters.close()
    assert pins.levels


def test_one_that_does_not_open_closes_the_others(pins: Pins) -> None:
    settings = replace(settings_of("digital"), opcua=None, lines=Lines("127.0.0.1:notaport"))
    with pytest.raises(CSFlowError, match=r"lines\.listen"):
        Adapters(settings, Exchange())
    del pins


@pytest.mark.fault("P10")
@pytest.mark.parametrize("kind", ["lines", "digital"])
def test_one_that_dies_is_opened_again_and_the_others_go_on(
    kind: str, pins: Pins, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    exchange = Exchange()
    adapters = Adapters(settings_of("modbus", kind), exchange)
    before = adapters._open["modbus"], adapters._open[kind]
    monkeypatch.setattr("csflow.runtime.plc.adapters.adapter.CHECK_S", 0.0)
    adapters.check()
    assert (adapters._open["modbus"], adapters._open[kind]) == before
    before[1].close()
    adapters.check()
    assert adapters._open["modbus"] is before[0]
    assert adapters._open[kind] is not before[1]
    assert adapters._open[kind].alive
    assert "has ended: it is opened again" in caplog.text
    adapters.close()
    del pins


def test_one_that_cannot_be_opened_again_is_tried_later(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    adapters = Adapters(settings_of("lines"), Exchange())
    monkeypatch.setattr("csflow.runtime.plc.adapters.adapter.CHECK_S", 0.0)
    adapters._open["lines"].close()

    def taken(*_: object) -> None:
        raise ConfigError("the port is taken")

    monkeypatch.setattr("csflow.runtime.plc.adapters.adapter.open_adapter", taken)
    adapters.check()
    adapters.check()
    assert caplog.text.count("cannot be opened: the port is taken") == 1
    adapters.close()


@pytest.mark.parametrize("kind", LIBRARIES)
def test_a_missing_library_is_one_error_that_names_the_extra(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    library, extra = LIBRARIES[kind]
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.split(".")[0] == library:
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(BackendUnavailable, match=re.escape(pip_install(extra))):
        open_adapter(kind, settings_of(kind), Exchange())
