"""The peer answers through a pipe, and what it lacks is told before minutes are spent."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from csflow.runtime.errors import BackendUnavailable

from .bench_peer import Peer, require_peer

B5 = "tf_efficientnet_b5"


def python(folder: Path, answer: str) -> str:
    """Stands in for a Python that has anomalib."""
    file = folder / "python"
    file.write_text(f'#!/bin/sh\nif [ "$1" = -c ]; then echo anomalib 2.7.0; exit; fi\n{answer}\n')
    file.chmod(0o755)
    return str(file)


def test_a_peer_judges_a_picture_for_every_line(tmp_path: Path) -> None:
    program = python(tmp_path, 'echo "$@" > given; echo ready; while read line; do echo done; done; echo end > ended')
    with Peer(program, tmp_path / "peer", 64, 16, "f32") as peer:
        assert peer.name == "anomalib 2.7.0, OpenVINO in f32"
        assert [peer.infer([]), peer.infer([])] == [[], []]
    given = (tmp_path / "peer/given").read_text().split()
    assert given[1:] == [str(tmp_path / "peer"), "64", "16", "f32"]
    assert Path(given[0]).name == "peer_anomalib.py"
    assert Path(given[0]).exists()
    assert (tmp_path / "peer/ended").exists(), "it ends by itself where its input does"


def test_a_peer_that_ends_is_told(tmp_path: Path) -> None:
    with pytest.raises(BackendUnavailable, match="status 3"):
        Peer(python(tmp_path, "exit 3"), tmp_path / "peer", 64, 16, "")


def test_what_is_lacking_is_told_before_anything_is_made(tmp_path: Path) -> None:
    require_peer("", "tf_efficientnet_lite0")
    require_peer(python(tmp_path, ""), B5)
    with pytest.raises(click.UsageError, match="--backbone tf_efficientnet_b5"):
        require_peer(python(tmp_path, ""), "tf_efficientnet_lite0")
    (tmp_path / "python").write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(click.UsageError, match="has no anomalib"):
        require_peer(str(tmp_path / "python"), B5)
