"""Records beside plans: read strictly, and a plan that is not for this machine or graph is refused in words."""

from __future__ import annotations

import hashlib
import json
import platform
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from csflow.runtime.engines.tensorrt.plan_header import PlanHeader
from csflow.runtime.engines.tensorrt.plan_record import (
    BuildOptions,
    PlanAudit,
    PlanRecord,
    check_plan,
    plan_path,
    read_plan,
    read_record,
    record_path,
)
from csflow.runtime.errors import EngineError, EngineMismatch

ONNX, OTHER = "a" * 64, "b" * 64
DATA = b"ftrt" + bytes(20) + bytes([10, 3, 0, 26]) + bytes(36)
ORIN = PlanRecord(
    graph="flow",
    precision="fp16",
    onnx_sha256=ONNX,
    plan_sha256=hashlib.sha256(DATA).hexdigest(),
    plan_size=len(DATA),
    flavour="tensorrt",
    version="10.3.0",
    gpu="Orin (nvgpu)",
    compute_capabilities=("8.7",),
    machine=platform.machine(),
    options=BuildOptions(workspace=1 << 30),
    audit=PlanAudit(1.0, 0.998, "engine inspector"),
    build_s=71.5,
    created_utc="2026-11-22T08:00:00Z",
)
ORIN_HEADER = PlanHeader("tensorrt", (10, 3, 0, 26), None)
RTX_GPUS = ("8.0", "8.6", "12.0", "12.1", "above 12.0")
RTX = replace(ORIN, flavour="tensorrt-rtx", version="1.7.1.116", gpu=None, compute_capabilities=RTX_GPUS)
RTX_HEADER = PlanHeader("tensorrt-rtx", (1, 7, 1, 116), RTX_GPUS)


def check(record: PlanRecord = ORIN, header: PlanHeader = ORIN_HEADER, **here: Any) -> None:
    own = {"library_version": record.version, "gpu_cc": "8.7", "onnx_sha256": ONNX, "flavour": record.flavour}
    check_plan(record, header, **{**own, **here})


def check_rtx(**here: Any) -> None:
    check(RTX, RTX_HEADER, **{"gpu_cc": "8.6", **here})


def test_a_record_is_read_back(tmp_path: Path) -> None:
    plan = plan_path(tmp_path, "tensorrt", "fp16", "flow")
    plan.parent.mkdir(parents=True)
    record_path(plan).write_bytes(ORIN.to_bytes())
    assert str(record_path(plan).relative_to(tmp_path)) == "engines/tensorrt/fp16/flow.plan.json"
    assert read_record(plan) == ORIN


def test_what_fits_is_taken() -> None:
    check()
    check(library_version="10.3.0.26")
    for capability in ("8.0", "8.6", "12.0", "12.1", "12.3", "13.0"):
        check_rtx(gpu_cc=capability)


@pytest.mark.parametrize(
    ("here", "message"),
    [
        ({"onnx_sha256": OTHER}, r"was built from another graph \(ONNX aaaaaaaaaaaa\) than graphs/fp16/flow\.onnx"),
        ({"library_version": "10.7.0"}, r"was built by tensorrt 10\.3\.0\.26, the library here is 10\.7\.0"),
        ({"library_version": "10.3.1"}, "versions do not mix"),
        ({"gpu_cc": "8.9"}, r"is for GPUs of compute capability 8\.7, this one has 8\.9"),
        ({"gpu_cc": None}, "needs an NVIDIA GPU, and none was found"),
        (
            {"flavour": "tensorrt-rtx", "library_version": "1.7.1.116"},
            "is of tensorrt, the library here is tensorrt-rtx",
        ),
        ({"header": replace(ORIN_HEADER, version=(10, 13, 0, 1))}, "and its record do not belong together"),
        ({"header": RTX_HEADER}, "and its record do not belong together"),
        ({"record": replace(ORIN, machine="riscv64")}, "was built on riscv64"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(here: dict[str, Any], message: str) -> None:
    with pytest.raises(EngineMismatch, match=message) as caught:
        check(**here)
    assert "build it again on this machine with 'csflow export --fp16'" in str(caught.value)


@pytest.mark.parametrize("capability", ["7.5", "8.7", "8.9", "9.0", "11.0"])
def test_rtx_runs_on_the_gpus_of_its_header(capability: str) -> None:
    with pytest.raises(EngineMismatch, match=r"8\.0, 8\.6, 12\.0"):
        check_rtx(gpu_cc=capability)


def test_compatible_plans() -> None:
    ampere = replace(ORIN, options=BuildOptions(hardware_compatible="ampere-plus"))
    for capability in ("8.0", "8.9", "12.0"):
        check(ampere, gpu_cc=capability)
    with pytest.raises(EngineMismatch, match=r"this one has 7\.5"):
        check(ampere, gpu_cc="7.5")
    lasting = replace(ORIN, options=BuildOptions(version_compatible=True))
    check(lasting, library_version="11.4.0")
    with pytest.raises(EngineMismatch, match="versions do not mix"):
        check(lasting, library_version="10.1.0")


def lay_out(folder: Path, data: bytes = DATA, record: PlanRecord | None = ORIN) -> Path:
    plan = folder / "flow.plan"
    plan.write_bytes(data)
    if record is not None:
        record_path(plan).write_bytes(record.to_bytes())
    return plan


HERE = {"flavour": "tensorrt", "library_version": "10.3.0", "gpu_cc": "8.7", "onnx_sha256": ONNX}


def test_a_plan_is_read_when_it_is_what_was_built(tmp_path: Path) -> None:
    assert read_plan(lay_out(tmp_path), **HERE) == (ORIN, DATA)  # type: ignore[arg-type]


@pytest.mark.parametrize("damage", ["flipped", "no record", "no plan", "other", "cut"])
def test_damage_is_refused_in_words(tmp_path: Path, damage: str) -> None:
    flipped = DATA[:-1] + b"\1"
    data = {"flipped": flipped, "cut": DATA[:20], "other": b"GIF89a" + DATA}.get(damage, DATA)
    plan = lay_out(tmp_path, data, None if damage == "no record" else ORIN)
    if damage == "no plan":
        plan.unlink()
    with pytest.raises(EngineError, match=r"SHA-256 differs|is missing|there is no plan|no TensorRT plan|cut off"):
        read_plan(plan, **HERE)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format_version": 2}, "update csflow"),
        ({"flavour": "tensorflow"}, "flavour is none"),
        ({"onnx_sha256": "xyz"}, "64 hexadecimal digits"),
        ({"colour": 1}, "unknown key"),
        ({"options": {"batch": [4, 2, 1]}}, "do not fall"),
        ({"options": {"optimization_level": 9}}, "0 to 5"),
        ({"options": {"hardware_compatible": "all"}}, "must be one of"),
        ({"options": {"workspace": 0}}, "workspace must be 1 or more"),
        ({"options": {"dla_core": -1}}, "dla_core 0 or more"),
        ({"build_s": "fast"}, "expected float"),
    ],
)
def test_records_are_read_strictly(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    plan = lay_out(tmp_path)
    record_path(plan).write_text(json.dumps({**json.loads(ORIN.to_bytes()), **change}))
    with pytest.raises(EngineError, match=message):
        read_record(plan)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "NaN"])
def test_a_record_that_is_no_record(tmp_path: Path, text: str) -> None:
    plan = lay_out(tmp_path)
    record_path(plan).write_text(text)
    with pytest.raises(EngineError, match="csflow export --fp16"):
        read_record(plan)
