"""Checks of one bundle: whether it opens, is calibrated and exported, and which engine would run it here."""

from __future__ import annotations

from pathlib import Path

from csflow.runtime.bundle.calibration import load_calibration
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.doctor.finding import Finding
from csflow.runtime.engines.opening import backends, default_backend
from csflow.runtime.errors import BundleError, CalibrationError
from csflow.runtime.machine.install import pip_install
from csflow.runtime.machine.machine import Machine

__all__ = ["check_bundle"]


def check_bundle(machine: Machine, path: Path) -> list[Finding]:
    """What stands between this bundle and a verdict on this machine."""
    try:
        bundle = Bundle.open(path)
    except BundleError as error:
        return [Finding("bundle", "warning", str(error), "csflow train IMAGES   # or copy the bundle again")]
    held = f"{path} opens, {len(bundle.manifest.files)} files of the right size"
    return [
        Finding("bundle", "ok", held),
        _calibrated(bundle),
        _exported(bundle),
        _engine(machine, bundle),
    ]


def _calibrated(bundle: Bundle) -> Finding:
    fix = f"csflow calibrate GOOD_PARTS --bundle {bundle.path}"
    try:
        calibration = load_calibration(bundle)
    except (CalibrationError, BundleError) as error:
        return Finding("bundle", "warning", str(error), fix)
    if calibration is None:
        return Finding("bundle", "missing", "not calibrated: without thresholds no part is ever OK", fix)
    what = f"calibrated from {len(calibration.scores)} good parts: NOK above {calibration.reject_threshold:.6g}"
    return Finding("bundle", "ok", what)


def _exported(bundle: Bundle) -> Finding:
    graphs = [name for name in bundle.manifest.files if name.startswith("graphs/")]
    if not graphs:
        fix = f"csflow export --bundle {bundle.path}"
        return Finding("bundle", "missing", "not exported: it holds no graphs, only torch can run it", fix)
    return Finding("bundle", "ok", f"exported: {', '.join(graphs)}")


def _engine(machine: Machine, bundle: Bundle) -> Finding:
    backend = default_backend(bundle)
    if machine.module(backend.replace("-", "_")) is None:
        extra = backends()[backend].extra
        what = f"'csflow run' would take the engine {backend}, which is not installed"
        return Finding("bundle", "missing", what, pip_install(extra))
    what = f"'csflow run' would take the engine {backend} and check it on the golden frames first"
    return Finding("bundle", "ok", what)
