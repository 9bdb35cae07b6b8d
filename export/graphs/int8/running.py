"""Graphs run by ONNX Runtime, for what quantizing measures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from csflow.runtime.errors import BackendUnavailable, EngineError
from csflow.runtime.machine.install import pip_install

__all__ = ["Features", "outputs_of", "scores_of", "tensors_of"]

Features = Mapping[str, NDArray[Any]]
"""What a graph takes, of one picture, by the names of its inputs."""


def outputs_of(graph: bytes, parts: Sequence[Features]) -> list[dict[str, NDArray[np.float32]]]:
    """What a graph gives for each part of batch 1, by name: what the next graph sees.

    Raises BackendUnavailable where ONNX Runtime is not installed, EngineError where it fails.
    """
    with _told():
        session = _session(graph)
        names = [port.name for port in session.get_outputs()]
        return [dict(zip(names, session.run(None, dict(part)), strict=True)) for part in parts]


def tensors_of(
    model: onnx.ModelProto, names: Sequence[str], parts: Sequence[Features]
) -> Iterator[dict[str, NDArray[np.float32]]]:
    """The inner tensors of these names, for one part after the other. Raises as `outputs_of` does."""
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    ports = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names]
    given = {port.name for port in watched.graph.output}
    watched.graph.output.extend(port for port in ports if port.name not in given)
    with _told():
        session = _session(watched.SerializeToString())
        for part in parts:
            yield dict(zip(names, session.run(list(names), dict(part)), strict=True))


def scores_of(model: onnx.ModelProto, parts: Sequence[Features]) -> NDArray[np.float64]:
    """The score (N,) of each part, alone. Raises as `outputs_of` does."""
    with _told():
        session = _session(model.SerializeToString())
        return np.array([session.run(["score"], dict(part))[0].item() for part in parts])


def _session(graph: bytes) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise BackendUnavailable(f"INT8 needs ONNX Runtime ({error}): {pip_install('export')}") from None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except BackendUnavailable:
        raise
    except Exception as error:  # noqa: BLE001 - ONNX Runtime raises a class per cause, without a common base
        raise EngineError(f"ONNX Runtime cannot run the graph: {_first_line(error)}; export again") from None


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
