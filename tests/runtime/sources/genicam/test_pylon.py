"""Basler's cameras by pylon: its library in the shape of harvesters', played, and its emulated cameras where it is
installed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from csflow.runtime.cli.main import main
from csflow.runtime.errors import BackendUnavailable, ConfigError, SourceError, SourceLost
from csflow.runtime.source import TriggeredSource, open_source, source_kind
from csflow.runtime.sources.genicam.devices import device_of
from csflow.runtime.sources.genicam.driver import open_library
from csflow.runtime.sources.genicam.pylon import NO_NUMBER, Nodes, PylonCameras
from csflow.runtime.sources.genicam.source import GenicamSource
from csflow.runtime.sources.genicam.wish import Wish
from csflow.runtime.types import Frame

MONO12 = 0x01100005
FIRST = "pylon:0815-0000?Width=256&Height=64"


class Result(SimpleNamespace):
    """A grab result of pylon."""

    released = 0

    def IsValid(self) -> bool:  # noqa: N802 - as pylon calls it
        return self.ErrorCode is not None

    def GrabSucceeded(self) -> bool:  # noqa: N802
        return self.ErrorCode == 0

    def GetBuffer(self) -> bytes:  # noqa: N802
        return bytes(self.data)

    def Release(self) -> None:  # noqa: N802
        self.released += 1


def played(*results: Result, removed: bool = False) -> tuple[Any, list[str]]:
    """The module pypylon.pylon with a free and a held camera, and what is done to a camera."""
    done: list[str] = []
    script = iter(results)
    nodes = {
        "AcquisitionMode": SimpleNamespace(FromString=done.append, IsValid=lambda: True),
        "Gain": SimpleNamespace(ToString=lambda: "6", IsValid=lambda: True),
    }
    camera = SimpleNamespace(
        RegisterConfiguration=lambda *_: done.append("configured"),
        Open=lambda: done.append("open"),
        Close=lambda: done.append("close"),
        GetNodeMap=lambda: SimpleNamespace(GetNode=nodes.get),
        GetStreamGrabberNodeMap=SimpleNamespace,
        MaxNumBuffer=SimpleNamespace(Value=0),
        StartGrabbing=done.append,
        StopGrabbing=lambda: done.append("stop"),
        IsCameraDeviceRemoved=lambda: removed,
        RetrieveResult=lambda *_: next(script, Result(ErrorCode=None)),
    )
    said = {"SerialNumber": "40012345", "ModelName": "acA1300", "VendorName": "Basler", "DeviceClass": "BaslerGigE"}

    def info(name: str, words: dict[str, str]) -> Any:
        every = ("SerialNumber", "UserDefinedName", "ModelName", "VendorName", "DeviceClass")
        asked = {f"Is{word}Available": (lambda word=word: word in words) for word in every}
        asked |= {f"Get{word}": (lambda word=word: words[word]) for word in every}
        return SimpleNamespace(GetFullName=lambda: name, **asked)

    found = [info("a", said), info("b", {"DeviceClass": "BaslerUsb"})]
    factory = SimpleNamespace(
        EnumerateDevices=lambda: found, IsDeviceAccessible=lambda device: device is found[0], CreateDevice=lambda _: 1
    )
    module = SimpleNamespace(
        TlFactory=SimpleNamespace(GetInstance=lambda: factory),
        InstantCamera=lambda _: camera,
        ConfigurationEventHandler=SimpleNamespace,
        RegistrationMode_ReplaceAll=0,
        Cleanup_Delete=0,
        GrabStrategy_OneByOne="one by one",
        TimeoutHandling_Return=0,
    )
    return module, done


def test_cameras_are_described_as_a_producer_describes_them() -> None:
    first, second = (device_of(info) for info in PylonCameras(played()[0]).device_info_list)
    assert (first.label, first.transport, first.problem) == ("40012345 (Basler acA1300)", "GEV", "")
    assert (second.id, second.serial, second.transport) == ("b", "", "U3V")
    assert second.problem == "another program has it"


def test_pictures_silence_and_losses_come_as_harvesters_gives_them() -> None:
    whole = Result(ErrorCode=0, BlockID=7, TimeStamp=5, PixelType=MONO12, Width=2, Height=1, PaddingX=0, data=b"abcd")
    plain = Result(**{**vars(whole), "BlockID": NO_NUMBER, "TimeStamp": 0})
    damaged = Result(ErrorCode=3)
    module, done = played(whole, damaged, plain)
    cameras = PylonCameras(module)
    acquirer, missed = cameras.create(0), list[int]()
    acquirer.when_incomplete = lambda: missed.append(1)
    assert acquirer.remote_device.node_map.get_node("Gain").to_string() == "6"
    assert acquirer.remote_device.node_map.get_node("Gian") is None
    acquirer.start()
    first = acquirer.try_fetch(timeout=0.2, is_raw=True)
    assert (first.frame_id, first.timestamp, first.pixel_format, first.raw_buffer) == (7, 5, MONO12, b"abcd")
    first.parent.queue_buffer(first)
    assert whole.released == 1
    assert acquirer.try_fetch(timeout=0.2, is_raw=True) is None
    assert (missed, damaged.released) == ([1], 1)
    second = acquirer.try_fetch(timeout=0.2, is_raw=True)
    assert not hasattr(second, "frame_id")
    assert not hasattr(second, "timestamp")
    assert acquirer.try_fetch(timeout=0.2, is_raw=True) is None
    acquirer.stop()
    cameras.reset()
    assert done == ["configured", "open", "Continuous", "one by one", "stop", "close"]


def test_a_camera_that_was_unplugged_is_no_silent_one() -> None:
    acquirer = PylonCameras(played(removed=True)[0]).create(0)
    with pytest.raises(SourceError, match="removed"):
        acquirer.try_fetch(timeout=0.2, is_raw=True)


def test_names_of_nodes_are_those_of_genapi() -> None:
    about = SimpleNamespace(Name="Gain", IsFeature=lambda: True, GetSelectedFeatures=lambda: [selected])
    node = SimpleNamespace(ToString=lambda: "5", IsDone=lambda: True, Min=1, Node=about, IsValid=lambda: True)
    selected = SimpleNamespace(Node=SimpleNamespace(Name="GainRaw", IsFeature=lambda: False), IsValid=lambda: False)
    nodes = Nodes(SimpleNamespace(GetNodes=lambda: [node, selected], GetNode={"Gain": node, "GainRaw": selected}.get))
    found = nodes.get_node("Gain")
    assert found is not None
    assert (found.to_string(), found.is_done(), found.min, hasattr(found, "symbolics")) == ("5", True, 1, False)
    assert [feature.node.name for feature in found.node.selected_features] == ["GainRaw"]
    assert nodes.get_node("GainRaw") is None
    assert dir(nodes) == ["Gain"]


def test_the_grammar_is_that_of_genicam_without_a_producer() -> None:
    assert source_kind("pylon:0815-0000?Gain=6") == "pylon"
    assert Wish.parse("pylon:7?Gain=6&strict=0") == Wish("7", (("Gain", "6"),), strict=False, library="pylon")
    with pytest.raises(ConfigError, match="cti names a GenTL producer, and pylon: needs none"):
        Wish.parse("pylon:7?cti=/opt/a.cti")


def test_without_pypylon_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pypylon", None)
    with pytest.raises(BackendUnavailable, match=r"\[pylon\]'"):
        open_library(Wish("", library="pylon"))


def test_a_library_that_cannot_look_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = ModuleType("pypylon")
    broken.pylon = SimpleNamespace()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pypylon", broken)
    with pytest.raises(BackendUnavailable, match="pylon cannot look for cameras"):
        open_library(Wish("", library="pylon"))


@pytest.fixture
def emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two cameras of pylon's own, 0815-0000 and 0815-0001."""
    pytest.importorskip("pypylon", reason="the extra pylon is not installed")
    monkeypatch.setenv("PYLON_CAMEMU", "2")


def drain(camera: GenicamSource) -> None:
    while True:
        camera.read(60.0)


def soon(camera: Any) -> Frame:
    end_s = time.monotonic() + 60.0
    while time.monotonic() < end_s:
        if (frame := camera.read(1.0)) is not None:
            return frame  # type: ignore[no-any-return]
    raise AssertionError("no frame came")


@pytest.fixture
def camera(emulated: None) -> Iterator[GenicamSource]:  # noqa: ARG001 - its cameras
    with open_source(f"{FIRST}&PixelFormat=Mono12&ExposureTime=5000", 60.0) as source:
        assert isinstance(source, GenicamSource)
        yield source


def test_an_emulated_camera_is_set_read_back_seen_and_lost_when_its_process_is_killed(camera: GenicamSource) -> None:
    assert camera.device.startswith("0815-0000 (Basler Emulation")
    assert camera.features == {"Width": "256", "Height": "64", "PixelFormat": "Mono12", "ExposureTime": "5000.0"}
    frames = [soon(camera) for _ in range(2)]
    assert [(frame.image.shape, frame.image.dtype) for frame in frames] == [((64, 256), np.uint16)] * 2
    assert frames[0].image.max() > 255
    assert frames[0].index < frames[1].index
    os.killpg(camera._child.pid, signal.SIGKILL)
    with pytest.raises(SourceLost, match=r"pylon:0815-0000 was lost: its driver ended \(-9\)"):
        drain(camera)


@pytest.mark.usefixtures("emulated")
@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("pylon:0815-0000?Witdh=64", "no feature 'Witdh'; did you mean Width"),
        ("pylon:0815-0000?Width=1000000", r"does not take Width=1000000: it takes 1 to 4096"),
        ("pylon:0815-0000?PixelFormat=Mono9", "it takes one of Mono8, Mono10"),
        ("pylon:", r"which camera\? there are 0815-0000 \(Basler Emulation\), 0815-0001"),
        ("pylon:4711", "there is no camera '4711'; there are 0815-0000"),
    ],
)
def test_what_the_emulator_does_not_take_is_one_line(uri: str, words: str) -> None:
    with pytest.raises((ConfigError, SourceError), match=words):
        open_source(uri, 60.0)


@pytest.mark.usefixtures("emulated")
def test_each_request_of_software_is_one_picture() -> None:
    with open_source(f"{FIRST}&TriggerMode=On&TriggerSource=Software", 60.0) as source:
        assert isinstance(source, TriggeredSource)
        assert source.waits
        assert source.read(0.5) is None
        for index in range(3):
            source.fire()
            assert soon(source).index == index
        assert source.read(0.5) is None


@pytest.mark.usefixtures("emulated")
def test_emulated_cameras_are_listed_and_keep_what_is_saved_of_them(tmp_path: Path) -> None:
    told = CliRunner().invoke(main, ["cameras", "--json"])
    assert told.exit_code == 0, told.output
    seen = [camera["uri"] for camera in json.loads(told.stdout)["cameras"] if camera["way"] == "pylon"]
    assert seen == ["pylon:0815-0000", "pylon:0815-0001"]
    kept = tmp_path / "line.pfs"
    saved = CliRunner().invoke(main, ["cameras", f"{FIRST}&GainRaw=200", "--save-features", str(kept)])
    assert saved.exit_code == 0, saved.output
    assert "Width\t256\n" in kept.read_text()
    with contextlib.closing(open_source(f"pylon:0815-0001?load={kept}", 60.0)) as again:
        assert soon(again).image.shape[:2] == (64, 256)
