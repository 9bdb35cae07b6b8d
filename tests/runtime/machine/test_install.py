"""The words that install more of csflow: whatever it was installed from, they name a place that is there."""

from __future__ import annotations

import json
import shlex
from importlib.metadata import PathDistribution
from pathlib import Path

import pytest

from csflow.runtime.machine import install
from csflow.runtime.machine.install import pip_install

COMMIT = "0123456789abcdef0123456789abcdef01234567"
GIT = {"url": "https://git.example/csflow.git", "vcs_info": {"vcs": "git", "commit_id": COMMIT}}


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The metadata folder of the csflow that `pip_install` speaks of."""
    monkeypatch.setattr(install, "distribution", lambda _name: PathDistribution(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ({"url": "file:///home/me/csflow", "dir_info": {}}, ["/home/me/csflow[serve]"]),
        ({"url": "file:///home/me/csflow", "dir_info": {"editable": True}}, ["-e", "/home/me/csflow[serve]"]),
        (
            {"url": "file:///my%20files/csflow-0.1.0-py3-none-any.whl", "archive_info": {}},
            ["/my files/csflow-0.1.0-py3-none-any.whl[serve]"],
        ),
        (GIT, [f"csflow[serve] @ git+https://git.example/csflow.git@{COMMIT}"]),
        (
            {"url": "https://example.org/csflow-0.1.0-py3-none-any.whl", "archive_info": {}},
            ["csflow[serve] @ https://example.org/csflow-0.1.0-py3-none-any.whl"],
        ),
    ],
    ids=["clone", "editable", "wheel", "git", "wheel from a server"],
)
def test_it_names_the_place_that_pip_recorded(installed: Path, record: dict[str, object], words: list[str]) -> None:
    (installed / "direct_url.json").write_text(json.dumps(record))
    assert shlex.split(pip_install("serve")) == ["pip", "install", *words]


@pytest.mark.parametrize("text", [None, "", "{", "[]"])
def test_without_a_record_the_name_is_enough(installed: Path, text: str | None) -> None:
    if text is not None:
        (installed / "direct_url.json").write_text(text)
    assert shlex.split(pip_install("train")) == ["pip", "install", "csflow[train]"]


def test_this_very_csflow_can_be_installed_again() -> None:
    place = shlex.split(pip_install("train"))[-1]
    assert place == "csflow[train]" or Path(place.removesuffix("[train]")).exists()
