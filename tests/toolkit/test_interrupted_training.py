"""What an interruption or a refusal leaves: nothing half-made, and progress to go on with."""

import dataclasses
import os
import shutil
import types
from pathlib import Path
from typing import Any

import pytest
from safetensors import SafetensorError

from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.errors import BundleError, ConfigError, DataError, SinkError
from csflow.toolkit.data.dataset import load_dataset
from csflow.toolkit.methods.reporter import Silent
from csflow.toolkit.train_model import train_model

from .quick_training import Counts, Stops, plan


def test_interrupted_training_leaves_no_bundle_and_resumes_to_the_same_weights(
    tmp_path: Path, product_line: Path, random_weights: Path
) -> None:
    dataset = load_dataset(product_line)
    straight = train_model(dataset, tmp_path / "straight", plan(random_weights), Silent())
    target = tmp_path / "interrupted"
    stops = Stops()
    with pytest.raises(KeyboardInterrupt):
        train_model(dataset, target, plan(random_weights), stops)
    assert not target.exists()
    checkpoint = Path(f"{target}.training/fit/checkpoint.safetensors")
    assert checkpoint.is_file()
    counts = Counts()
    resumed = train_model(dataset, target, plan(random_weights), counts)
    # A resumed training reports the epochs it did not have to repeat before it goes on.
    assert counts.done in ([1, 2, 3, 4], [2, 3, 4])
    assert not checkpoint.exists()
    assert resumed.weights_sha256 == straight.weights_sha256


def test_second_training_takes_features_from_the_cache(
    tmp_path: Path, product_line: Path, random_weights: Path
) -> None:
    dataset = load_dataset(product_line)
    train_model(dataset, tmp_path / "b", plan(random_weights), Silent())
    stops = Stops()
    with pytest.raises(KeyboardInterrupt):
        train_model(dataset, tmp_path / "b", plan(random_weights, seed=1), stops)
    assert any("taken from" in line for line in stops.lines)
    Bundle.open(tmp_path / "b").verify()


def test_unfinished_training_of_other_settings_needs_fresh_and_is_refused_before_any_work(
    tmp_path: Path, product_line: Path, random_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = load_dataset(product_line)
    with pytest.raises(KeyboardInterrupt):
        train_model(dataset, tmp_path / "b", plan(random_weights), Stops())
    shutil.rmtree(tmp_path / "b.training/features")
    other = dataclasses.replace(plan(random_weights, seed=1), roi=(0, 0, 100, 90))
    with monkeypatch.context() as patched:
        patched.setattr("csflow.toolkit.train_model.extract_features", lambda *_: pytest.fail("work began"))
        with pytest.raises(
            ConfigError, match=r"\(roi was none and is \[0, 0, 100, 90\], seed was 0 and is 1\).*--fresh"
        ):
            train_model(dataset, tmp_path / "b", other, Silent())
    train_model(dataset, tmp_path / "b", other, Silent(), fresh=True)


def test_target_that_is_no_bundle_is_refused_before_any_work(tmp_path: Path, product_line: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    with pytest.raises(BundleError, match="is no bundle"):
        train_model(load_dataset(product_line), tmp_path / "mine", plan(Path("never/read")), Silent())


def test_full_disk_is_one_error_in_words(
    tmp_path: Path, product_line: Path, random_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("csflow.toolkit.tensor_file.save_file", full)
    with pytest.raises(SinkError, match="free the disk"):
        train_model(load_dataset(product_line), tmp_path / "b", plan(random_weights), Silent())
    assert not (tmp_path / "b").exists()


class Refuses(Silent):
    """Ends the test where the work starts."""

    def images(self, _total: int) -> Any:  # type: ignore[override]
        """Fail."""
        raise AssertionError("the work began")


def test_what_can_fail_at_the_end_is_tried_at_the_beginning(
    tmp_path: Path, product_line: Path, random_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "images"
    shutil.copytree(product_line, root)
    for defect in (root / "test").iterdir():
        if defect.name != "good":
            for picture in defect.iterdir():
                picture.write_bytes(b"no picture")
    with pytest.raises(DataError, match="not a picture"):
        train_model(load_dataset(root), tmp_path / "b", plan(random_weights), Refuses())
    monkeypatch.setattr(shutil, "disk_usage", lambda _: types.SimpleNamespace(free=1000))
    with pytest.raises(SinkError, match=r"needs .* MB, 0 MB are free"):
        train_model(load_dataset(product_line), tmp_path / "b", plan(random_weights), Refuses())
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(BundleError, match="may not be written"):
        train_model(load_dataset(product_line), tmp_path / "b", plan(random_weights), Refuses())
    assert not (tmp_path / "b").exists()
