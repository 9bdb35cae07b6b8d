"""What a worker does for one product. Its process may be killed at any moment: what is done is recorded last."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch

from csflow.calibration.calibrate import calibrate
from csflow.calibration.metrics import GOOD
from csflow.export.export import ExportRequest, export_bundle
from csflow.export.fleet.products import Entry
from csflow.export.fleet.records import Record, Records, digest_of, pictures_digest
from csflow.export.fleet.sheets import write_sheet
from csflow.export.fleet.task import Outcome, Task
from csflow.export.gate.pictures import choose_samples
from csflow.export.gate.report import gate_files, require_passed
from csflow.export.gate.verify import verify
from csflow.runtime.bundle.calibration import load_calibration
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.golden import load_golden
from csflow.runtime.bundle.verification import MAX_PICTURES, VERIFICATION
from csflow.runtime.engines.opening import default_backend, open_engine
from csflow.runtime.engines.stages import graph_file
from csflow.runtime.errors import (
    BackendUnavailable,
    BundleError,
    CalibrationError,
    ConfigError,
    CSFlowError,
    DataError,
    EngineMismatch,
)
from csflow.runtime.schema import to_mapping
from csflow.toolkit.choosing.settings import AUTO, choose_beside
from csflow.toolkit.data.dataset import Dataset, Sample
from csflow.toolkit.evaluation.evaluation import evaluate
from csflow.toolkit.plan import SharedFeatures, TrainPlan
from csflow.toolkit.train_model import train_model

__all__ = ["perform"]

FINAL = (ConfigError, DataError, CalibrationError, BundleError, EngineMismatch, BackendUnavailable)
"""What would end the same at another try."""
NOT_OF_TRAINING = (
    "false_reject_rate",
    "confidence",
    "warn_rate",
    "keep_outliers",
    "backend",
    "fp16",
    "cores",
    "gpus",
    "bundle",
    "number",
    "preset",
)
"""Settings that change nothing about the trained model."""


def perform(task: Task) -> Outcome:
    """Do one thing for one product, with the threads that it may use; never raises. Its log tells what happened."""
    torch.set_num_threads(task.product.entry.cores)
    began = time.perf_counter()
    records = Records(task.work)
    records.log(task.product).parent.mkdir(parents=True, exist_ok=True)
    with records.log(task.product).open("a", encoding="utf-8") as file:
        log = _Log(file)
        log.say(f"{task.verb} {task.product.name}")
        try:
            skipped = _done(_Job.of(task, records, log), began)
            outcome = Outcome(seconds=time.perf_counter() - began, skipped=skipped)
        except CSFlowError as error:
            outcome = Outcome(" ".join(str(error).split()), isinstance(error, FINAL), time.perf_counter() - began)
        except Exception as error:  # noqa: BLE001 - whatever it is, the other products go on
            file.write(traceback.format_exc())
            outcome = Outcome(f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")
        log.say(outcome.problem or ("nothing to do" if outcome.skipped else "done"))
    return outcome


class _Log:
    """A reporter that writes lines with their time, and shows no bars."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def say(self, line: str) -> None:
        self._file.write(f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%SZ} {line}\n")
        self._file.flush()

    @contextmanager
    def images(self, total: int, label: str = "features") -> Iterator[Callable[[int], None]]:
        self.say(f"{label}: {total} pictures")
        yield lambda _count: None

    @contextmanager
    def epochs(self, _total: int) -> Iterator[Callable[[int, float], None]]:
        yield lambda done, loss: self.say(f"epoch {done}, loss {loss:.4f}")


@dataclass
class _Job:
    task: Task
    records: Records
    log: _Log
    dataset: Dataset
    record: Record = field(default_factory=Record)

    @classmethod
    def of(cls, task: Task, records: Records, log: _Log) -> _Job:
        dataset = task.product.settings.dataset(task.product.images)
        for line in dataset.lines():
            log.say(line)
        return cls(task, records, log, dataset, records.read(task.product))

    @property
    def path(self) -> Path:
        return self.task.product.bundle

    def bundle(self) -> Bundle:
        try:
            return Bundle.open(self.path)
        except BundleError as error:
            raise type(error)(f"{error}; 'csflow fleet train' makes it") from None

    def digest(self, samples: tuple[Sample, ...]) -> str:
        return pictures_digest(self.dataset.root, [sample.path for sample in samples])

    def settings(self, *names: str) -> dict[str, Any]:
        """Of the product, by name; none named: those that make the trained model, as far as they are no defaults.

        So a setting that a later csflow has besides makes nobody's products anew.
        """
        values, defaults = to_mapping(self.task.product.entry), to_mapping(Entry(images=""))
        if names:
            return {name: values[name] for name in names}
        return {n: v for n, v in values.items() if n not in NOT_OF_TRAINING and v != defaults[n]}

    def engine_text(self, bundle: Bundle) -> str:
        """The line's engine, where it is OpenVINO with the cores of this product."""
        asked = self.task.product.entry.backend
        name = default_backend(bundle) if asked == "auto" else asked
        threads = name.startswith("openvino") and "?" not in name
        return f"{name}?threads={self.task.product.entry.cores}" if threads else name


def _done(job: _Job, began: float) -> bool:
    """Do it, unless it was done before; returns whether it was."""
    key_of, holds, act = _VERBS[job.task.verb]
    key = key_of(job)
    if not job.task.fresh and job.record.keys.get(job.task.verb) == key and holds(job):
        return True
    act(job, key)
    job.record = job.record.with_done(job.task.verb, key, round(time.perf_counter() - began, 3))
    job.records.write(job.task.product, job.record)
    return False


def _train_key(job: _Job) -> str:
    region = job.task.product.settings.region
    held = Path(region).read_text(encoding="utf-8") if region else ""
    return digest_of(job.settings(), held, job.digest(job.dataset.train))


def _trained(job: _Job) -> bool:
    """Whether the bundle of that training is there, whole: every file is hashed."""
    try:
        bundle = Bundle.open(job.path)
        bundle.verify()
    except BundleError:
        return False
    return bundle.weights_sha256 == job.record.weights_sha256


def _train(job: _Job, key: str) -> None:
    fresh = job.task.fresh or job.record.begun != key
    job.record = replace(job.record, begun=key, chosen="")
    job.records.write(job.task.product, job.record)
    shared = None if job.task.shared is None else SharedFeatures(*job.task.shared)
    bundle = train_model(job.dataset, job.path, _plan(job), job.log, fresh, shared)
    spread = load_golden(bundle).spread
    job.record = replace(
        job.record,
        weights_sha256=bundle.weights_sha256,
        auroc=_looked_at(job, bundle),
        good=spread,
        good_of=bundle.manifest.provenance["training"]["good_scores"] if spread else "",
    )


def _plan(job: _Job) -> TrainPlan:
    plans = job.task.product.settings.plans()
    if job.task.product.entry.method != AUTO:
        return next(iter(plans.values()))
    choice = choose_beside(job.path, job.dataset, plans, job.log)
    for line in choice.lines():
        job.log.say(line)
    job.record = replace(job.record, chosen=choice.chosen.method)
    return choice.chosen.plan


def _looked_at(job: _Job, bundle: Bundle) -> float | None:
    """Image AUROC where there are test pictures of both kinds; writes the sheet."""
    labels = {sample.label for sample in job.dataset.test}
    with open_engine(bundle, "torch") as engine:
        both = GOOD in labels and len(labels) > 1
        evaluation = evaluate(bundle, job.dataset, engine) if both else None
        write_sheet(job.records.sheet(job.task.product), bundle, job.dataset, engine, evaluation)
    return None if evaluation is None else evaluation.image_auroc


def _calibrate_key(job: _Job) -> str:
    return digest_of(
        job.settings("false_reject_rate", "confidence", "warn_rate", "keep_outliers", "backend", "any_size"),
        job.bundle().weights_sha256,
        job.digest(_unseen(job)),
    )


def _unseen(job: _Job) -> tuple[Sample, ...]:
    good = tuple(sample for sample in job.dataset.calibration if sample.label == GOOD)
    if not good:
        raise DataError(f"{job.dataset.root}: no good pictures for thresholds: bring some, or say set_aside")
    return good


def _calibrated(job: _Job) -> bool:
    try:
        return load_calibration(job.bundle()) is not None
    except CalibrationError:
        return False


def _calibrate(job: _Job, _key: str) -> None:
    bundle, entry = job.bundle(), job.task.product.entry
    paths = [sample.path for sample in _unseen(job)]
    with open_engine(bundle, job.engine_text(bundle)) as engine:
        any_size = entry.any_size or job.dataset.any_size
        rates = (entry.false_reject_rate, entry.confidence, entry.warn_rate)
        report = calibrate(bundle, paths, engine, *rates, any_size=any_size, keep_outliers=entry.keep_outliers)
    for line in report.warnings:
        job.log.say(f"WARNING: {line}")


def _export_key(job: _Job) -> str:
    return digest_of(job.settings("fp16"), job.bundle().weights_sha256)


def _exported(job: _Job) -> bool:
    bundle = job.bundle()
    return all(bundle.has(graph_file("fp32", graph)) for graph in bundle.manifest.graphs)


def _export(job: _Job, _key: str) -> None:
    report = export_bundle(job.path, ExportRequest(fp16=job.task.product.entry.fp16), quiet=True)
    for line in (*report.graph_lines(), *report.engine_lines()):
        job.log.say(line)
    report.require_passed()


def _verify_key(job: _Job) -> str:
    bundle = job.bundle()
    graphs = {name: entry.sha256 for name, entry in bundle.manifest.files.items() if name.startswith("graphs/")}
    thresholds = (bundle.read_calibration() or b"").decode(errors="replace")
    pictures = job.digest(choose_samples(job.dataset, MAX_PICTURES))
    return digest_of(job.settings("backend"), bundle.weights_sha256, graphs, thresholds, pictures)


def _verified(job: _Job) -> bool:
    return job.bundle().has(VERIFICATION)


def _verify(job: _Job, _key: str) -> None:
    bundle, backend = job.bundle(), job.task.product.entry.backend
    named = () if backend == "auto" else (job.engine_text(bundle),)
    samples = choose_samples(job.dataset, MAX_PICTURES)
    folder = str(job.dataset.root)
    report = verify(bundle, load_calibration(bundle), named, samples, folder, job.log.images)
    bundle.update(gate_files(bundle, report))
    job.record = replace(job.record, passed=tuple(name for name, found in report.records.items() if found.passed))
    if not report.records:
        raise BackendUnavailable(f"no engine runs here: {'; '.join(report.left_out.values())}")
    require_passed(report)


_VERBS: dict[str, tuple[Callable[[_Job], str], Callable[[_Job], bool], Callable[[_Job, str], None]]] = {
    "train": (_train_key, _trained, _train),
    "calibrate": (_calibrate_key, _calibrated, _calibrate),
    "export": (_export_key, _exported, _export),
    "verify": (_verify_key, _verified, _verify),
}
"""By verb: what it is done from, whether its outcome is there, and how it is done."""
