"""TensorRT plans of a bundle: built from its graphs, audited, and put in place all together or not at all.

No manifest names them: plans belong to the device that built them, and a bundle copied without `engines/` opens.
Each plan is bound to its graph by the hash in its record, and to its record by its own hash.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from csflow.export.plans.build.config import check_options
from csflow.export.plans.build.log import Report
from csflow.export.plans.build.memory import require_disk, require_memory
from csflow.export.plans.graph_products import graph_products
from csflow.export.plans.plan import BuiltPlan, build_plan
from csflow.export.plans.precision_audit import audit_plan, require_half_graph, require_turing_graph
from csflow.runtime.atomic import atomic_file, sync_directory, write_atomic
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.engines.stages import graph_file
from csflow.runtime.engines.tensorrt.library import Library
from csflow.runtime.engines.tensorrt.plan_header import HEADER_BYTES, parse_plan_header
from csflow.runtime.engines.tensorrt.plan_record import (
    BuildOptions,
    PlanAudit,
    PlanRecord,
    graph_names,
    plan_path,
    record_path,
)
from csflow.runtime.errors import BundleError
from csflow.runtime.machine.machine import Machine

__all__ = ["BuildReport", "build_engines"]

PLAN_PER_ONNX_BYTE = 1.3
"""A plan holds the weights of its graph, and its kernels: more for a small graph, which is small."""
STAGING = ".engines."
BuildReport = Callable[[str], contextlib.AbstractContextManager[Report]]
"""Called with a graph's name; gives where the build's progress goes."""


@dataclass(frozen=True)
class _Work:
    bundle: Bundle
    library: Library
    precision: str
    options: BuildOptions
    machine: Machine


def build_engines(
    bundle: Bundle,
    library: Library,
    precision: str,
    options: BuildOptions,
    report: BuildReport,
    machine: Machine | None = None,
) -> tuple[PlanRecord, ...]:
    """Build the graphs of graphs/<precision>/ into engines/<flavour>/<precision>/ and record how.

    They are those of the manifest, and the resize of each camera format.

    Whatever fails, and whenever it is interrupted, the plans that were there before are there still.

    Raises:
        BundleError, BundleCorrupted: the bundle has no such graphs, or they are not what was written.
        ConfigError: an option does not fit this TensorRT or this machine, or a graph is no ONNX model.
        EngineError: memory does not suffice, TensorRT refused, or the plan is not in the precision of its graph.
        SinkError: the disk is too small.
        KeyboardInterrupt: Ctrl-C.
        OSError: as the file system does.
    """
    names = {name: graph_file(precision, name) for name in graph_names(bundle, precision)}
    if missing := [name for name in names.values() if not bundle.has(name)]:
        raise BundleError(f"bundle {bundle.path} has no {missing[0]}: run 'csflow export --{precision}' where torch is")
    check_options(library, options)
    if library.flavour == "tensorrt-rtx" and "7.5" in options.compute_capabilities:
        # Before the first build, not after minutes of it.
        for file in names.values():
            require_turing_graph(graph_products(bundle.read(file), str(bundle.path / file)), file)
    work = _Work(bundle, library, precision, options, machine or Machine())
    sizes = {name: bundle.manifest.files[file].size for name, file in names.items()}
    with _staging(bundle.path) as folder:
        require_disk(folder, int(sum(sizes.values()) * PLAN_PER_ONNX_BYTE), work.machine)
        records = tuple(_stage(work, name, folder, report) for name in names)
        _commit(work, folder)
    return records


def _stage(work: _Work, name: str, folder: Path, report: BuildReport) -> PlanRecord:
    file = graph_file(work.precision, name)
    size = work.bundle.manifest.files[file].size
    require_memory(name, size, work.library, work.options.workspace, work.machine)
    onnx = work.bundle.read(file)
    products = graph_products(onnx, str(work.bundle.path / file))
    if work.precision == "fp16":
        require_half_graph(products, file)
    with report(name) as share:
        built = build_plan(work.library, name, onnx, work.options, share)
    audit = audit_plan(products, built.layers, built.source, f"the {name} plan of {work.library.title}")
    record = _record(work, name, built, hashlib.sha256(onnx).hexdigest(), audit)
    plan = folder / f"{name}.plan"
    with atomic_file(plan) as out:
        out.write(built.data)
    write_atomic(record_path(plan), record.to_bytes())
    return record


def _record(work: _Work, name: str, built: BuiltPlan, onnx_sha256: str, audit: PlanAudit) -> PlanRecord:
    device, size = work.library.device, built.data.nbytes
    header = parse_plan_header(bytes(built.data[:HEADER_BYTES]), size, f"what {work.library.title} built")
    own = (device.compute_capability,) if device is not None else ()
    return PlanRecord(
        graph=name,
        precision=work.precision,
        onnx_sha256=onnx_sha256,
        plan_sha256=hashlib.sha256(built.data).hexdigest(),
        plan_size=size,
        flavour=work.library.flavour,
        version=work.library.version,
        gpu=device.name if device is not None else None,
        compute_capabilities=own if header.compute_capabilities is None else header.compute_capabilities,
        machine=platform.machine(),
        options=work.options,
        audit=audit,
        build_s=round(built.build_s, 3),
        created_utc=datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
    )


@contextlib.contextmanager
def _staging(bundle: Path) -> Iterator[Path]:
    """A folder for new plans on the bundle's file system; gone afterwards, with what killed builds left."""
    for leftover in bundle.glob(f"{STAGING}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    root = Path(tempfile.mkdtemp(prefix=STAGING, dir=bundle))
    try:
        # mkdtemp makes folders for this user only; the plans are for all who may read the bundle.
        (root / "plans").mkdir()
        yield root / "plans"
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _commit(work: _Work, folder: Path) -> None:
    """Put new plans and records in place as one folder: killed in between, the bundle has no plans, never half."""
    target = plan_path(work.bundle.path, work.library.flavour, work.precision, "").parent
    old = folder.with_name("old")
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        os.rename(target, old)
    try:
        os.rename(folder, target)
    except OSError:
        if old.exists():
            os.rename(old, target)
        raise
    sync_directory(target.parent)
