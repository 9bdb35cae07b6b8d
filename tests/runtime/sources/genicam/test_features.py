"""Features that a camera takes, rounds, refuses, locks or does not have."""

from __future__ import annotations

from typing import Any

import pytest

from csflow.runtime.errors import ConfigError, SourceError
from csflow.runtime.sources.genicam import features
from csflow.runtime.sources.genicam.features import apply_features, limits_of


class AccessException(Exception):
    """As the binding calls it."""


class Number:
    def __init__(self, value: float, low: float = 0, high: float = 100, inc: float = 0, whole: bool = False) -> None:
        self.value: float = int(value) if whole else float(value)
        self.min, self.max, self.unit = low, high, "us"
        self.inc, self.locked, self._whole = inc, False, whole

    def to_string(self) -> str:
        return f"{self.value:g}"

    def from_string(self, text: str) -> None:
        value = float(int(text, 0) if self._whole else float(text))
        if self.locked:
            raise AccessException("Node is not writable.")
        if not self.min <= value <= self.max:
            raise ValueError("out of range")
        value = round(value / self.inc) * self.inc if self.inc else value
        self.value = int(value) if self._whole else value


class Choice:
    symbolics = ("Off", "On")
    value = "Off"

    def to_string(self) -> str:
        return self.value

    def from_string(self, text: str) -> None:
        if text not in self.symbolics:
            raise ValueError(text)
        self.value = text


class Switch(Choice):
    symbolics = None  # type: ignore[assignment]
    value = False  # type: ignore[assignment]

    def to_string(self) -> str:
        return str(int(self.value))

    def from_string(self, text: str) -> None:
        self.value = text.lower() in ("1", "true")  # type: ignore[assignment]


class Command:
    def __init__(self, done: bool = True) -> None:
        self.executed, self._done = 0, done

    def execute(self) -> None:
        self.executed += 1

    def is_done(self) -> bool:
        return self._done


class Nodes:
    def __init__(self, **nodes: Any) -> None:
        self.__dict__.update(nodes)

    def get_node(self, name: str) -> Any:
        return self.__dict__.get(name)


def camera() -> Nodes:
    return Nodes(
        ExposureTime=Number(10, 1, 1e6),
        Width=Number(64, 16, 4096, inc=16, whole=True),
        TriggerMode=Choice(),
        ReverseX=Switch(),
        UserSetLoad=Command(),
    )


def applied(nodes: Nodes, *wanted: tuple[str, str], strict: bool = True) -> tuple[dict[str, str], list[str]]:
    warned: list[str] = []
    return apply_features(nodes, wanted, "cam", strict, warned.append), warned


def test_what_is_set_is_read_back_and_a_command_is_executed() -> None:
    nodes = camera()
    wanted = [("UserSetLoad", ""), ("ExposureTime", "5000"), ("Width", "0x80"), ("TriggerMode", "On")]
    read, warned = applied(nodes, *wanted, ("ReverseX", "true"))
    assert read == {"ExposureTime": "5000", "Width": "128", "TriggerMode": "On", "ReverseX": "1"}
    assert nodes.UserSetLoad.executed == 1
    assert not warned


def test_a_value_that_the_camera_rounds_is_refused_with_its_limits_or_told() -> None:
    with pytest.raises(SourceError, match=r"cam has Width=64 instead of 70 \(it takes 16 to 4096 us in steps of 16\)"):
        applied(camera(), ("Width", "70"))
    read, warned = applied(camera(), ("Width", "70"), strict=False)
    assert read == {"Width": "64"}
    assert "instead of 70" in warned[0]


def test_exposure_counted_in_ticks_is_near_enough_and_a_whole_number_is_not() -> None:
    nodes = camera()
    nodes.ExposureTime.inc = 3.0
    assert applied(nodes, ("ExposureTime", "5000"))[0] == {"ExposureTime": "5001"}
    with pytest.raises(SourceError, match="ExposureTime=12 instead of 11"):
        applied(nodes, ("ExposureTime", "11"))


@pytest.mark.parametrize(
    ("feature", "text", "words"),
    [
        ("ExposureTime", "0", "does not take ExposureTime=0: it takes 1 to 1e[+]06 us"),
        ("ExposureTime", "long", "does not take ExposureTime=long"),
        ("TriggerMode", "on", "one of Off, On"),
    ],
)
def test_what_the_camera_refuses_is_named_with_what_it_takes(feature: str, text: str, words: str) -> None:
    with pytest.raises(SourceError, match=words):
        applied(camera(), (feature, text))


def test_a_locked_feature_hints_at_what_locks_it() -> None:
    nodes = camera()
    nodes.ExposureTime.locked = True
    with pytest.raises(SourceError, match=r"cannot be written now.*ExposureAuto=Off"):
        applied(nodes, ("ExposureTime", "5"))


def test_a_feature_that_there_is_not_is_a_wrong_option() -> None:
    with pytest.raises(ConfigError, match="no feature 'ExposureTimes'; did you mean ExposureTime"):
        applied(camera(), ("ExposureTimes", "5"))


def test_a_feature_that_a_later_one_changed_is_noticed() -> None:
    nodes = camera()

    class Coupled(Choice):
        def from_string(self, text: str) -> None:
            super().from_string(text)
            nodes.ExposureTime.value = 10.0

    nodes.TriggerMode = Coupled()
    with pytest.raises(SourceError, match="ExposureTime=10 instead of 50"):
        applied(nodes, ("ExposureTime", "50"), ("TriggerMode", "On"))


@pytest.mark.parametrize(("text", "executed"), [("", 1), ("1", 1), ("True", 1), ("0", 0), ("Off", 0)])
def test_a_command_is_executed_or_refused_and_never_neither(text: str, executed: int) -> None:
    nodes = camera()
    if executed:
        apply_features(nodes, [("UserSetLoad", text)], "cam", True, pytest.fail)
    else:
        with pytest.raises(ConfigError, match=r"UserSetLoad is a command and takes no value.*: write UserSetLoad=$"):
            apply_features(nodes, [("UserSetLoad", text)], "cam", True, pytest.fail)
    assert nodes.UserSetLoad.executed == executed


def test_what_csflow_does_itself_is_refused() -> None:
    nodes = camera()
    nodes.AcquisitionStart = nodes.UserSetLoad  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match="leave out AcquisitionStart"):
        apply_features(nodes, [("AcquisitionStart", "1")], "cam", True, pytest.fail)
    assert nodes.UserSetLoad.executed == 0


def test_a_command_that_does_not_end_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "COMMAND_S", 0.01)
    with pytest.raises(SourceError, match=r"has not finished UserSetLoad within 0\.01 s"):
        applied(Nodes(UserSetLoad=Command(done=False)), ("UserSetLoad", ""))


def test_a_node_that_says_nothing_has_no_limits() -> None:
    assert limits_of(object()) == ""
