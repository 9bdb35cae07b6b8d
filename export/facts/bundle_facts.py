"""What a bundle holds: configuration, thresholds, provenance, golden frames, files and whether they are whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from csflow.export.facts.plan_facts import bundle_plan_text, size_text
from csflow.runtime.bundle.calibration import load_calibration
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.golden import GOLDEN, GoldenFrame, load_golden
from csflow.runtime.bundle.manifest import Definitions, FileEntry, Preprocessing
from csflow.runtime.engines.tensorrt.plan_header import is_plan
from csflow.runtime.errors import BundleCorrupted, CSFlowError

__all__ = ["BundleFacts", "FileFacts", "Thresholds", "bundle_facts", "bundle_lines"]

T = TypeVar("T")


@dataclass(frozen=True)
class FileFacts:
    """One hashed file."""

    name: str
    size: int
    """Bytes."""
    sha256: str
    """As the manifest states it."""
    state: str
    """'verified', 'damaged', or 'not checked'."""


@dataclass(frozen=True)
class Thresholds:
    """calibration.json without the single scores."""

    warn: float
    reject: float
    false_reject_rate: float
    confidence: float
    bound: float
    parts: int
    """Good parts that gave the thresholds."""
    backend: str
    created_utc: str


@dataclass(frozen=True)
class BundleFacts:
    """A bundle, as far as it can be read; `problems` says what could not."""

    path: str
    format_version: int
    size: int
    """Bytes of all hashed files."""
    weights_sha256: str
    """Identity of the trained model."""
    method: str
    graphs: tuple[str, ...]
    """In running order."""
    preprocessing: Preprocessing
    definitions: Definitions
    model: dict[str, Any]
    provenance: dict[str, Any]
    thresholds: Thresholds | None
    golden: tuple[GoldenFrame, ...]
    plans: dict[str, str]
    """Plan in engines/, whether the manifest names it or not: what its header says."""
    files: tuple[FileFacts, ...]
    problems: tuple[str, ...]


def bundle_facts(path: Path, verify: bool = True) -> BundleFacts:
    """Read a bundle; damaged contents are listed, not raised.

    Raises BundleError, BundleVersionError or BundleCorrupted when it does not open (`Bundle.open`).
    """
    bundle = Bundle.open(path)
    problems: list[str] = []
    manifest = bundle.manifest
    files = tuple(_file(bundle, name, entry, verify) for name, entry in manifest.files.items())
    return BundleFacts(
        path=str(path),
        format_version=manifest.format_version,
        size=sum(file.size for file in files),
        weights_sha256=bundle.weights_sha256,
        method=manifest.method,
        graphs=manifest.graphs,
        preprocessing=manifest.preprocessing,
        definitions=manifest.definitions,
        model=manifest.model,
        provenance=manifest.provenance,
        thresholds=_or_problem(lambda: _thresholds(bundle), problems),
        golden=_or_problem(lambda: _golden(bundle), problems) or (),
        plans=_plans(bundle),
        files=files,
        problems=tuple(problems),
    )


def _or_problem(read: Callable[[], T], problems: list[str]) -> T | None:
    try:
        return read()
    except CSFlowError as error:
        problems.append(str(error))
        return None


def _file(bundle: Bundle, name: str, entry: FileEntry, verify: bool) -> FileFacts:
    state = "not checked"
    if verify:
        try:
            bundle.read(name)
            state = "verified"
        except BundleCorrupted:
            state = "damaged"
    return FileFacts(name, entry.size, entry.sha256, state)


def _thresholds(bundle: Bundle) -> Thresholds | None:
    found = load_calibration(bundle)
    if found is None:
        return None
    return Thresholds(
        found.warn_threshold,
        found.reject_threshold,
        found.false_reject_rate,
        found.confidence,
        found.bound,
        len(found.scores),
        found.backend,
        found.created_utc,
    )


def _golden(bundle: Bundle) -> tuple[GoldenFrame, ...]:
    return tuple(frame for _, frame in load_golden(bundle)) if bundle.has(GOLDEN) else ()


def _plans(bundle: Bundle) -> dict[str, str]:
    # Engines are made on the device, after the bundle's manifest.
    found = sorted(p for p in (bundle.path / "engines").rglob("*") if p.is_file())
    hashes = {name: entry.sha256 for name, entry in bundle.manifest.files.items()}
    return {str(p.relative_to(bundle.path)): bundle_plan_text(p, hashes) for p in found if _begins_as_plan(p)}


def _begins_as_plan(path: Path) -> bool:
    with path.open("rb") as file:
        return is_plan(file.read(4))


def bundle_lines(facts: BundleFacts) -> list[str]:
    """The facts as lines for a terminal."""
    return [
        f"{facts.path}: bundle, format {facts.format_version}, {len(facts.files)} files, {size_text(facts.size)}",
        *_section("model", _model_lines(facts)),
        *_section("thresholds", _threshold_lines(facts.thresholds)),
        *_section("provenance", _flat(facts.provenance)),
        *_section("golden frames", [f"{g.file}  {g.label}  score {g.score:.6g}" for g in facts.golden] or ["none"]),
        *_section("plans", [f"{name}: {text}" for name, text in facts.plans.items()]),
        *_section("files", _file_lines(facts.files)),
        *_section("problems", list(facts.problems)),
    ]


def _section(title: str, lines: list[str]) -> list[str]:
    return [title, *(f"  {line}" for line in lines)] if lines else []


def _model_lines(facts: BundleFacts) -> list[str]:
    how = facts.preprocessing
    roi = "whole image" if how.roi is None else "x={} y={} {}x{} px".format(*how.roi)
    return [
        f"identity: {facts.weights_sha256[:16]}",
        f"method: {facts.method}, graphs {', '.join(facts.graphs)}",
        f"input: {how.image_size} x {how.image_size} px {how.colour}, from {roi}, by {how.resize}{_cut(how)}",
        *_exposure_lines(how),
        *_align_lines(how),
        f"score: {facts.definitions.score}, anomaly map: {facts.definitions.anomaly_map}",
        *_flat(facts.model),
    ]


def _exposure_lines(how: Preprocessing) -> list[str]:
    return [] if how.exposure is None else [f"exposure: the median of every picture is brought to {how.exposure}"]


def _align_lines(how: Preprocessing) -> list[str]:
    found = how.align
    return [f"aligned: by {found.model}, correlation at least {found.floor / 1000:g}"] if found else []


def _cut(how: Preprocessing) -> str:
    ignored = f", {len(how.ignore)} rectangles ignored" if how.ignore else ""
    if how.tiles is None:
        return ignored
    looks = f", {how.looks} of them looked at again" if how.looks else ""
    return f", in tiles of {how.tiles[0]} px that overlap by {how.tiles[1]}{looks}{ignored}"


def _threshold_lines(thresholds: Thresholds | None) -> list[str]:
    if thresholds is None:
        return ["none: run 'csflow calibrate' with good parts"]
    return [
        f"OK up to {thresholds.warn:.6g}, UNCERTAIN up to {thresholds.reject:.6g}, NOK above",
        f"at most {thresholds.bound:.3%} of good parts rejected with {thresholds.confidence:.0%} confidence "
        f"(asked for {thresholds.false_reject_rate:.3%})",
        f"from {thresholds.parts} good parts by {thresholds.backend}, {thresholds.created_utc}",
    ]


def _flat(values: dict[str, Any], prefix: str = "") -> list[str]:
    """Nested mappings as 'a.b: value', one a line."""
    lines = []
    for key, value in values.items():
        if isinstance(value, dict):
            lines += _flat(value, f"{prefix}{key}.")
        else:
            lines.append(f"{prefix}{key}: {value if isinstance(value, str) else json.dumps(value)}")
    return lines


def _file_lines(files: tuple[FileFacts, ...]) -> list[str]:
    width = max((len(file.name) for file in files), default=0)
    return [f"{f.name:<{width}}  {size_text(f.size):>9}  {f.sha256[:16]}  {f.state}" for f in files]
