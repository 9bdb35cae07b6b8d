"""Opening an engine: which backend, which precision, and whether it agrees with the trained model.

A backend's library is imported only when it is opened. Packages above this one register theirs as entry points of the
group 'csflow.engines', each with the extra that installs its library: `torch = "package.module:Class [train]"`.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import entry_points
from typing import Any, cast

from csflow.runtime.bundle.calibration import Calibration
from csflow.runtime.bundle.contents import Contents
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.engine import Engine
from csflow.runtime.engines.golden_check import GoldenCheck, require_golden
from csflow.runtime.engines.name import EngineName
from csflow.runtime.engines.precision import Variants, choose_precision
from csflow.runtime.engines.stages import OPENVINO, stages
from csflow.runtime.engines.tensorrt.library import planned_flavour
from csflow.runtime.engines.triton.address import EXAMPLE
from csflow.runtime.errors import BackendUnavailable, ConfigError
from csflow.runtime.machine.install import pip_install
from csflow.runtime.options import Option, read_options, switch_option

__all__ = [
    "AUTO",
    "Backend",
    "backends",
    "default_backend",
    "engine_names",
    "load_engine",
    "open_checked",
    "open_engine",
]

AUTO = "auto"
GROUP = "csflow.engines"


@dataclass(frozen=True)
class Backend:
    """How an engine is made."""

    home: str
    """'module:class'; the class takes the bundle, the precision where there is a choice, and the options by name."""
    extra: str
    """What installs its library; empty where nothing is needed."""
    precisions: tuple[str, ...] = ()
    """That may follow its name; the first is the one without."""
    variants: str = ""
    """'module:class' of its `Variants` where the machine chooses the precision."""
    options: dict[str, Option] = field(default_factory=dict)
    """What may stand after the question mark; the class checks the range."""
    address: str = ""
    """An example of the address that follows its name and a colon; empty where it has none."""


_OPENVINO: dict[str, Option] = {"mode": (str, "throughput"), "threads": (int, "2")}
_TENSORRT = "csflow.runtime.engines.tensorrt.engine"
OWN = {
    "openvino": Backend(
        "csflow.runtime.engines.openvino.engine:OpenVINOEngine",
        "openvino",
        OPENVINO,
        "csflow.runtime.engines.openvino.variants:OpenVINOVariants",
        _OPENVINO,
    ),
    "tensorrt": Backend(f"{_TENSORRT}:TensorRTEngine", "tensorrt", ("fp16", "fp32")),
    "tensorrt-rtx": Backend(f"{_TENSORRT}:TensorRTRTXEngine", "tensorrt-rtx", ("fp16", "fp32")),
    "triton": Backend(
        "csflow.runtime.engines.triton.engine:TritonEngine",
        "triton",
        options={"timeout": (float, "10"), "shared": (switch_option, "1")},
        address=EXAMPLE,
    ),
    "fake": Backend("csflow.runtime.engines.fake:FakeEngine", ""),
}


@cache
def backends() -> dict[str, Backend]:
    """Every backend by its name: this package's, then those registered from above, in alphabetical order."""
    above = sorted(entry_points(group=GROUP), key=lambda point: point.name)
    return {**OWN, **{point.name: Backend(f"{point.module}:{point.attr}", "".join(point.extras)) for point in above}}


def engine_names() -> list[str]:
    """Everything that a --backend takes, options left out."""
    names = [AUTO]
    for name, backend in backends().items():
        names.append(f"{name}:{backend.address}" if backend.address else name)
        names += [str(EngineName(name, p)) for p in backend.precisions]
    return names


def default_backend(bundle: Bundle) -> str:
    """What 'auto' means for `bundle`: TensorRT where it has plans for a GPU that is here.

    Whether the other libraries are installed is not asked.
    """
    if flavour := planned_flavour(bundle):
        return flavour
    graphs = stages(bundle.manifest, EngineName("openvino", "fp32"))
    return "openvino" if all(bundle.has(stage.file) for stage in graphs) else "torch"


def open_engine(bundle: Bundle, backend: str = AUTO, calibration: Calibration | None = None) -> Engine:
    """Open `backend` for `bundle` and let it score the golden frames: no engine decides unchecked.

    'auto' takes TensorRT where the bundle has plans for the GPU here, else OpenVINO where it has graphs, else the
    trained weights in torch. 'openvino' chooses its precision itself, 'openvino-fp32', 'openvino-bf16',
    'openvino-int8', or one precision for each graph ('openvino-fp32+bf16') fix it. 'tensorrt' and 'tensorrt-rtx' run
    half-precision plans, with '-fp32' those of float32.
    'torch-fp16' runs the half-precision graphs' modules. Whether the decision gate has passed the engine is not asked
    here: `Detector.open` does.

    Args:
        backend: a name, and options of the backend where it has any: 'openvino?mode=throughput&threads=2'.
        calibration: thresholds; where given, verdicts on the golden frames must not differ either.

    Raises:
        ConfigError: no such backend, or no such option of it.
        BackendUnavailable: its library is not installed; the message names the extra.
        BundleError, BundleCorrupted: the bundle lacks what the backend reads, or it is damaged.
        EngineMismatch: the engine does not agree with the trained model on the golden frames.
    """
    return open_checked(Contents(bundle), backend, calibration)[0]


def open_checked(
    contents: Contents, backend: str = AUTO, calibration: Calibration | None = None
) -> tuple[Engine, GoldenCheck]:
    """`open_engine` for what was read already; also returns how the engine did on the golden frames."""
    engine = _load(contents, backend)
    try:
        return engine, require_golden(engine, contents.golden, calibration)
    except BaseException:
        engine.close()
        raise


def load_engine(bundle: Bundle, backend: str = AUTO) -> Engine:
    """Open `backend` without scoring the golden frames, for the decision gate, which does so itself.

    Raises as `open_engine` does, but for EngineMismatch over golden frames.
    """
    return _load(Contents(bundle), backend)


def _load(contents: Contents, text: str) -> Engine:
    place, _, query = text.partition("?")
    name, colon, address = place.partition(":")
    if name == AUTO:
        name = default_backend(contents.bundle)
    wanted = _wanted(name, len(contents.bundle.manifest.graphs))
    backend = backends()[wanted.backend]
    if bool(colon) != bool(backend.address):
        expected = f"{name}:{backend.address}" if backend.address else f"{name!r} without an address"
        raise ConfigError(f"backend {place!r}: expected {expected}")
    options = _options(wanted.backend, backend, text, query) | ({"address": address} if colon else {})
    try:
        precision = wanted.precision or _precision(contents, backend, options)
        arguments = (contents.bundle, precision) if precision else (contents.bundle,)
        return cast(Engine, _attribute(backend.home)(*arguments, **options))
    except ImportError as error:
        raise BackendUnavailable(
            f"backend {name!r} cannot be loaded ({error}); install it with: {pip_install(backend.extra)}"
        ) from None


def _wanted(text: str, graphs: int) -> EngineName:
    """The engine behind a name; any mixture of a backend's precisions is one."""
    wanted = EngineName(text) if text in backends() else EngineName.parse(text)
    backend = backends().get(wanted.backend)
    known = {part for p in backend.precisions for part in p.split("+")} if backend else set()
    if backend is None or (wanted.precision and not known.issuperset(wanted.precision.split("+"))):
        raise ConfigError(f"no backend {text!r}; choose one of: {', '.join(engine_names())}")
    try:
        wanted.of_graphs(graphs)
    except ValueError as error:
        raise ConfigError(f"{error}: name one, or one for each") from None
    return wanted


def _precision(contents: Contents, backend: Backend, options: dict[str, Any]) -> str:
    if not backend.variants:
        return backend.precisions[0] if backend.precisions else ""
    variants: Variants = _attribute(backend.variants)(contents.bundle, **options)
    return choose_precision(contents, variants)


def _attribute(home: str) -> Any:
    module, _, name = home.partition(":")
    return getattr(importlib.import_module(module), name)


def _options(name: str, backend: Backend, text: str, query: str) -> dict[str, Any]:
    if query and not backend.options:
        raise ConfigError(f"backend {name!r} has no options: leave out what follows the question mark in {text!r}")
    return read_options(text, query, backend.options)
