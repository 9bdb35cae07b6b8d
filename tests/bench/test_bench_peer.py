"""The peer answers through a pipe, and what it lacks is told before minutes are spent."""

from __future__ import annotations

import sys
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


def test_a_peer_that_ends_is_told_with_its_last_word(tmp_path: Path) -> None:
    program = python(tmp_path, "echo Traceback >&2; echo ModuleNotFoundError: onnxscript >&2; exit 3")
    with pytest.raises(BackendUnavailable, match=r"status 3: ModuleNotFoundError: onnxscript$"):
        Peer(program, tmp_path / "peer", 64, 16, "")
    peer = Peer(python(tmp_path, "echo ready; exit 4"), tmp_path / "peer", 64, 16, "f32")
    with pytest.raises(BackendUnavailable, match="status 4: it said nothing"):
        peer.infer([])


def test_what_is_lacking_is_told_before_anything_is_made(tmp_path: Path) -> None:
    require_peer("", "tf_efficientnet_lite0")
    require_peer(python(tmp_path, ""), B5)
    with pytest.raises(click.UsageError, match="--backbone tf_efficientnet_b5"):
        require_peer(python(tmp_path, ""), "tf_efficientnet_lite0")
    with pytest.raises(click.UsageError, match="No such file"):
        require_peer(str(tmp_path / "none"), B5)


def test_a_package_that_the_export_needs_is_asked_for(tmp_path: Path) -> None:
    # A Python that finds nothing but its own library: a folder on its path stands for what is installed.
    program = tmp_path / "python"
    program.write_text(f'#!/bin/sh\ncd {tmp_path} && exec {sys.executable} -S "$@"\n')
    program.chmod(0o755)
    for name in ("anomalib", "openvino", "onnx"):
        (tmp_path / f"{name}.py").touch()
    with pytest.raises(click.UsageError, match=r"lacks onnxscript: .*-m pip install 'anomalib\[openvino\]>=2.7'"):
        require_peer(str(program), B5)
    (tmp_path / "onnxscript.py").touch()
    require_peer(str(program), B5)
