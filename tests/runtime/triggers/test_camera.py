"""--trigger camera: what it makes of the camera's URI, and what it refuses."""

from __future__ import annotations

import pytest

from csflow.runtime.errors import ConfigError
from csflow.runtime.line.inspection import Inspection, inspect
from csflow.runtime.sources.genicam.wish import Wish
from csflow.runtime.triggers.camera import camera_uri, is_camera_trigger

RISING = (
    ("TriggerSelector", "FrameStart"),
    ("TriggerMode", "On"),
    ("TriggerSource", "Line1"),
    ("TriggerActivation", "RisingEdge"),
)


def test_the_input_is_set_before_all_other_features() -> None:
    wish = Wish.parse(camera_uri("camera", "genicam:7?Gain=6&strict=0"))
    assert wish == Wish("7", (*RISING, ("Gain", "6")), strict=False)
    assert wish.trigger == "Line1"
    other = Wish.parse(camera_uri("camera:Line3?edge=falling&delay_us=250", "genicam:7"))
    assert dict(other.features) == {
        **dict(RISING),
        "TriggerSource": "Line3",
        "TriggerActivation": "FallingEdge",
        "TriggerDelay": "250",
    }


def test_only_the_cameras_own_input_is_meant() -> None:
    assert is_camera_trigger("camera")
    assert is_camera_trigger("camera:Line2")
    assert not is_camera_trigger("cameras")
    assert not is_camera_trigger("http://camera:8500")
    assert not is_camera_trigger(None)
    assert Wish.parse("genicam:7?TriggerMode=Off&TriggerSource=Line1").trigger == ""
    assert Wish.parse("genicam:7?TriggerSource=Software&TriggerMode=On").trigger == "Software"


@pytest.mark.parametrize(
    ("text", "uri", "words"),
    [
        ("camera", "0", "genicam: and pylon: can, not '0'"),
        ("camera", "genicam:7?TriggerMode=On", "sets a trigger of its own"),
        ("camera:line 1", "genicam:7", "expected an input as the camera calls it"),
        ("camera:Line1?edge=up", "genicam:7", "edge='up' is no valid value"),
        ("camera:Line1?delay_us=-1", "genicam:7", "for example 250"),
        ("camera:Line1?bounce=1", "genicam:7", "no option 'bounce'"),
    ],
)
def test_what_cannot_be_set_is_refused(text: str, uri: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        camera_uri(text, uri)


def test_it_is_about_one_camera() -> None:
    wish = Inspection(("genicam:1", "genicam:2"), trigger="camera")
    with pytest.raises(ConfigError, match="about one camera"):
        inspect(wish, lambda _: None, lambda: None)  # type: ignore[arg-type, return-value]
