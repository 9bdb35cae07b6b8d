"""csflow's fastest engines beside anomalib's export of the same method at the same size, in turn.

    make bench BENCH='--backbone tf_efficientnet_b5 --image-size 768 --hidden 1024 --peer PYTHON'

PYTHON has `anomalib[openvino]`, 2.7 or newer, in a virtual environment of its own: it asks for versions of its own.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import click

from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.engine import Engine
from csflow.runtime.engines.opening import load_engine
from csflow.runtime.errors import BackendUnavailable
from csflow.runtime.types import Frame, Prediction

__all__ = ["beside_peer", "require_peer"]

BACKBONE = "tf_efficientnet_b5"
"""The only one that anomalib's CS-Flow has."""
HINTS = ("f32", "")
"""OpenVINO's precisions of the peer; without one it computes as anomalib lets it."""
NEEDED = ("anomalib", "openvino", "onnx", "onnxscript")
"""Packages that its export to OpenVINO imports; the extra `openvino` of anomalib 2.7 brings the last three."""
LACKING = f"""
import sys
from importlib.util import find_spec
sys.exit(", ".join(name for name in {NEEDED} if find_spec(name) is None) or None)
"""
OURS = ("openvino-fp32", "openvino-fp32+bf16", "openvino-int8")


def require_peer(python: str, backbone: str) -> None:
    """Raise UsageError where this Python lacks a package, or anomalib this backbone; '' asks for nothing."""
    if not python:
        return
    if backbone != BACKBONE:
        raise click.UsageError(f"anomalib has one backbone alone: give --peer with --backbone {BACKBONE}")
    try:
        asked = subprocess.run([python, "-c", LACKING], capture_output=True, text=True, check=False)
    except OSError as error:
        raise click.UsageError(f"--peer {python}: {error.strerror}; name the python of a virtual environment") from None
    if asked.returncode != 0:
        lacking = asked.stderr.strip().rpartition("\n")[2]
        raise click.UsageError(f"{python} lacks {lacking}: {python} -m pip install 'anomalib[openvino]>=2.7'")


@contextmanager
def beside_peer(
    python: str, bundle: Bundle, int8: Bundle, folder: Path, size: tuple[int, int]
) -> Iterator[dict[str, Engine]]:
    """The engines to time in turn, the peer in float32 first, by the names of their rows.

    No others should be open: all together do not fit into every memory.

    Args:
        int8: the same model with a backbone that was int8 before training.
        folder: for the peer's export.
        size: pixels of a side, and hidden channels.
    """
    with ExitStack() as stack:
        found: dict[str, Engine] = {}
        for hint in HINTS:
            peer = stack.enter_context(Peer(python, folder, *size, hint))
            found[peer.name] = peer
        for title, one in (("beside it, ", bundle), ("beside it, int8 model, ", int8)):
            for name in OURS:
                try:
                    found[title + name] = stack.enter_context(load_engine(one, name))
                except BackendUnavailable:
                    # bfloat16 is not for every processor; the rows above say so.
                    continue
        yield found


class Peer:
    """anomalib's CS-Flow as its own inferencer compiles it, in a process of the Python that has anomalib.

    Args:
        python: path of that Python.
        folder: for the exported model, which a second peer takes over.
        hint: of `HINTS`.
    """

    def __init__(self, python: str, folder: Path, image_size: int, hidden: int, hint: str) -> None:
        self.name = f"{_version(python)}, OpenVINO in {hint or 'its default'}"
        folder.mkdir(exist_ok=True)
        self._told = folder / f"stderr-{hint or 'default'}.txt"
        command = [python, str(Path(__file__).with_name("peer_anomalib.py")), str(folder), str(image_size), str(hidden)]
        # It leaves a folder of OpenVINO's cache where it runs.
        with self._told.open("w") as told:
            self._process = subprocess.Popen(
                [*command, hint], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=told, text=True
            )
        self._await("ready")

    def infer(self, _frames: Sequence[Frame]) -> list[Prediction]:
        """Judge a picture of its own; what comes out is not looked at."""
        assert self._process.stdin is not None
        # One that has ended is told by what it left.
        with suppress(BrokenPipeError):
            self._process.stdin.write("\n")
            self._process.stdin.flush()
        self._await("done")
        return []

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _await(self, word: str) -> None:
        assert self._process.stdout is not None
        if self._process.stdout.readline().strip() != word:
            self.close()
            last = self._told.read_text(errors="replace").strip().rpartition("\n")[2] or "it said nothing"
            raise BackendUnavailable(f"the peer ended with status {self._process.returncode}: {last}")


def _version(python: str) -> str:
    asked = "from importlib.metadata import version; print('anomalib', version('anomalib'))"
    return subprocess.run([python, "-c", asked], capture_output=True, text=True, check=True).stdout.strip()
