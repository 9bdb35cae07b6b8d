"""`csflow cameras` on machines that are described here, and with the virtual cameras of the genicam package."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner

from csflow.runtime.cli.cameras import cameras
from csflow.runtime.doctor.cameras import Cameras, Problem, camera_lines, see_cameras
from csflow.runtime.errors import BackendUnavailable
from csflow.runtime.machine.install import pip_install
from csflow.runtime.machine.machine import Machine
from csflow.runtime.sources.genicam import listing
from csflow.runtime.sources.genicam.devices import Device
from csflow.runtime.sources.genicam.listing import list_devices

Described = Callable[..., Machine]
GIGE = Device("gev-1", "40012345", "top", "acA1300", "Basler", 1, "GEV")
USB = Device("u3v-1", "", "", "BFS", "FLIR", 4, "U3V")
CARD = {"sys/class/net/eth0/mtu": "1500", "sys/class/net/eth0/device/vendor": "x", "sys/class/net/lo/mtu": "65536"}


def absent() -> Sequence[Device]:
    raise BackendUnavailable("no GenTL producer is known")


def by_uri(seen: Cameras) -> dict[str, tuple[Problem, ...]]:
    return {camera.uri: camera.problems for camera in seen.cameras}


def test_video_devices_have_names_that_stay_and_a_jetson_csi_is_one(machine: Described) -> None:
    names = {"video0": "HD Webcam", "video1": "HD Webcam", "video2": "vi-output, imx219 9-0010"}
    files = {f"dev/{device}": "" for device in names}
    files |= {f"sys/class/video4linux/{device}/name": name for device, name in names.items()}
    files |= {"sys/class/video4linux/video1/index": "1"}
    made = machine(files=files, usable=lambda path: path.name != "video2")
    by_id = made.root / "dev/v4l/by-id"
    by_id.mkdir(parents=True)
    (by_id / "usb-HD-video-index0").symlink_to(made.root / "dev/video0")
    seen = see_cameras(made, absent)
    assert [(c.uri, c.way, c.name) for c in seen.cameras] == [
        ("/dev/v4l/by-id/usb-HD-video-index0", "v4l2", "HD Webcam"),
        ("csi:0", "csi", "vi-output, imx219 9-0010"),
    ]
    assert "usermod -aG video" in seen.cameras[1].problems[0].fix
    assert not seen.cameras[0].problems
    assert [why.split()[0] for why in seen.unseen] == ["no", "aravis:", "pylon:"]


def test_what_costs_packets_or_transfers_is_named_with_its_remedy(machine: Described) -> None:
    usb = "sys/module/usbcore/parameters/usbfs_memory_mb"
    poor = machine(files={**CARD, "proc/sys/net/core/rmem_max": "212992", usb: "16"})
    found = by_uri(see_cameras(poor, lambda: [GIGE, USB]))
    assert [problem.fix.split(",")[0] for problem in found["genicam:40012345"]] == [
        "sudo ip link set eth0 mtu 9000",
        "sudo sysctl -w net.core.rmem_max=33554432",
    ]
    assert [problem.what for problem in found["genicam:u3v-1"]] == [
        "another program has it",
        "USB transfers may use 16 MB, too few for pictures of several megapixels",
    ]


@pytest.mark.parametrize("limit", ["0", "1000"])
def test_a_machine_that_is_well_set_has_no_problem(machine: Described, limit: str) -> None:
    good = {**CARD, "sys/class/net/eth0/mtu": "9000", "proc/sys/net/core/rmem_max": "33554432"}
    rich = machine(files={**good, "sys/module/usbcore/parameters/usbfs_memory_mb": limit})
    free = Device("u3v-1", "7", "", "BFS", "FLIR", 1, "U3V")
    assert by_uri(see_cameras(rich, lambda: [GIGE, free])) == {"genicam:40012345": (), "genicam:7": ()}


def test_cameras_of_pylon_are_asked_for_where_it_is_installed(machine: Described) -> None:
    there = machine(version={"pypylon": "26.9"}.get)
    assert list(by_uri(see_cameras(there, absent, lambda: [GIGE]))) == ["pylon:40012345"]


def test_aravis_tells_its_cameras_line_by_line(machine: Described) -> None:
    printed = "Basler-acA1300-40012345 (192.168.1.7)\nFLIR-BFS-7 (USB3)\nFake_1 (Fake)\nNo device found\n"
    there = machine(files={**CARD, "proc/sys/net/core/rmem_max": "4194304"}, which=lambda _: "/usr/bin/arv-tool-0.8")
    found = by_uri(see_cameras(there, absent, aravis=lambda _: printed))
    assert list(found) == ["aravis:Basler-acA1300-40012345", "aravis:FLIR-BFS-7", "aravis:Fake_1"]
    assert [len(problems) for problems in found.values()] == [1, 0, 0]


def test_the_table_has_a_line_a_camera_its_problems_below(machine: Described) -> None:
    seen = see_cameras(machine(), lambda: [USB])
    assert camera_lines(seen) == [
        "genicam:u3v-1  genicam  u3v-1 (FLIR BFS)",
        "    another program has it",
        "    -> end that program, or see its own settings",
        "not looked for: aravis: needs arv-tool-0.8: apt-get install aravis-tools-cli",
        f"not looked for: pylon: needs pypylon: {pip_install('pylon')}",
    ]
    assert camera_lines(see_cameras(machine(), list))[0] == "no camera is seen"


def test_virtual_cameras_are_listed_by_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    module = pytest.importorskip("genicam", reason="the extra genicam is not installed")
    monkeypatch.setenv("GENICAM_GENTL64_PATH", os.path.dirname(module.__file__))
    done = CliRunner().invoke(cameras, ["--json"])
    assert done.exit_code == 0
    seen = [camera for camera in json.loads(done.output)["cameras"] if camera["way"] == "genicam"]
    assert [camera["uri"] for camera in seen] == ["genicam:0", "genicam:1", "genicam:2"]
    assert seen[0] == {
        "uri": "genicam:0",
        "way": "genicam",
        "name": "0 (Machine Vision Games Ltd. Viky)",
        "problems": [],
    }


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import time; time.sleep(3600)", "gave no answer within 0.1 s"),
        ("import os; os.abort()", "ended with -6"),
        ('print(\'{"problem": "no library"}\')', "no library"),
    ],
)
def test_a_producer_that_hangs_or_crashes_is_told(code: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "PROGRAM", ("-S", "-c", code))
    with pytest.raises(BackendUnavailable) as caught:
        list_devices(0.1 if "sleep" in code else 60.0)
    assert words in str(caught.value)
    with pytest.raises(BackendUnavailable, match=r"^(pylon (gave no|ended with)|no library)"):
        list_devices(0.1 if "sleep" in code else 60.0, "pylon")


def test_a_tool_that_is_no_program_is_told(tmp_path: Path, machine: Described) -> None:
    there = machine(which=lambda _: str(tmp_path / "nowhere"))
    assert "gave no answer" in see_cameras(there, list).unseen[0]
    whole = machine(which=lambda _: sys.executable, version={"pypylon": "26.9"}.get)
    assert see_cameras(whole, list, list, lambda _: "").unseen == ()
