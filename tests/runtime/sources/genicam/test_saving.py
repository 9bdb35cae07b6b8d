"""What a camera keeps of its settings as a file, and that the file sets them again."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from csflow.runtime.cli.main import main
from csflow.runtime.errors import ConfigError, SinkError, SourceError
from csflow.runtime.source import open_source
from csflow.runtime.sources.genicam import saving
from csflow.runtime.sources.genicam.saving import features_of, save_features
from csflow.runtime.sources.genicam.source import GenicamSource

READ_ONLY, READ_WRITE = 3, 4


class Feature:
    """As `genicam.genapi` has it; a selected one has a value for each setting of its selector."""

    def __init__(self, name: str, text: str, kept: bool = True, access: int = READ_WRITE) -> None:
        self.text, self.access, self.selector, self.by = text, access, None, dict[str, str]()
        self.node = SimpleNamespace(
            name=name, is_streamable=lambda: kept, is_selector=lambda: bool(self.selects), selected_features=()
        )
        self.selects: Sequence[Feature] = ()

    def choose(self, settings: Sequence[str], *features: Feature) -> Feature:
        self.symbolics, self.selects = settings, features
        self.node.selected_features = features
        for feature in features:
            feature.selector = self  # type: ignore[assignment]
            feature.by = {setting: f"{feature.text}{number}" for number, setting in enumerate(settings)}
        return self

    def get_access_mode(self) -> int:
        return self.access

    def to_string(self) -> str:
        return self.text if self.selector is None else self.by[self.selector.text]

    def from_string(self, text: str) -> None:
        if text == "Absent":
            raise RuntimeError("no such setting here")
        self.text = text


class Nodes:
    def __init__(self, *features: Feature) -> None:
        self._features = {feature.node.name: feature for feature in features}

    def __dir__(self) -> list[str]:
        return sorted([*self._features, "Broken", "connect"])

    def get_node(self, name: str) -> Any:
        return self._features[name]


def test_features_come_in_an_order_in_which_they_can_be_set_again() -> None:
    mode, source = Feature("TriggerMode", "On"), Feature("TriggerSource", "Line")
    selector = Feature("TriggerSelector", "FrameStart", kept=False)
    selector.choose(["AcquisitionStart", "Absent", "FrameStart"], mode, source)
    nodes = Nodes(
        Feature("Gain", "6"),
        Feature("OffsetX", "8"),
        Feature("Width", "640"),
        Feature("DeviceTemperature", "41", kept=False),
        Feature("PayloadSize", "9", access=READ_ONLY),
        Feature("DeviceUserID", ""),
        selector,
        mode,
        source,
    )
    assert features_of(nodes) == [
        ("Gain", "6"),
        ("Width", "640"),
        ("OffsetX", "8"),
        ("TriggerSelector", "AcquisitionStart"),
        ("TriggerMode", "On0"),
        ("TriggerSource", "Line0"),
        ("TriggerSelector", "FrameStart"),
        ("TriggerMode", "On2"),
        ("TriggerSource", "Line2"),
        ("TriggerSelector", "FrameStart"),
    ]
    assert selector.text == "FrameStart"


def test_a_selector_may_be_a_number() -> None:
    value = Feature("LUTValue", "v")
    index = Feature("LUTIndex", "0", kept=False).choose(["0", "2", "4"], value)
    del index.symbolics
    index.min, index.max, index.inc = 0, 4, 2  # type: ignore[attr-defined]
    found = features_of(Nodes(index, value))
    assert found[:4] == [("LUTIndex", "0"), ("LUTValue", "v0"), ("LUTIndex", "2"), ("LUTValue", "v1")]
    assert found[-1] == ("LUTIndex", "0")


@pytest.fixture
def viky(monkeypatch: pytest.MonkeyPatch) -> None:
    module = pytest.importorskip("genicam", reason="the extra genicam is not installed")
    pytest.importorskip("harvesters", reason="the extra genicam is not installed")
    monkeypatch.setenv("GENICAM_GENTL64_PATH", os.path.dirname(module.__file__))


@pytest.mark.usefixtures("viky")
def test_a_virtual_camera_is_saved_by_the_command_and_set_again(tmp_path: Path) -> None:
    file = tmp_path / "line 3.pfs"
    words = ["cameras", "genicam:1?PixelFormat=Mono8&Width=320", "--save-features", str(file)]
    ran = CliRunner().invoke(main, words)
    assert ran.exit_code == 0, ran.output
    assert f"csflow run --camera 'genicam:1?load={file}'" in ran.output
    lines = file.read_text().splitlines()
    assert lines[0] == "# 1 (Machine Vision Games Ltd. Viky)"
    assert {"Width\t320", "PixelFormat\tMono8"} <= set(lines)
    with open_source(f"genicam:1?load={file}", 60.0) as camera:
        assert isinstance(camera, GenicamSource)
        assert camera.features["Width"] == "320"
        frame = camera.read(60.0)
    assert frame is not None
    assert frame.image.shape == (400, 320, 3)


@pytest.mark.usefixtures("viky")
def test_what_the_camera_refuses_is_told_as_when_it_runs(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no feature 'Witdh'; did you mean Width"):
        save_features("genicam:1?Witdh=320", tmp_path / "a.pfs")
    with pytest.raises(ConfigError, match="is none: name one"):
        save_features("0", tmp_path / "a.pfs")
    assert not list(tmp_path.iterdir())


def played(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    monkeypatch.setattr(saving, "PROGRAM", ("-c", code))


def test_a_driver_that_hangs_crashes_or_keeps_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    played(monkeypatch, "import time; time.sleep(3600)")
    with pytest.raises(SourceError, match=r"no answer within 0\.1 s"):
        save_features("genicam:1", tmp_path / "a.pfs", timeout_s=0.1)
    played(monkeypatch, "raise SystemExit('bus error')")
    with pytest.raises(SourceError, match="ended with 1: bus error"):
        save_features("genicam:1", tmp_path / "a.pfs")
    played(monkeypatch, """print('{"device": "7 (V M)", "features": []}')""")
    with pytest.raises(SourceError, match="has no feature that its description says is kept"):
        save_features("genicam:1", tmp_path / "a.pfs")
    played(monkeypatch, """print('{"device": "7 (V M)", "features": [["Gain", "6"]]}')""")
    with pytest.raises(SinkError):
        save_features("genicam:1", tmp_path)


@pytest.mark.parametrize("words", [["genicam:1"], ["--save-features", "a.pfs"]])
def test_a_camera_and_a_file_go_together(words: list[str]) -> None:
    ran = CliRunner().invoke(main, ["cameras", *words])
    assert ran.exit_code == 2
    assert "give both" in ran.output
