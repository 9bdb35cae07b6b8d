"""Every camera that this machine sees, by which URI it is opened, and what is wrong with it."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from csflow.runtime.errors import BackendUnavailable
from csflow.runtime.machine.install import pip_install
from csflow.runtime.machine.machine import Machine
from csflow.runtime.sources.genicam.devices import Device
from csflow.runtime.sources.genicam.listing import list_devices

__all__ = ["Cameras", "Problem", "SeenCamera", "camera_lines", "see_cameras"]

ARAVIS = "arv-tool-0.8"
ARAVIS_S = 15.0
JUMBO_BYTES = 8000
"""MTU from which on GigE Vision's packets are as large as makers advise (9000 with headers)."""
SOCKET_BYTES = 4 << 20
"""Receive buffer that takes a picture of four megapixels, and the default of newer kernels."""
USB_MB = 200
"""Memory for USB transfers; the kernel's default is 16, makers of USB3 Vision cameras advise up to 1000."""


@dataclass(frozen=True)
class Problem:
    """What keeps a camera from working well, and the command or action that ends it."""

    what: str
    fix: str


@dataclass(frozen=True)
class SeenCamera:
    """One camera by one way to it; the same camera may be seen by several."""

    uri: str
    """What `csflow run --camera` takes."""
    way: str
    """genicam, pylon, v4l2, csi or aravis."""
    name: str
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class Cameras:
    """All that was found."""

    cameras: tuple[SeenCamera, ...]
    unseen: tuple[str, ...]
    """Ways by which nothing could be looked for, and why."""


def see_cameras(
    machine: Machine,
    genicam: Callable[[], Sequence[Device]] = list_devices,
    pylon: Callable[[], Sequence[Device]] = lambda: list_devices(library="pylon"),
    aravis: Callable[[str], str] = lambda program: _printed(program),
) -> Cameras:
    """Look by every way.

    Args:
        machine: whom to ask.
        genicam: lists the cameras of GenTL producers, or raises BackendUnavailable.
        pylon: lists those of Basler's library alike; asked where it is installed.
        aravis: what Aravis' tool prints, or raises BackendUnavailable.
    """
    found, unseen = _video_devices(machine), []
    ways: tuple[Callable[[], list[SeenCamera]], ...] = (
        lambda: _genicam(machine, "genicam", genicam()),
        lambda: _aravis(machine, aravis),
        lambda: _pylon(machine, pylon),
    )
    for look in ways:
        try:
            found += look()
        except BackendUnavailable as error:
            unseen.append(str(error))
    return Cameras(tuple(found), tuple(unseen))


def camera_lines(seen: Cameras) -> list[str]:
    """The same for people: a table, each problem below its camera."""
    rows = [(camera.uri, camera.way, camera.name) for camera in seen.cameras]
    widths = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
    lines = []
    for camera in seen.cameras:
        lines.append(f"{camera.uri:<{widths[0]}}  {camera.way:<{widths[1]}}  {camera.name}")
        for problem in camera.problems:
            lines += [f"    {problem.what}", f"    -> {problem.fix}"]
    lines += [] if rows else ["no camera is seen"]
    return lines + [f"not looked for: {why}" for why in seen.unseen]


def _video_devices(machine: Machine) -> list[SeenCamera]:
    found: list[SeenCamera] = []
    for path in machine.paths("dev/video[0-9]*"):
        device = path.removeprefix("/dev/")
        about = f"sys/class/video4linux/{device}/"
        if machine.text(about + "index") not in ("", "0"):
            continue  # a camera's second node carries metadata
        name = machine.text(about + "name") or device
        closed = not machine.usable(machine.root / path[1:])
        problems = (Problem(f"no permission to use {path}", "sudo usermod -aG video $USER, and log in again"),)
        csi = name.startswith("vi-output")  # the driver of a Jetson's CSI connectors
        uri = f"csi:{len([c for c in found if c.way == 'csi'])}" if csi else _stable(machine, path)
        found.append(SeenCamera(uri, "csi" if csi else "v4l2", name, problems if closed else ()))
    return found


def _stable(machine: Machine, path: str) -> str:
    """The name that stays with a device when cables are changed, where it has one."""
    real = os.path.realpath(machine.root / path[1:])
    names = machine.paths("dev/v4l/by-id/*")
    return next((name for name in names if os.path.realpath(machine.root / name[1:]) == real), path)


def _genicam(machine: Machine, way: str, devices: Sequence[Device]) -> list[SeenCamera]:
    serials = [device.serial for device in devices]
    found = []
    for device in devices:
        name = device.serial if device.serial and serials.count(device.serial) == 1 else device.id
        held = (Problem(device.problem, "end that program, or see its own settings"),) if device.problem else ()
        transport = {"GEV": _network(machine), "U3V": _usb(machine)}.get(device.transport, ())
        found.append(SeenCamera(f"{way}:{quote(name)}", way, device.label, (*held, *transport)))
    return found


def _pylon(machine: Machine, listed: Callable[[], Sequence[Device]]) -> list[SeenCamera]:
    if machine.version("pypylon") is None:
        raise BackendUnavailable(f"pylon: needs pypylon: {pip_install('pylon')}")
    return _genicam(machine, "pylon", listed())


def _aravis(machine: Machine, printed: Callable[[str], str]) -> list[SeenCamera]:
    program = machine.which(ARAVIS)
    if program is None:
        raise BackendUnavailable(f"aravis: needs {ARAVIS}: apt-get install aravis-tools-cli")
    found = []
    for line in printed(program).splitlines():
        if match := re.fullmatch(r"(\S.*?) \(([^()]*)\)", line.strip()):
            network = re.fullmatch(r"[0-9.]+", match[2]) is not None
            problems = _network(machine) if network else _usb(machine) if match[2] == "USB3" else ()
            found.append(SeenCamera(f"aravis:{match[1]}", "aravis", f"{match[1]} ({match[2]})", problems))
    return found


def _printed(program: str) -> str:
    try:
        asked = subprocess.run([program], capture_output=True, text=True, errors="replace", timeout=ARAVIS_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BackendUnavailable(f"aravis: {ARAVIS} gave no answer ({error})") from None
    return asked.stdout


def _network(machine: Machine) -> tuple[Problem, ...]:
    """What costs packets of GigE Vision: which card leads to the camera is not known, so the largest MTU counts."""
    cards = {path.split("/")[-2]: _number(machine, path[1:]) for path in machine.paths("sys/class/net/*/mtu")}
    cards = {card: mtu for card, mtu in cards.items() if machine.paths(f"sys/class/net/{card}/device")}
    problems = []
    if cards and max(cards.values()) < JUMBO_BYTES:
        named = ", ".join(f"{card} {mtu}" for card, mtu in sorted(cards.items()))
        fix = f"sudo ip link set {min(cards)} mtu 9000, where card and switch can"
        problems.append(Problem(f"no network card sends packets of 9000 bytes (MTU: {named})", fix))
    buffer = _number(machine, "proc/sys/net/core/rmem_max")
    if 0 < buffer < SOCKET_BYTES:
        what = (
            f"a socket may buffer {buffer} bytes, less than a picture of four megapixels: packets are lost under load"
        )
        problems.append(Problem(what, "sudo sysctl -w net.core.rmem_max=33554432"))
    return tuple(problems)


def _usb(machine: Machine) -> tuple[Problem, ...]:
    path = "sys/module/usbcore/parameters/usbfs_memory_mb"
    limit = _number(machine, path)
    if not machine.text(path) or limit == 0 or limit >= USB_MB:  # 0 is no limit
        return ()
    fix = f"echo 1000 | sudo tee /{path}"
    return (Problem(f"USB transfers may use {limit} MB, too few for pictures of several megapixels", fix),)


def _number(machine: Machine, path: str) -> int:
    text = machine.text(path)
    return int(text) if text.isdecimal() else 0
