"""A deploy that ends at any step leaves the old bundle in use, or the new one, tested."""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from csflow.runtime import atomic
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.cli.main import main
from csflow.runtime.detector import Detector
from csflow.runtime.errors import BundleCorrupted, BundleError, ConfigError, InferenceError
from csflow.runtime.pack import archive, store
from csflow.runtime.pack.archive import pack
from csflow.runtime.pack.place import Place
from csflow.runtime.pack.store import LOG, Store

MakePack = Callable[[float], Path]


def passes(_: Bundle) -> None:
    """Every bundle may decide."""


@pytest.fixture
def make_pack(calibrated_bundle: Bundle, pair: Any, tmp_path: Path) -> MakePack:
    """`make_pack(threshold)`: the bundle with this reject threshold, as a signed pack."""

    def make(threshold: float) -> Path:
        settings = json.loads(calibrated_bundle.read_calibration() or b"")
        settings["reject_threshold"] = threshold
        calibrated_bundle.write_calibration(json.dumps(settings).encode())
        path = tmp_path / f"{threshold}/part7.csflow.zip"
        path.parent.mkdir(exist_ok=True)
        pack(calibrated_bundle, path, pair.key)
        return path

    return make


def threshold(link: Path) -> float:
    return float(json.loads((link / "calibration.json").read_bytes())["reject_threshold"])


def steps(folder: Path) -> list[str]:
    return [json.loads(line)["step"] for line in (folder / LOG).read_text().splitlines()]


def test_deploy_again_and_back(make_pack: MakePack, pair: Any, tmp_path: Path) -> None:
    link = tmp_path / "line/part7.csflow"
    for value in (0.6, 0.7, 0.8):
        Store(link).install(make_pack(value), pair.trusted, False, passes)
        assert threshold(link) == value
    assert len(list((tmp_path / "line/.part7.csflow.versions").iterdir())) == 3  # in use, before, and its link
    Store(link).rollback(passes)
    assert threshold(link) == 0.7
    Store(link).rollback(passes)
    assert threshold(link) == 0.8
    assert steps(link.parent) == ["checked", "unpacked", "tested", "in use"] * 3 + ["rolled back"] * 2


def test_the_same_pack_twice_keeps_the_one_before(make_pack: MakePack, pair: Any, tmp_path: Path) -> None:
    link = tmp_path / "line/part7.csflow"
    first, second = make_pack(0.6), make_pack(0.7)
    for source in (first, second, second):
        Store(link).install(source, pair.trusted, False, passes)
    Store(link).rollback(passes)
    assert threshold(link) == 0.6


def test_one_that_cannot_decide_here_changes_nothing(make_pack: MakePack, pair: Any, tmp_path: Path) -> None:
    def fails(_: Bundle) -> None:
        raise InferenceError("no GPU here")

    link = tmp_path / "line/part7.csflow"
    Store(link).install(make_pack(0.6), pair.trusted, False, passes)
    with pytest.raises(InferenceError):
        Store(link).install(make_pack(0.7), pair.trusted, False, fails)
    assert threshold(link) == 0.6
    refused = json.loads((link.parent / LOG).read_text().splitlines()[-1])
    assert (refused["step"], refused["why"]) == ("refused", "no GPU here")


class Killed(BaseException):
    """The process ended."""


def test_killed_at_every_step(make_pack: MakePack, pair: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = make_pack(0.6), make_pack(0.7)

    def install_and_die(link: Path, moment: int) -> bool:
        """Whether it ended before so many calls that change the disk."""
        calls = iter(range(moment))

        def dying(real: Callable[..., Any]) -> Callable[..., Any]:
            def call(*given: Any, **named: Any) -> Any:
                if next(calls, None) is None:
                    raise Killed
                return real(*given, **named)

            return call

        with monkeypatch.context() as patch:
            for module in (atomic, archive, store):
                patch.setattr(module, "os", _Calls(os, dying))
            patch.setattr(store.Store, "_clear", dying(Store._clear))
            try:
                Store(link).install(new, pair.trusted, False, passes)
            except Killed:
                return False
        return True

    for moment in count():
        link = tmp_path / f"{moment}/part7.csflow"
        Store(link).install(old, pair.trusted, False, passes)
        ended = install_and_die(link, moment)
        Bundle.open(link).verify()
        assert threshold(link) in ((0.7,) if ended else (0.6, 0.7))
        Store(link).install(new, pair.trusted, False, passes)
        assert threshold(link) == 0.7
        Store(link).rollback(passes)
        assert threshold(link) == 0.6
        if ended:
            break
    assert moment > 40


class _Calls:
    """A module whose functions that change the disk may be the last ones called."""

    def __init__(self, real: Any, wrap: Callable[..., Any]) -> None:
        self._real, self._wrap = real, wrap

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        return self._wrap(found) if name in ("replace", "rename", "fsync", "open") else found


def test_a_folder_of_the_user_is_left_alone(make_pack: MakePack, pair: Any, tmp_path: Path) -> None:
    link = tmp_path / "line/part7.csflow"
    link.mkdir(parents=True)
    with pytest.raises(BundleError, match="move it away"):
        Store(link).install(make_pack(0.6), pair.trusted, False, passes)
    with pytest.raises(BundleError, match="no bundle before"):
        Store(tmp_path / "none/part7.csflow").rollback(passes)


def test_results_say_what_was_deployed(make_pack: MakePack, pair: Any, tmp_path: Path) -> None:
    link = tmp_path / "line/part7.csflow"
    Store(link).install(make_pack(0.6), pair.trusted, False, passes)
    with Detector.open(link, "fake") as detector:
        assert detector.identity.bundle == "part7.csflow"
        assert detector.identity.signed_by == "anna of the factory"
        assert len(detector.identity.pack_sha256) == 64


def test_an_older_bundle_of_the_same_name_is_tested_again(make_pack: MakePack, pair: Any, tmp_path: Path) -> None:
    link = tmp_path / "line/part7.csflow"
    first = make_pack(0.6)
    Store(link).install(first, pair.trusted, False, passes)
    (link / "weights/flow.safetensors").write_bytes(b"y")
    with pytest.raises(BundleCorrupted):
        Store(link).install(first, pair.trusted, False, passes)


@pytest.mark.parametrize(
    ("text", "host", "link"),
    [
        ("line1:", "line1", "part7.csflow"),
        ("root@line1:/srv/csflow/", "root@line1", "/srv/csflow/part7.csflow"),
        ("line1:other.csflow", "line1", "other.csflow"),
        ("./a:b/", "", "a:b/part7.csflow"),
        ("folder", "", "folder/part7.csflow"),
    ],
)
def test_places_read_as_scp_reads_them(text: str, host: str, link: str) -> None:
    place = Place.parse(text, Path("x/part7.csflow.zip"))
    assert (place.host, str(place.link)) == (host, link)


@pytest.mark.parametrize("text", ["-oProxyCommand=x:a", ":folder"])
def test_places_that_name_no_host(text: str) -> None:
    with pytest.raises(ConfigError, match="names no host"):
        Place.parse(text, Path("part7.csflow.zip"))


@pytest.fixture
def other_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Its home folder; ssh and scp reach it through the shell, as sshd would."""
    home, tools = tmp_path / "home of line1", tmp_path / "tools"
    home.mkdir()
    tools.mkdir()
    scripts = {
        "ssh": f'while [ "$1" != -- ]; do shift; done\n[ "$2" = line1 ] || exit 9\ncd "{home}" && exec sh -c "$3"\n',
        "scp": f'while [ "$1" != -- ]; do shift; done\nexec cp "$2" "{home}/${{3#line1:}}"\n',
    }
    for name, text in scripts.items():
        (tools / name).write_text(f"#!/bin/sh\n{text}")
        (tools / name).chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    return home


def test_over_ssh(
    make_pack: MakePack, pair: Any, other_machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = str(Path(sys.executable).with_name("csflow"))
    first, second = make_pack(0.6), make_pack(0.7)
    monkeypatch.setenv("CSFLOW_TRUST", str(pair.trust))
    deploy = ["--backend", "fake", "--csflow", program]
    for source in (first, second):
        done = CliRunner().invoke(main, ["deploy", str(source), "line1:bundles/", *deploy])
        assert done.exit_code == 0, done.output
    link = other_machine / "bundles/part7.csflow"
    assert threshold(link) == 0.7
    assert [p.name for p in other_machine.iterdir()] == ["bundles"]
    done = CliRunner().invoke(main, ["rollback", "line1:bundles/part7.csflow", *deploy])
    assert done.exit_code == 0, done.output
    assert threshold(link) == 0.6
    monkeypatch.setenv("CSFLOW_TRUST", str(tmp_path / "nothing"))
    done = CliRunner().invoke(main, ["deploy", str(second), "line1:bundles/", *deploy])
    assert done.exit_code == 7
    assert done.stderr.startswith("Error: line1: .csflow-")
    assert "signed by a key that" in done.stderr
    assert threshold(link) == 0.6


def test_the_commands_on_one_machine(calibrated_bundle: Bundle, pair: Any, tmp_path: Path) -> None:
    def command(*words: object) -> Any:
        return CliRunner().invoke(main, [str(word) for word in words])

    packed, out = tmp_path / "p.zip", tmp_path / "out"
    assert command("pack", calibrated_bundle.path, "-o", packed, "--key", pair.private).exit_code == 0
    refused = command("unpack", packed, "--bundle", out / "a", "--trust", tmp_path / "none")
    assert refused.exit_code == 1
    assert "no file" in refused.stderr
    done = command("unpack", packed, "--bundle", out / "a", "--trust", pair.trust)
    assert done.output == f"{out / 'a'}: signed by anna of the factory\n"
    plain = command("pack", calibrated_bundle.path)
    assert "UNSIGNED" in plain.output
    place = ("deploy", f"{calibrated_bundle.path}.zip", out, "--backend", "fake")
    assert command(*place, "--trust", pair.trust).exit_code == 3
    done = command(*place, "--trust", pair.trust, "--allow-unsigned")
    assert done.output == f"{out / 'model.csflow'} is in use\n"
