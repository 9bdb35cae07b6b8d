"""Quantization calibration: INT8 for the dense convolutions of a graph, with ranges from real good parts.

The result is the same ONNX with QuantizeLinear/DequantizeLinear around each dense convolution: one scale per output
channel of the weights, one per tensor for what flows in, all zero points 0 (TensorRT takes no others), bias, sums and
everything else in float32. OpenVINO and TensorRT read the same file.
"""

from __future__ import annotations

import io
import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from csflow.runtime.errors import BackendUnavailable, CalibrationError, EngineError
from csflow.runtime.machine.install import pip_install

__all__ = ["MIN_SAMPLES", "outputs_of", "quantize"]

MIN_SAMPLES = 8
"""Fewest good parts whose ranges are worth the name."""
MIN_CHANNELS = 16
"""A convolution with fewer channels, or with groups, gains nothing from INT8 (TensorRT's own rule)."""

Features = Mapping[str, NDArray[np.float32]]


def outputs_of(graph: bytes, samples: Sequence[Mapping[str, NDArray[Any]]]) -> list[dict[str, NDArray[np.float32]]]:
    """What a graph gives for each sample of batch 1, by name: what the next graph sees.

    Raises BackendUnavailable where ONNX Runtime is not installed, EngineError where it fails.
    """
    runtime, _ = _libraries()
    try:
        session = runtime.InferenceSession(graph, providers=["CPUExecutionProvider"])
        names = [port.name for port in session.get_outputs()]
        return [dict(zip(names, session.run(None, dict(sample)), strict=True)) for sample in samples]
    except Exception as error:  # noqa: BLE001 - ONNX Runtime raises a class per cause, without a common base
        raise EngineError(f"ONNX Runtime cannot run the exported graph: {_first_line(error)}; export again") from None


def quantize(onnx_data: bytes, feature_samples: Sequence[Features]) -> bytes:
    """A graph over features with explicit INT8 on its dense convolutions.

    Args:
        onnx_data: the float32 graph.
        feature_samples: features of good parts, each by input name, (1, C, h_i, w_i) float32.

    Raises:
        CalibrationError: fewer than `MIN_SAMPLES` samples, or features that are not finite.
        BackendUnavailable: ONNX Runtime is not installed.
        EngineError: it cannot quantize this graph, or the graph has no dense convolution.
    """
    if len(feature_samples) < MIN_SAMPLES:
        raise CalibrationError(
            f"INT8 ranges need pictures of at least {MIN_SAMPLES} good parts, got {len(feature_samples)}: bring more"
        )
    if not all(np.isfinite(values).all() for sample in feature_samples for values in sample.values()):
        raise CalibrationError("a feature is not finite, so no INT8 range can rest on it: look at the pictures")
    _, onnx = _libraries()
    model = onnx.load_from_string(onnx_data)
    names = _dense_convolutions(onnx, model)
    if not names:
        raise EngineError("the graph has no dense convolution: there is nothing to quantize")
    try:
        with _quiet(), tempfile.TemporaryDirectory() as folder:
            return _quantized(onnx, model, names, feature_samples, Path(folder))
    except Exception as error:  # noqa: BLE001 - as above
        raise EngineError(f"ONNX Runtime cannot quantize the graph: {_first_line(error)}; report it") from None


def _quantized(onnx: Any, model: Any, names: list[str], samples: Sequence[Features], folder: Path) -> bytes:
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    source, target = folder / "fp32.onnx", folder / "int8.onnx"
    onnx.save(onnx.shape_inference.infer_shapes(model), source)
    quantize_static(
        source,
        target,
        _reader(samples),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=["Conv"],
        nodes_to_quantize=names,
        per_channel=True,
        activation_type=QuantType.QInt8,
        weight_type=QuantType.QInt8,
        calibrate_method=CalibrationMethod.MinMax,
        # What comes out of a convolution is summed with others before it is rounded again: rounding it too costs
        # accuracy and saves nothing.
        extra_options={
            "ActivationSymmetric": True,
            "WeightSymmetric": True,
            "QuantizeBias": False,
            "OpTypesToExcludeOutputQuantization": ["Conv"],
        },
    )
    made = onnx.load(target)
    made.ir_version = model.ir_version
    onnx.checker.check_model(made, full_check=True)
    data: bytes = made.SerializeToString()
    return data


def _dense_convolutions(onnx: Any, model: Any) -> list[str]:
    shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    return [node.name for node in model.graph.node if node.op_type == "Conv" and _is_dense(onnx, node, shapes)]


def _is_dense(onnx: Any, node: Any, shapes: Mapping[str, tuple[int, ...]]) -> bool:
    groups = next((onnx.helper.get_attribute_value(a) for a in node.attribute if a.name == "group"), 1)
    weight = shapes.get(node.input[1], (0, 0))
    return bool(groups == 1 and min(weight[:2]) >= MIN_CHANNELS)


def _reader(samples: Sequence[Features]) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        """Gives one sample at a time."""

        def __init__(self) -> None:
            self._left: Iterator[Features] = iter(samples)

        def get_next(self) -> Features | None:
            """The next sample, or None at the end."""
            return next(self._left, None)

    return Reader()


def _libraries() -> tuple[Any, Any]:
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise BackendUnavailable(f"INT8 needs ONNX and ONNX Runtime ({error}): {pip_install('export')}") from None
    return onnxruntime, onnx


@contextmanager
def _quiet() -> Iterator[None]:
    # ONNX Runtime advises to optimise the graph first, by logging and by printing; csflow has folded it already.
    level = logging.root.level
    logging.root.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.root.setLevel(level)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
