"""The third graph, one for each camera format: crop and resize on the device, as two products with constant matrices.

    frame uint8 (N, H, W, 3) RGB   ->   resized uint8 (N, S, S, 3) RGB

It does what `csflow.runtime.picture.preprocess` does with Pillow: first the region of interest, then antialiased
bilinear filtering, columns first. Pillow's weights for one axis are a matrix (`weights`), so each pass is a product.

At most one grey level lies between them. Pillow rounds after each pass, the graph after the second only, so the values
that are rounded last differ by up to 1/2. Half precision adds at most 3/8 (weights and stored sums have 11 bits, in two
passes), and numbers less than 1 apart round to numbers at most 1 apart. Rounding after the first pass as well would be
Pillow's own rule, but where a sum lies on a half, rounding the other way there adds a whole level.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from csflow.export.graphs.signature import sign
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.manifest import MAX_SIDE_PX, Preprocessing
from csflow.runtime.engines.tensorrt.plan_record import RESIZE
from csflow.runtime.errors import ConfigError

__all__ = ["camera_formats", "parse_format", "resize_files", "resize_graph", "weights", "write_resizes"]

OPSET = 20
IR_VERSION = 10
FIXED_POINT = 1 << 22
"""Pillow's PRECISION_BITS for 8-bit pictures: 32 - 8 - 2."""
TYPES = {"fp32": np.float32, "fp16": np.float16}


def parse_format(text: str) -> tuple[int, int]:
    """'1920x1080' as (height, width) in pixels. Raises ConfigError."""
    found = re.fullmatch(r"\s*([1-9]\d{0,4})\s*[xX×]\s*([1-9]\d{0,4})\s*", text)
    if found is None or max(map(int, found.groups())) > MAX_SIDE_PX:
        raise ConfigError(f"--camera-format {text!r}: expected width x height in pixels, for example 1920x1080")
    return int(found[2]), int(found[1])


def camera_formats(files: Iterable[str], precision: str) -> set[tuple[int, int]]:
    """(height, width) of the resize graphs among a bundle's files."""
    found = (re.fullmatch(rf"graphs/{precision}/{RESIZE.pattern}\.onnx", name) for name in files)
    return {(int(match[1]), int(match[2])) for match in found if match}


def resize_files(formats: Iterable[tuple[int, int]], how: Preprocessing, precision: str) -> dict[str, bytes]:
    """The files graphs/<precision>/resize_<H>x<W>.onnx for formats (height, width).

    Raises ConfigError where the region of interest leaves a picture of that format.
    """
    return {
        f"graphs/{precision}/resize_{height}x{width}.onnx": resize_graph(height, width, how, precision)
        for height, width in sorted(formats)
    }


def write_resizes(bundle: Bundle, formats: Iterable[tuple[int, int]], precision: str) -> dict[str, int]:
    """Write the resize graphs of these formats (height, width), and anew those that the bundle has; bytes by file.

    Raises ConfigError as `resize_graph` does; the bundle is as it was then.
    """
    wanted = {*formats, *camera_formats(bundle.manifest.files, precision)}
    files = resize_files(wanted, bundle.manifest.preprocessing, precision)
    if files:
        bundle.update(files)
    return {name: len(data) for name, data in files.items()}


def weights(size: int, side: int) -> NDArray[np.float64]:
    """(side, size) float64: what each of `size` pixels adds to each of `side`, along one axis.

    Pillow's triangle filter, widened by the scale where it shrinks (src/libImaging/Resample.c, precompute_coeffs),
    rounded to its fixed point. Rows sum to 1 within that rounding.
    """
    scale = size / side
    support = max(scale, 1.0)
    matrix = np.zeros((side, size))
    for i in range(side):
        centre = (i + 0.5) * scale
        first, last = max(int(centre - support + 0.5), 0), min(int(centre + support + 0.5), size)
        taps = np.maximum(1.0 - np.abs((np.arange(first, last) - centre + 0.5) / support), 0.0)
        matrix[i, first:last] = np.floor(taps / taps.sum() * FIXED_POINT + 0.5) / FIXED_POINT
    return matrix


def resize_graph(height: int, width: int, how: Preprocessing, precision: str) -> bytes:
    """The ONNX file for pictures of `height` x `width`, with a free batch dimension.

    Raises ConfigError where the region of interest leaves them, or the bundle judges tiles or evens out exposures.
    """
    if how.tiles is not None:
        raise ConfigError("--camera-format resizes whole pictures, and the bundle judges tiles: leave it out")
    if how.exposure is not None:
        raise ConfigError("--camera-format does not bring pictures to the bundle's exposure: leave it out")
    left, top, roi_width, roi_height = how.roi or (0, 0, width, height)
    if left + roi_width > width or top + roi_height > height:
        raise ConfigError(
            f"--camera-format {width}x{height}: the bundle's region of interest x={left} y={top} "
            f"{roi_width}x{roi_height} leaves such pictures; give the format that the bundle was made for"
        )
    kind, side = TYPES[precision], how.image_size
    constants = {
        "columns": weights(roi_width, side).T.astype(kind),
        "rows": weights(roi_height, side).astype(kind),
        "half": np.array(0.5, kind),
        "black": np.array(0.0, kind),
        "white": np.array(255.0, kind),
    }
    region = {"starts": [top, left], "ends": [top + roi_height, left + roi_width], "axes": [1, 2]}
    constants |= {name: np.array(values, np.int64) for name, values in region.items()}
    full = (left, top, roi_width, roi_height) == (0, 0, width, height)
    graph = helper.make_graph(
        _nodes(helper.np_dtype_to_tensor_dtype(np.dtype(kind)), cropped=not full),
        "resize",
        [helper.make_tensor_value_info("frame", TensorProto.UINT8, ["batch", height, width, 3])],
        [helper.make_tensor_value_info("resized", TensorProto.UINT8, ["batch", side, side, 3])],
        [numpy_helper.from_array(v, name) for name, v in constants.items() if not (full and name in region)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    sign(model, f"resize_{height}x{width}", {"precision": precision, "side": str(side)})
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString()
    return data


def _nodes(kind: int, cropped: bool) -> list[onnx.NodeProto]:
    node = helper.make_node
    # TensorRT takes uint8 into a Cast and nothing else.
    nodes = [node("Cast", ["frame"], ["levels"], to=kind, name="levels")]
    if cropped:
        nodes.append(node("Slice", ["levels", "starts", "ends", "axes"], ["region"], name="crop"))
    nodes.append(node("Transpose", ["region" if cropped else "levels"], ["planes"], perm=[0, 3, 1, 2], name="planes"))
    nodes += [node("MatMul", ["planes", "columns"], ["wide"], name="resize_columns")]
    nodes += [node("MatMul", ["rows", "wide"], ["high"], name="resize_rows"), *_rounded("high", "square")]
    nodes.append(node("Transpose", ["square"], ["interleaved"], perm=[0, 2, 3, 1], name="interleaved"))
    nodes.append(node("Cast", ["interleaved"], ["resized"], to=TensorProto.UINT8, name="grey"))
    return nodes


def _rounded(value: str, result: str) -> list[onnx.NodeProto]:
    """To the next whole grey level, halves up, as Pillow; ONNX's Round would take halves to the even one."""
    node = helper.make_node
    return [
        node("Add", [value, "half"], [f"{value}_half"], name=f"{value}_half"),
        node("Floor", [f"{value}_half"], [f"{value}_whole"], name=f"{value}_floor"),
        node("Clip", [f"{value}_whole", "black", "white"], [result], name=f"{value}_clip"),
    ]
