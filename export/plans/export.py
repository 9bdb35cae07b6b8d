"""Engines as the last step of an export: built where a TensorRT can build, else it is said how to build them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from csflow.export.facts.plan_facts import size_text
from csflow.export.plans.build.config import check_options
from csflow.export.plans.build.log import Report
from csflow.export.plans.build.options import EngineChoice
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.engines.stages import graph_file
from csflow.runtime.engines.tensorrt.library import Library, load_library
from csflow.runtime.engines.tensorrt.plan_record import BuildOptions, PlanRecord
from csflow.runtime.errors import BackendUnavailable, ConfigError

if TYPE_CHECKING:
    from csflow.export.plans.engines import BuildReport

__all__ = ["Builder", "Engines", "export_engines", "has_graphs", "prepare_engines"]


@dataclass(frozen=True)
class Builder:
    """What builds the engines."""

    library: Library | None = None
    """None where none are built."""
    absent: str = ""
    """Why not, and what to do; empty where none were asked for."""


@dataclass(frozen=True)
class Engines:
    """What became of it."""

    records: tuple[PlanRecord, ...] = ()
    skipped: str = ""
    """Why there are none, and what to do; empty where there are, or where none were asked for."""

    def lines(self) -> list[str]:
        """For people."""
        told = [_line(record) for record in self.records]
        return told + ([f"no engines were built: {self.skipped}"] if self.skipped else [])


def _line(record: PlanRecord) -> str:
    share = record.audit.half_in_plan
    # Without layers to read, strong typing is the evidence that the graph's types are the plan's.
    half = (
        f"{share:.1%} of products in half precision ({record.audit.source})" if share is not None else "types as asked"
    )
    return (
        f"engines/{record.flavour}/{record.precision}/{record.graph}.plan: {size_text(record.plan_size)}, "
        f"{record.flavour} {record.version}, {record.build_s:.1f} s, {half}"
    )


def has_graphs(bundle: Bundle, precision: str) -> bool:
    """Whether the bundle holds all graphs of a precision."""
    return all(bundle.has(graph_file(precision, name)) for name in bundle.manifest.graphs)


def prepare_engines(precision: str, choice: EngineChoice) -> Builder:
    """Find what builds the engines of a precision, before minutes go into graphs.

    'auto' builds FP16 engines where a TensorRT can build here; engines of another precision are built for a named
    target only.

    Raises:
        BackendUnavailable: the named target cannot build here.
        ConfigError: an option does not fit it.
    """
    named = choice.target != "auto"
    if precision != "fp16" and not named and choice.options != BuildOptions():
        raise ConfigError("options for engines go with --fp16, or with a --target: add one of them")
    if choice.skip or (precision != "fp16" and not named):
        return Builder()
    try:
        if missing := [name for name in ("onnx", "tqdm") if find_spec(name) is None]:
            raise BackendUnavailable(f"building engines needs {' and '.join(missing)}: pip install {' '.join(missing)}")
        library = load_library(choice.target)
    except BackendUnavailable as error:
        if named:
            raise
        return Builder(absent=str(error))
    check_options(library, choice.options)
    return Builder(library)


def export_engines(bundle: Bundle, precision: str, choice: EngineChoice, builder: Builder, quiet: bool) -> Engines:
    """Build the engines of a precision with what `prepare_engines` found.

    Args:
        quiet: whether no progress is shown.

    Raises as `csflow.export.plans.engines.build_engines` does.
    """
    if builder.library is None:
        return Engines(skipped=builder.absent)
    from csflow.export.plans.engines import build_engines

    return Engines(build_engines(bundle, builder.library, precision, choice.options, _bars(quiet)))


def _bars(quiet: bool) -> BuildReport:
    @contextmanager
    def bar(name: str) -> Iterator[Report]:
        """A bar on stderr with the phase that TensorRT is in; where stderr is no terminal, a line every 10 s."""
        from tqdm import tqdm

        interval = 0.2 if sys.stderr.isatty() else 10.0
        form = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}{postfix}"
        with tqdm(total=1.0, desc=f"{name} plan", bar_format=form, mininterval=interval, disable=quiet) as shown:
            yield lambda share, phase: _advance(shown, share, phase)
            shown.update(1.0 - shown.n)

    return bar


def _advance(bar: Any, share: float, phase: str) -> None:
    bar.set_postfix_str(phase, refresh=False)
    bar.update(share - bar.n)
