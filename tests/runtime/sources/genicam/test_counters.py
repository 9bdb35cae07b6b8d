"""Counts of cameras and producers that the test plays: since the opening, absent where nobody counts."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from csflow.runtime.errors import ConfigError
from csflow.runtime.sources.genicam.counters import Counters


class Nodes:
    """A node map of numbers; what is None cannot be read."""

    def __init__(self, **values: Any) -> None:
        self.values = values

    def __dir__(self) -> list[str]:
        return sorted([*self.values, "connect"])

    def get_node(self, name: str) -> Any:
        if self.values[name] is None:
            raise RuntimeError("cannot be read now")
        return SimpleNamespace(value=self.values[name])


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def stream(underruns: int = 0, **values: Any) -> Any:
    return SimpleNamespace(num_underrun=underruns, node_map=Nodes(**values))


def test_missed_triggers_are_those_since_the_camera_was_opened() -> None:
    nodes = Nodes(CounterValue=40)
    counters = Counters(nodes, (), "CounterValue")
    assert counters.read() == {"missed_triggers": 0}
    nodes.values["CounterValue"] = 43
    assert counters.read() == {"missed_triggers": 3}
    nodes.values["CounterValue"] = None
    assert counters.read() == {}
    nodes.values["CounterValue"] = 2  # it was set anew
    assert counters.read() == {"missed_triggers": 2}


@pytest.mark.parametrize("values", [{}, {"CounterValue": None}, {"CounterValue": "On"}, {"CounterValue": True}])
def test_a_counter_that_is_no_number_is_a_wrong_option(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="no number 'CounterValue' that could count missed triggers"):
        Counters(Nodes(**values), (), "CounterValue")


def test_statistics_of_the_stream_are_found_by_their_names_and_read_once_a_second() -> None:
    one = stream(5, ResendRateLimit=1.5, StatResendPacketCount=9, StatResendRequestCount=100, StreamID="a")
    clock = Clock()
    counters = Counters(Nodes(), (one,), now_s=clock)
    assert counters.read() == {"underruns": 0, "resends": 0}
    assert counters.warning() is None
    one.num_underrun, one.node_map.values["StatResendRequestCount"] = 7, 103
    assert counters.read() == {"underruns": 0, "resends": 0}
    clock.now_s = 1.0
    assert counters.read() == {"underruns": 2, "resends": 3}


def test_resends_are_told_when_they_begin_and_when_they_have_doubled() -> None:
    one, clock = stream(PacketResendCount=0), Clock()
    counters = Counters(Nodes(), (one,), now_s=clock)
    told = []
    for count in (0, 1, 1, 2, 3, 4, 9):
        one.node_map.values["PacketResendCount"] = count
        clock.now_s += 1.0
        counters.read()
        told.append((counters.warning() or "").partition(" ")[0])
    assert told == ["", "1", "", "2", "", "4", "9"]


def test_what_a_producer_does_not_count_is_absent() -> None:
    class Silent:
        @property
        def num_underrun(self) -> int:
            raise RuntimeError("not implemented")

        @property
        def node_map(self) -> Any:
            raise RuntimeError("no node map")

    assert Counters(Nodes(), (Silent(),)).read() == {}
    assert Counters(Nodes(), ()).read() == {}
