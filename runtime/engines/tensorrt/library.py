"""The TensorRT of this machine: full TensorRT with a GPU, or TensorRT for RTX, which builds without one."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.engines.tensorrt.capabilities import Capabilities, capabilities_of
from csflow.runtime.engines.tensorrt.plan_header import runs_rtx
from csflow.runtime.engines.tensorrt.plan_record import plan_path
from csflow.runtime.errors import BackendUnavailable, ConfigError
from csflow.runtime.machine import probes
from csflow.runtime.machine.install import pip_install
from csflow.runtime.machine.machine import Machine

__all__ = ["FLAVOURS", "TARGETS", "Device", "Library", "Messages", "load_library", "make_logger", "planned_flavour"]

FLAVOURS = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx"}
"""Flavour: its Python module."""
TARGETS = ("auto", *FLAVOURS)
KEPT = 20
ON_THE_DEVICE = "copy the bundle to the device and run there: csflow export --fp16"


@dataclass(frozen=True)
class Device:
    """The GPU that CUDA lists first."""

    name: str
    compute_capability: str
    """For example '8.7'."""
    memory: int
    """Bytes."""
    integrated: bool
    """Whether its memory is the processor's."""


@dataclass(frozen=True)
class Library:
    """A loaded TensorRT."""

    flavour: str
    trt: Any
    """The module. Its objects are used as `csflow.runtime.engines.tensorrt.api` types them."""
    version: str
    device: Device | None
    capabilities: Capabilities

    @property
    def title(self) -> str:
        """For people, for example 'TensorRT for RTX 1.7.1.116'."""
        return f"{'TensorRT' if self.flavour == 'tensorrt' else 'TensorRT for RTX'} {self.version}"


class Messages:
    """The last errors that TensorRT logged: its functions return false or nothing, and the reason goes here."""

    def __init__(self) -> None:
        self.errors: list[str] = []

    def add(self, message: str, is_error: bool) -> None:
        """Keep an error."""
        if is_error:
            self.errors = [*self.errors, " ".join(message.split())][-KEPT:]

    def reasons(self) -> str:
        """The errors in one line, each once, the first first."""
        return "; ".join(dict.fromkeys(self.errors)) or "it gave no reason"


def make_logger(trt: Any, messages: Messages) -> Any:
    """A TensorRT logger that fills `messages`. It must live as long as anything made with it."""
    bad = (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR)

    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            messages.add(message, severity in bad)

    return Logger()


def load_library(target: str = "auto", machine: Machine | None = None) -> Library:
    """Load the TensorRT that `target` names.

    'auto' takes full TensorRT where it and a GPU are, else TensorRT for RTX, unless the GPU here is one that
    TensorRT for RTX has no kernels for.

    Raises:
        ConfigError: no such target.
        BackendUnavailable: it cannot build here; the message says why, and how to build the engines all the same.
    """
    if target not in TARGETS:
        raise ConfigError(f"no target {target!r}; choose one of: {', '.join(TARGETS)}")
    machine = machine or Machine()
    # TensorRT dereferences nothing and crashes where CUDA was not initialised first: cuInit comes before its import.
    device, problem = _first_device()
    if target == "auto":
        target = _choose(machine, device)
    if target == "tensorrt" and device is None:
        raise BackendUnavailable(f"TensorRT builds plans on the GPU that runs them, {problem}: {ON_THE_DEVICE}")
    trt = _import(target, machine)
    return Library(target, trt, str(trt.__version__), device, capabilities_of(trt, target))


def planned_flavour(bundle: Bundle, precision: str = "fp16") -> str | None:
    """The TensorRT that a bundle has plans of, for the GPU here; None without plans or without a GPU they suit."""
    graphs = bundle.manifest.graphs
    flavours = [f for f in FLAVOURS if all(plan_path(bundle.path, f, precision, graph).exists() for graph in graphs)]
    device = _first_device()[0] if flavours else None
    if device is None:
        return None
    return next((f for f in flavours if f == "tensorrt" or _fits_rtx(device)), None)


def _first_device() -> tuple[Device | None, str]:
    answer = probes.cuda()
    if found := answer.get("devices"):
        first = found[0]
        capability = f"{first['major']}.{first['minor']}"
        return Device(first["name"], capability, first["memory"], bool(first["integrated"])), ""
    return None, f"and there is none here ({answer.get('problem', 'CUDA lists no GPU')})"


def _choose(machine: Machine, device: Device | None) -> str:
    full = machine.module(FLAVOURS["tensorrt"]) is not None
    if device is not None and (full or not _fits_rtx(device)):
        return "tensorrt"
    if machine.module(FLAVOURS["tensorrt-rtx"]) is not None:
        return "tensorrt-rtx"
    here = " here" if full else ", and no TensorRT is installed"
    if device is None and not _on_jetson(machine):
        raise BackendUnavailable(
            f"there is no GPU{here}, and only TensorRT for RTX builds without one: {ON_THE_DEVICE}, "
            f"or install it: {_install('tensorrt-rtx', machine)}"
        )
    return "tensorrt"


def _fits_rtx(device: Device) -> bool:
    return runs_rtx(*map(int, device.compute_capability.split(".")))


def _on_jetson(machine: Machine) -> bool:
    return bool(machine.text("etc/nv_tegra_release"))


def _import(flavour: str, machine: Machine) -> Any:
    name = FLAVOURS[flavour]
    if machine.module(name) is None:
        raise BackendUnavailable(f"{name} is not installed: {_install(flavour, machine)}")
    try:
        return importlib.import_module(name)
    except (ImportError, OSError, RuntimeError) as error:
        said = " ".join(str(error).split())
        raise BackendUnavailable(f"{name} does not load ({said}): 'csflow doctor' says what is missing") from None


def _install(flavour: str, machine: Machine) -> str:
    if not _on_jetson(machine):
        return pip_install(flavour)
    if flavour == "tensorrt-rtx":
        return "it does not run on a Jetson; take JetPack's own with --target tensorrt"
    # pip's wheels of TensorRT do not fit the driver of JetPack.
    return (
        "sudo apt install python3-libnvinfer, and use a virtual environment made with "
        "/usr/bin/python3 -m venv --system-site-packages"
    )
