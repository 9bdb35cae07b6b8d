"""The name of an engine: taken apart and put together in one place."""

from __future__ import annotations

import pytest

from csflow.runtime.bundle.manifest import Definitions, Manifest, Preprocessing
from csflow.runtime.engines.name import EngineName
from csflow.runtime.engines.opening import backends, engine_names, load_engine
from csflow.runtime.engines.stages import stages
from csflow.runtime.errors import ConfigError
from tests.conftest import MakeBundle


@pytest.mark.parametrize(
    ("text", "backend", "precision"),
    [
        ("fake", "fake", ""),
        ("torch-fp32", "torch", "fp32"),
        ("openvino-bf16", "openvino", "bf16"),
        ("openvino-fp32+bf16", "openvino", "fp32+bf16"),
        ("tensorrt-rtx", "tensorrt-rtx", ""),
        ("tensorrt-rtx-fp32", "tensorrt-rtx", "fp32"),
        ("-fp32", "-fp32", ""),
        ("openvino-fp32+", "openvino-fp32+", ""),
        ("", "", ""),
    ],
)
def test_parsing_and_writing_are_inverse(text: str, backend: str, precision: str) -> None:
    name = EngineName.parse(text)
    assert (name.backend, name.precision) == (backend, precision)
    assert str(name) == text


def test_every_name_that_users_may_give_is_read_back() -> None:
    assert {"auto", "openvino", "openvino-int8", "torch", "torch-fp16", "tensorrt-rtx-fp32"} <= set(engine_names())
    assert all(str(EngineName.parse(name)) == name for name in engine_names())
    above = [name for name, backend in backends().items() if not backend.home.startswith("csflow.runtime.")]
    assert above == ["torch", "torch-fp16"]


def test_the_narrowest_precision_counts() -> None:
    assert EngineName("openvino", "fp32+bf16").narrowest == "bf16"
    assert EngineName("fake").narrowest == ""


def manifest(*graphs: str) -> Manifest:
    return Manifest(Preprocessing(64), Definitions(), {}, {}, {}, "mahalanobis", graphs)


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("openvino-fp32", ["graphs/fp32/a.onnx", "graphs/fp32/b.onnx", "graphs/fp32/c.onnx"]),
        ("openvino-bf16", ["graphs/fp32/a.onnx", "graphs/fp32/b.onnx", "graphs/fp32/c.onnx"]),
        ("openvino-int8", ["graphs/fp32/a.onnx", "graphs/fp32/b.onnx", "graphs/int8/c.onnx"]),
        ("openvino-fp32+bf16+int8", ["graphs/fp32/a.onnx", "graphs/fp32/b.onnx", "graphs/int8/c.onnx"]),
        ("tensorrt-fp16", ["graphs/fp16/a.onnx", "graphs/fp16/b.onnx", "graphs/fp16/c.onnx"]),
    ],
)
def test_stages_name_the_files_that_an_engine_reads(name: str, files: list[str]) -> None:
    found = stages(manifest("a", "b", "c"), EngineName.parse(name))
    assert [stage.file for stage in found] == files
    assert [stage.graph for stage in found] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("backend", "told"),
    [
        ("openvino-fp32+bf16+bf16", "names 3 precisions, the bundle has 2 graphs: name one"),
        ("openvino-fp16+bf16", "no backend 'openvino-fp16.bf16'"),
        ("torch-bf16", "no backend 'torch-bf16'"),
    ],
)
def test_a_mixture_that_cannot_be_is_refused(make_bundle: MakeBundle, backend: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        load_engine(make_bundle(), backend)


def test_a_name_must_suit_the_number_of_graphs() -> None:
    with pytest.raises(ValueError, match="names 2 precisions, the bundle has 3 graphs"):
        stages(manifest("a", "b", "c"), EngineName("openvino", "fp32+bf16"))
