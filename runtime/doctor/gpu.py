"""Checks of NVIDIA GPUs, their driver, JetPack and TensorRT."""

from __future__ import annotations

import re
import sys
from typing import Any

from csflow.runtime.doctor.finding import Finding
from csflow.runtime.engines.tensorrt.plan_header import runs_rtx
from csflow.runtime.machine.install import pip_install
from csflow.runtime.machine.machine import Answer, Machine

__all__ = ["check_gpu", "check_jetpack", "check_tensorrt"]

NVIDIA_PCI = "0x10de"
REMEDIES = {
    34: "ldconfig -p | grep libcuda   # a stub library is found before the driver's own",
    100: "nvidia-smi   # the driver is there and sees no GPU; in a container: docker run --gpus all ...",
    802: "sudo systemctl restart nvidia-fabricmanager",
    803: "sudo reboot   # the driver was updated while its old version runs",
    804: "sudo apt install --only-upgrade 'nvidia-driver-*' && sudo reboot",
}
"""CUresult of cuInit: what helps. Any other: reboot."""
REBOOT = "sudo reboot   # then, if it comes back, install the driver again"
JETPACKS = {36: ("JetPack 6", "10.3"), 38: ("JetPack 7.0 or 7.1", "10.13"), 39: ("JetPack 7.2", "10.16")}
"""L4T major: what it belongs to, and the TensorRT that comes with it."""
NO_PIP = "never 'pip install tensorrt' on a Jetson: its wheels do not fit the driver of JetPack"


def check_gpu(machine: Machine) -> list[Finding]:
    """GPUs, driver and the CUDA version that it supports."""
    answer = machine.ask("cuda")
    if answer.problem:
        return [_no_cuda(machine, answer)]
    devices = answer.values["devices"]
    if not devices:
        return [Finding("GPU", "missing", "the CUDA driver works but lists no GPU", REMEDIES[100])]
    version = answer.values["cuda"]
    driver = _driver_version(machine) or "of JetPack"
    suffix = f"; driver {driver}, CUDA up to {version // 1000}.{version % 1000 // 10}"
    return [Finding("GPU", "ok", f"{_device(device)}{suffix}") for device in devices]


def _device(device: dict[str, Any]) -> str:
    shared = " shared with the processor" if device["integrated"] else ""
    capability = f"compute capability {device['major']}.{device['minor']}"
    return f"{device['name']}, {capability}, {device['memory'] / 1e9:.1f} GB{shared}, {device['multiprocessors']} SMs"


def _driver_version(machine: Machine) -> str:
    found = re.search(r"Kernel Module.*?\s(\d+\.\d[\d.]*)", machine.text("proc/driver/nvidia/version"))
    return found.group(1) if found else ""


def _no_cuda(machine: Machine, answer: Answer) -> Finding:
    code = answer.values.get("code")
    if code != -1:
        return Finding("GPU", "warning", f"the CUDA driver does not start: {answer.problem}", _remedy(code))
    if driver := _driver_version(machine):
        what = f"driver {driver} is loaded, but its library is not visible here ({answer.problem})"
        return Finding("GPU", "warning", what, "docker run --gpus all ...   # no container: install the driver again")
    if _gpu_on_the_bus(machine):
        what = "there is an NVIDIA GPU but no driver"
        return Finding("GPU", "missing", what, "sudo ubuntu-drivers install && sudo reboot")
    return Finding("GPU", "missing", "no NVIDIA GPU; csflow runs on the processor with OpenVINO")


def _remedy(code: object) -> str:
    return REMEDIES.get(code, REBOOT) if isinstance(code, int) else REBOOT


def _gpu_on_the_bus(machine: Machine) -> bool:
    vendors = machine.paths("sys/bus/pci/devices/*/vendor")
    cards = (v[1:] for v in vendors if machine.text(v[1:]) == NVIDIA_PCI)
    return any(machine.text(card.replace("vendor", "class")).startswith("0x03") for card in cards)


def _l4t(machine: Machine) -> tuple[int, str] | None:
    """(major, revision) of Jetson Linux, or None on other machines."""
    found = re.match(r"#\s*R(\d+)\D*REVISION:\s*([\d.]+)", machine.text("etc/nv_tegra_release"))
    return (int(found.group(1)), found.group(2)) if found else None


def check_jetpack(machine: Machine) -> list[Finding]:
    """Jetson Linux and JetPack; nothing on other machines."""
    release = _l4t(machine)
    if release is None:
        return []
    name, tensorrt = JETPACKS.get(release[0], ("an unknown JetPack", "unknown"))
    what = f"Jetson Linux {release[0]}.{release[1]}, {name} (comes with TensorRT {tensorrt}); {NO_PIP}"
    if installed := _dpkg_version(machine, "nvidia-jetpack"):
        return [Finding("JetPack", "ok", f"{what}; package nvidia-jetpack {installed}")]
    return [Finding("JetPack", "warning", f"{what}; its libraries are missing", "sudo apt install nvidia-jetpack")]


def _dpkg_version(machine: Machine, package: str) -> str:
    for stanza in machine.text("var/lib/dpkg/status").split("\n\n"):
        fields = dict(line.split(": ", 1) for line in stanza.splitlines() if re.match(r"[A-Z][\w-]*: ", line))
        if fields.get("Package") == package and fields.get("Status", "").endswith(" installed"):
            return fields.get("Version", "")
    return ""


def check_tensorrt(machine: Machine) -> list[Finding]:
    """Both flavours of TensorRT, whether they load, and whether they suit this machine."""
    jetson = _l4t(machine) is not None
    findings = [] if machine.module("tensorrt") is None else [_loaded(machine, "tensorrt", jetson)]
    if machine.module("tensorrt_rtx") is not None:
        findings.append(_loaded(machine, "tensorrt_rtx", jetson))
    return findings or [_absent(jetson, machine)]


def _absent(jetson: bool, machine: Machine) -> Finding:
    if jetson and _dpkg_version(machine, "python3-libnvinfer"):
        what = f"JetPack's is installed, but the Python of {sys.prefix} does not see it; {NO_PIP}"
        fix = "/usr/bin/python3 -m venv --system-site-packages .venv   # and install csflow there"
        return Finding("TensorRT", "warning", what, fix)
    if jetson:
        return Finding("TensorRT", "missing", f"not installed; {NO_PIP}", "sudo apt install python3-libnvinfer")
    if machine.ask("cuda").problem:
        what = "not installed; TensorRT for RTX builds plans without a GPU, running them needs one"
        return Finding("TensorRT", "missing", what, pip_install("tensorrt-rtx"))
    what = "not installed; this machine has a GPU for it"
    return Finding("TensorRT", "missing", what, pip_install("tensorrt"))


def _loaded(machine: Machine, module: str, jetson: bool) -> Finding:
    name = {"tensorrt": "TensorRT", "tensorrt_rtx": "TensorRT for RTX"}[module]
    if jetson and module == "tensorrt" and _by_pip(machine):
        fix = "pip uninstall -y tensorrt tensorrt-cu12 tensorrt-cu13   # then JetPack's own is found"
        return Finding("TensorRT", "warning", f"{name} was installed by pip; {NO_PIP}", fix)
    answer = machine.ask("tensorrt", module)
    if answer.problem:
        return Finding("TensorRT", "warning", f"{name} does not load: {answer.problem}", _reinstall(module, jetson))
    what = f"{name} {answer.values['version']}"
    unfit = _unfit_for_rtx(machine) if module == "tensorrt_rtx" else ""
    if unfit:
        what = f"{what} builds plans here but cannot run them: {unfit}"
        return Finding("TensorRT", "warning", what, "" if jetson else pip_install("tensorrt"))
    return Finding("TensorRT", "ok", what)


def _by_pip(machine: Machine) -> bool:
    # JetPack's bindings lie in Debian's own /usr/lib; whatever pip installs lies elsewhere.
    return not str(machine.module("tensorrt")).startswith("/usr/lib/")


def _reinstall(module: str, jetson: bool) -> str:
    if module == "tensorrt_rtx":
        return "pip install --force-reinstall tensorrt-rtx-cu13   # tensorrt-rtx-cu12 for drivers before 580"
    return "sudo apt install --reinstall nvidia-jetpack" if jetson else "pip install --force-reinstall tensorrt"


def _unfit_for_rtx(machine: Machine) -> str:
    devices = machine.ask("cuda").values.get("devices", [])
    capabilities = [(device["major"], device["minor"]) for device in devices]
    if any(runs_rtx(*capability) for capability in capabilities):
        return ""
    return ", ".join(f"compute capability {major}.{minor}" for major, minor in capabilities) or ""
