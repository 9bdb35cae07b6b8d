"""Whose an unfinished training is, and what is said where it is another's."""

import dataclasses
import errno
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from csflow.runtime.errors import BundleError, ConfigError, SinkError
from csflow.toolkit.methods.unfinished import Unfinished

SETTINGS = {"pictures": "a" * 64, "method": "glad", "head": {"components": 50}, "window": None}


@pytest.fixture
def unfinished(tmp_path: Path) -> Unfinished:
    """With one finished step."""
    made = Unfinished(tmp_path / "fit", "mine", SETTINGS)
    made.begin()
    save_file({"x": torch.zeros(1)}, tmp_path / "fit/mixture_0.safetensors", {"fingerprint": "mine"})
    return made


def test_progress_of_the_same_training_is_gone_on_with(unfinished: Unfinished) -> None:
    unfinished.require_same()


def test_where_nothing_was_kept_other_settings_may_begin(tmp_path: Path) -> None:
    Unfinished(tmp_path, "mine", SETTINGS).begin()
    Unfinished(tmp_path, "other", {"method": "padim"}).require_same()


def test_two_trainings_for_one_bundle_do_not_work_at_once(unfinished: Unfinished) -> None:
    refused = pytest.raises(BundleError, match=r"another training works in .*: wait for it")
    with unfinished.alone(), refused, unfinished.alone():
        raise AssertionError("two at once")
    with unfinished.alone():
        pass


def test_a_place_that_cannot_be_written_is_told(unfinished: Unfinished, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_path: Path) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr("csflow.runtime.atomic.lock_file", fail)
    with pytest.raises(SinkError, match="cannot write"), unfinished.alone():
        pytest.fail("the training has begun")


def test_what_fails_inside_is_not_taken_for_the_lock(unfinished: Unfinished) -> None:
    with pytest.raises(OSError, match="its own"), unfinished.alone():
        raise OSError("its own")


def test_what_differs_is_said(unfinished: Unfinished) -> None:
    settings = {"pictures": "b" * 64, "method": "glad", "head": {"components": 9}, "window": [1, 2]}
    other = dataclasses.replace(unfinished, fingerprint="other", settings=settings)
    with pytest.raises(ConfigError) as caught:
        other.require_same()
    told = "pictures differ, head.components was 50 and is 9, window was none and is [1, 2]"
    assert told in str(caught.value)
    assert "--fresh" in str(caught.value)


def test_many_differences_are_counted(unfinished: Unfinished) -> None:
    other = dataclasses.replace(unfinished, fingerprint="other", settings={str(i): i for i in range(9)})
    with pytest.raises(ConfigError, match="and 8 more"):
        other.require_same()


@pytest.mark.parametrize("settings", [None, b"{"])
def test_progress_of_an_older_csflow_is_refused_without_these_words(
    unfinished: Unfinished, settings: bytes | None
) -> None:
    file = unfinished.folder / "settings.json"
    file.unlink()
    if settings is not None:
        file.write_bytes(settings)
    with pytest.raises(ConfigError, match=r"other images or settings: repeat"):
        dataclasses.replace(unfinished, fingerprint="other").require_same()


def test_damaged_progress_is_refused(unfinished: Unfinished) -> None:
    (unfinished.folder / "mixture_1.safetensors").write_bytes(b"cut off")
    with pytest.raises(ConfigError, match=r"is damaged.*--fresh"):
        unfinished.require_same()
