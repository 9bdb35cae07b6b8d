"""Which producers there are, and which camera a name means."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from csflow.runtime.errors import BackendUnavailable, SourceError
from csflow.runtime.sources.genicam.devices import PATH_VARIABLE, Device, chosen, device_of, producers

TOP = Device("u3v-1", "40012345", "top", "acA1300", "Basler", 1, "U3V")
SIDE = Device("u3v-2", "40012346", "", "acA1300", "Basler", 4, "U3V")


@pytest.mark.parametrize(("name", "number"), [("40012346", 1), ("top", 0), ("u3v-2", 1)])
def test_a_camera_is_named_by_serial_number_own_name_or_id(name: str, number: int) -> None:
    assert chosen([TOP, SIDE], name) == number


def test_the_only_camera_needs_no_name_and_a_model_does_where_it_is_the_only_one() -> None:
    assert chosen([SIDE], "") == chosen([SIDE], "acA1300") == 0


@pytest.mark.parametrize(
    ("devices", "name", "words"),
    [
        ([TOP, SIDE], "", r"which camera\? there are 40012345 \(Basler acA1300 'top'\), 40012346"),
        ([TOP, SIDE], "acA1300", "names several cameras"),
        ([TOP, SIDE], "4711", "no camera '4711'; there are"),
        ([], "", "no camera is seen"),
    ],
)
def test_what_names_none_or_several_is_told_what_there_is(devices: list[Device], name: str, words: str) -> None:
    with pytest.raises(SourceError, match=words):
        chosen(devices, name)


def test_what_a_producer_does_not_know_is_empty() -> None:
    class Info(SimpleNamespace):
        @property
        def user_defined_name(self) -> str:
            raise RuntimeError("not available")

    device = device_of(Info(id_="a", serial_number="7", model="M", vendor="V", access_status=3, tl_type="GEV"))
    assert device == Device("a", "7", "", "M", "V", 3, "GEV")
    assert "address" in device.problem
    assert [TOP.problem, SIDE.problem] == ["", "another program has it"]


def test_producers_are_found_where_makers_put_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("b.cti", "a.cti", "readme.txt"):
        (tmp_path / name).touch()
    monkeypatch.setenv(PATH_VARIABLE, f"/nowhere:{tmp_path}")
    assert producers() == [str(tmp_path / "a.cti"), str(tmp_path / "b.cti")]
    assert producers(str(tmp_path / "b.cti")) == [str(tmp_path / "b.cti")]
    with pytest.raises(SourceError, match=r"no GenTL producer /nowhere\.cti"):
        producers("/nowhere.cti")
    monkeypatch.delenv(PATH_VARIABLE)
    with pytest.raises(BackendUnavailable, match="GENICAM_GENTL64_PATH is not set"):
        producers()
