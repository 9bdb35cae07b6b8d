"""Crop and resize as two matrix products: Pillow's grey levels, in OpenVINO, in half precision, and as a plan."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from csflow.export.cli.export import export
from csflow.export.graphs.resize_graph import camera_formats, parse_format, resize_files, resize_graph, weights
from csflow.export.plans.engines import build_engines
from csflow.export.plans.graph_products import graph_products
from csflow.export.plans.precision_audit import half_share
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.manifest import Preprocessing
from csflow.runtime.engines.tensorrt.library import Library
from csflow.runtime.engines.tensorrt.plan_header import read_plan_header
from csflow.runtime.engines.tensorrt.plan_record import BuildOptions, graph_names, plan_path
from csflow.runtime.errors import ConfigError
from csflow.runtime.picture.preprocess import preprocess

# (height, width, side, region): smaller, larger, equal, odd, extreme ratios, one pixel, cropped to corner and edge.
SIZES: list[tuple[int, int, int, tuple[int, int, int, int] | None]] = [
    (48, 96, 64, None),
    (64, 64, 64, None),
    (65, 63, 64, None),
    (31, 17, 96, None),
    (1, 1, 32, None),
    (1, 300, 32, None),
    (480, 640, 128, None),
    (333, 500, 64, (100, 33, 400, 300)),
    (120, 160, 96, (0, 0, 1, 120)),
    (120, 160, 32, (159, 119, 1, 1)),
    (600, 1920, 64, (420, 0, 1080, 540)),
]
by_size = pytest.mark.parametrize(("height", "width", "side", "roi"), SIZES)


def pictures(height: int, width: int) -> NDArray[np.uint8]:
    """(3, H, W, 3) uint8: noise, a checkerboard of black and white, a gradient with a white line."""
    noise = np.random.default_rng(height * width).integers(0, 256, (height, width, 3), np.uint8)
    rows, columns = np.indices((height, width))
    board = np.repeat(((rows + columns) % 2 * 255)[..., None], 3, 2)
    gradient = np.stack([rows * 255 // height, columns * 255 // width, (rows + columns) % 256], 2)
    gradient[height // 2] = 255
    return np.stack([noise, board, gradient]).astype(np.uint8)


def by_openvino(data: bytes, batch: NDArray[np.uint8]) -> NDArray[np.uint8]:
    pytest.importorskip("openvino", reason="OpenVINO is not installed")
    from csflow.runtime.engines.openvino.core import new_core

    core = new_core()
    model = core.compile_model(core.read_model(model=data), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    made: NDArray[np.uint8] = np.array(model({"frame": batch})["resized"])
    return made


@by_size
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_within_one_grey_level_of_pillow(
    precision: str, height: int, width: int, side: int, roi: tuple[int, int, int, int] | None
) -> None:
    how, batch = Preprocessing(side, roi), pictures(height, width)
    made = by_openvino(resize_graph(height, width, how, precision), batch)
    expected = np.stack([preprocess(picture, how) for picture in batch])
    assert made.shape == expected.shape
    difference = np.abs(made.astype(np.int16) - expected)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.35, "what Pillow rounds in between"


def half_product(a: NDArray[np.float16], b: NDArray[np.float16]) -> NDArray[np.float16]:
    """Products summed in float16 after every term: the worst that a half-precision kernel may do."""
    total = np.zeros((a.shape[0], b.shape[1]), np.float16)
    for k in range(a.shape[1]):
        total = (total + (a[:, k : k + 1] * b[k : k + 1]).astype(np.float16)).astype(np.float16)
    return total


@pytest.mark.parametrize(("size", "side"), [(160, 96), (100, 32), (24, 64)])
def test_sums_in_half_precision_stay_within_one_grey_level(size: int, side: int) -> None:
    matrix = weights(size, side).astype(np.float16)
    for picture in pictures(size, size):
        plane = picture[..., 0]
        wide = half_product(plane.astype(np.float16), matrix.T)
        square = np.floor(half_product(matrix, wide) + np.float16(0.5)).clip(0, 255)
        expected = np.array(preprocess(np.repeat(plane[..., None], 3, 2), Preprocessing(side)))[..., 0]
        assert np.abs(square - expected.astype(np.float32)).max() <= 1


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 400), st.integers(1, 400))
def test_weights_are_pillows_to_the_last_bit(size: int, side: int) -> None:
    line = np.random.default_rng(size * 401 + side).integers(0, 256, (1, size), np.uint8)
    expected = np.array(Image.fromarray(line).resize((side, 1), Image.Resampling.BILINEAR))
    fixed = (weights(size, side) * (1 << 22)).astype(np.int64)
    assert (((fixed @ line[0].astype(np.int64)) + (1 << 21)) >> 22).clip(0, 255).tolist() == expected[0].tolist()


def test_products_are_as_few_as_the_region_needs_and_in_half_precision() -> None:
    whole = graph_products(resize_graph(1080, 1920, Preprocessing(768), "fp16"), "whole")
    assert [p.macs for p in whole] == [3 * 1080 * 1920 * 768, 3 * 1080 * 768 * 768]
    assert half_share(whole) == 1.0
    part = graph_products(resize_graph(1080, 1920, Preprocessing(768, (0, 0, 768, 768)), "fp16"), "part")
    assert [p.macs for p in part] == [3 * 768**3] * 2


def test_the_graph_is_of_the_form_that_all_parsers_take() -> None:
    model = onnx.load_model_from_string(resize_graph(48, 96, Preprocessing(64, (1, 2, 40, 40)), "fp16"))
    assert (model.opset_import[0].version, model.ir_version) == (20, 10)
    (first,) = [node for node in model.graph.node if "frame" in node.input]
    assert first.op_type == "Cast", "TensorRT takes uint8 nowhere else"


def test_a_region_outside_the_format_is_refused() -> None:
    with pytest.raises(ConfigError, match="does not bring pictures to the bundle's exposure: leave it out"):
        resize_graph(48, 96, Preprocessing(64, exposure=110), "fp16")
    with pytest.raises(ConfigError, match="region of interest x=10 y=0 100x40 leaves such pictures"):
        resize_graph(48, 96, Preprocessing(64, (10, 0, 100, 40)), "fp16")


@pytest.mark.parametrize("text", ["", "1920", "1920x", "0x10", "1920x1080x3", "-1x5", "99999x1"])
def test_formats_that_are_none(text: str) -> None:
    with pytest.raises(ConfigError, match="expected width x height"):
        parse_format(text)


def test_formats() -> None:
    assert parse_format("1920x1080") == (1080, 1920)
    assert parse_format(" 640 X 480 ") == (480, 640)
    files = resize_files({(48, 96), (10, 20)}, Preprocessing(64), "fp16")
    assert list(files) == ["graphs/fp16/resize_10x20.onnx", "graphs/fp16/resize_48x96.onnx"]
    assert camera_formats([*files, "graphs/fp32/resize_1x1.onnx", "graphs/fp16/flow.onnx"], "fp16") == {
        (48, 96),
        (10, 20),
    }


def test_tensorrt_builds_it_beside_backbone_and_flow(
    half_bundle: Bundle, rtx: Library, silent: Callable[[str], Any]
) -> None:
    how = Preprocessing(64, (10, 20, 600, 400))
    bundle = half_bundle.update(resize_files({(480, 640)}, how, "fp16"))
    assert graph_names(bundle, "fp16") == ("backbone", "flow", "resize_480x640")
    records = build_engines(bundle, rtx, "fp16", BuildOptions((1, 1, 4), compute_capabilities=("8.6",)), silent)
    assert [record.graph for record in records] == ["backbone", "flow", "resize_480x640"]
    path = plan_path(bundle.path, "tensorrt-rtx", "fp16", "resize_480x640")
    assert read_plan_header(path).compute_capabilities == ("8.6",)
    assert records[2].audit.half_in_graph == 1.0


@pytest.mark.slow
@pytest.mark.usefixtures("graphs_of_before")
def test_export_writes_the_graphs_and_keeps_them_current(trained_copy: Path) -> None:
    command = ["--bundle", str(trained_copy), "--fp16", "--no-engines", "--json"]
    done = CliRunner().invoke(export, [*command, "--camera-format", "160x120", "--camera-format", "96x48"])
    assert done.exit_code == 0, done.output
    written = json.loads(done.output)["camera_formats"]
    assert set(written) == {"graphs/fp16/resize_120x160.onnx", "graphs/fp16/resize_48x96.onnx"}
    again = CliRunner().invoke(export, command)
    assert again.exit_code == 0, again.output
    assert camera_formats(Bundle.open(trained_copy).manifest.files, "fp16") == {(120, 160), (48, 96)}
    assert "graphs/fp16/resize_48x96.onnx" in json.loads(again.output)["camera_formats"], (
        "made anew for the region of now"
    )
    wrong = CliRunner().invoke(export, [*command, "--camera-format", "wide"])
    assert wrong.exit_code == 1
    assert "--camera-format 'wide'" in wrong.output
