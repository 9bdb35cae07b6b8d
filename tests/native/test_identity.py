"""A manifest means the same to libcsflow as to Python: which are read, and which model they name."""

from __future__ import annotations

import ctypes
import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest

from csflow.runtime.bundle.identity import identity as python_identity
from csflow.runtime.bundle.manifest import Manifest
from csflow.runtime.errors import BundleCorrupted

Identity = Callable[[dict[str, Any]], "str | int"]
HASHES = {f"{name}.safetensors": f"{i}" * 64 for i, name in enumerate(("backbone", "flow", "mixture"))}
ALIGN = {"model": "euclidean", "reference": "0f" * 4096, "floor": 557}
LEGACY = "Preprocessing(image_size={side}, roi={roi}, resize='pillow-bilinear', colour='RGB'{ignore})"


def canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def sealed(body: dict[str, Any]) -> bytes:
    return json.dumps({**body, "manifest_sha256": hashlib.sha256(canonical(body).encode()).hexdigest()}).encode()


def manifest(version: int, **changes: Any) -> dict[str, Any]:
    """The body of a small manifest, without its own hash."""
    files = {f"weights/{name}": {"sha256": hash_, "size": 5} for name, hash_ in HASHES.items()}
    files["graphs/fp32/backbone.onnx"] = {"sha256": "f" * 64, "size": 6}
    body: dict[str, Any] = {"preprocessing": {"image_size": 64}, "definitions": {}, "model": {}, "provenance": {}}
    body |= {"files": files, "format": "csflow-bundle", "format_version": version}
    if version == 2:
        body |= {"method": "mixture", "graphs": ["backbone", "mixture"]}
    return {**body, **changes}


@pytest.fixture
def identity(probe: ctypes.CDLL) -> Identity:
    """`identity(body)`: the identity that libcsflow reads out of a manifest, or the status where it refuses."""

    def ask(body: dict[str, Any]) -> str | int:
        out, data = ctypes.create_string_buffer(65), sealed(body)
        status: int = probe.probe_identity(data, len(data), out)
        return status if status < 0 else out.value.decode()

    return ask


def theirs(body: dict[str, Any]) -> str:
    """The same by Python."""
    return python_identity(Manifest.from_bytes(sealed(body), "manifest.json"))


def legacy(side: int, roi: str, ignore: str, score: str, anomaly_map: str) -> str:
    """The text that format 1 hashed."""
    lines = [f"weights/{name} {HASHES[name]}" for name in sorted(HASHES)]
    lines += [LEGACY.format(side=side, roi=roi, ignore=ignore)]
    return "\n".join([*lines, f"Definitions(score={score}, anomaly_map={anomaly_map})"])


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, legacy(64, "None", "", "'mean-half-z2'", "'scale0-mean-z2'")),
        (
            {"preprocessing": {"image_size": 96, "roi": [1, 2, 30, 40], "ignore": [[3, 4, 5, 6]]}},
            legacy(96, "(1, 2, 30, 40)", ", ignore=((3, 4, 5, 6),)", "'mean-half-z2'", "'scale0-mean-z2'"),
        ),
        (
            {"preprocessing": {"image_size": 64, "roi": None, "ignore": [[3, 4, 5, 6], [0, 0, 1, 1]], "colour": "RGB"}},
            legacy(64, "None", ", ignore=((3, 4, 5, 6), (0, 0, 1, 1))", "'mean-half-z2'", "'scale0-mean-z2'"),
        ),
        (
            {"definitions": {"score": "mean-half-z2", "anomaly_map": "product-mean-z2"}, "model": {"rate": 1e-5}},
            legacy(64, "None", "", "'mean-half-z2'", "'product-mean-z2'"),
        ),
        ({"definitions": {"score": "it's \\"}}, legacy(64, "None", "", '"it\'s \\\\"', "'scale0-mean-z2'")),
        ({"definitions": {"score": "'\""}}, legacy(64, "None", "", "'\\'\"'", "'scale0-mean-z2'")),
    ],
)
def test_format_1_is_named_by_what_python_once_printed(identity: Identity, changes: dict[str, Any], text: str) -> None:
    body = manifest(1, **changes)
    assert identity(body) == theirs(body) == hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"preprocessing": {"image_size": 96, "roi": [1, 2, 30, 40], "ignore": [[3, 4, 5, 6]]}},
        {"preprocessing": {"image_size": 96, "window": [0, 4095]}},
        {"preprocessing": {"image_size": 64, "align": ALIGN}},
        {"preprocessing": {"image_size": 96, "roi": [1, 2, 30, 40], "window": [0, 4095], "exposure": 1}},
        {"preprocessing": {"image_size": 64, "align": ALIGN, "exposure": 254}},
        {"definitions": {"score": "half the squared distance", "anomaly_map": "p(x) \\ 'q'"}},
        {
            "model": {
                "rate": 1e-05,
                "big": 12345678901234567890,
                "name": "Böhm\t\u2028",
                "deep": [[], {}, None, True, 1.0],
            }
        },
        {"method": "x" * 31, "graphs": ["only_1", "g" * 32]},
        {"files": {}},
    ],
)
def test_format_2_is_named_by_canonical_json(identity: Identity, changes: dict[str, Any]) -> None:
    body = manifest(2, **changes)
    weights = {name: entry["sha256"] for name, entry in body["files"].items() if name.startswith("weights/")}
    parts = {key: body[key] for key in ("definitions", "graphs", "method", "model", "preprocessing")}
    expected = hashlib.sha256(canonical({**parts, "weights": weights}).encode()).hexdigest()
    assert identity(body) == theirs(body) == expected


@pytest.mark.parametrize(
    ("version", "changes"),
    [
        (1, {"method": "cs-flow"}),
        (1, {"preprocessing": {"image_size": 64, "roi": None, "resize": "pillow-bilinear", "window": [0, 4095]}}),
        (2, {"preprocessing": {"image_size": 64, "window": [4095, 4095]}}),
        (2, {"preprocessing": {"image_size": 64, "window": [-1, 4095]}}),
        (2, {"preprocessing": {"image_size": 64, "window": [0, 65536]}}),
        (2, {"preprocessing": {"image_size": 64, "window": [0, 4095.0]}}),
        (2, {"preprocessing": {"image_size": 64, "window": [0, 1, 2]}}),
        (2, {"preprocessing": {"image_size": 64, "window": None}}),
        (1, {"preprocessing": {"image_size": 64, "roi": None, "resize": "pillow-bilinear", "exposure": 128}}),
        *((2, {"preprocessing": {"image_size": 64, "exposure": level}}) for level in (0, 255, -1, 128.0, None, "128")),
        (2, {"preprocessing": {"image_size": 64, "exposure": 128, "ignore": [[3, 4, 5, 6]]}}),
        (2, {"preprocessing": {"image_size": 64, "exposure": 128, "tiles": [64, 8]}}),
        (1, {"preprocessing": {"image_size": 64, "roi": None, "resize": "pillow-bilinear", "align": ALIGN}}),
        (2, {"preprocessing": {"image_size": 32, "align": ALIGN}}),
        (2, {"preprocessing": {"image_size": 64, "align": ALIGN, "ignore": [[3, 4, 5, 6]]}}),
        (2, {"preprocessing": {"image_size": 64, "align": {**ALIGN, "model": "affine"}}}),
        (2, {"preprocessing": {"image_size": 64, "align": {**ALIGN, "floor": 0}}}),
        (2, {"preprocessing": {"image_size": 64, "align": {**ALIGN, "floor": 1000}}}),
        (2, {"preprocessing": {"image_size": 64, "align": {**ALIGN, "reference": "0g" * 4096}}}),
        (2, {"preprocessing": {"image_size": 64, "align": {**ALIGN, "reference": "00" * 4095}}}),
        (2, {"preprocessing": {"image_size": 64, "align": {**ALIGN, "more": 1}}}),
        (2, {"preprocessing": {"image_size": 64, "align": None}}),
        (1, {"definitions": {"score": ""}}),
        (1, {"definitions": {"score": "x" * 201}}),
        (1, {"definitions": {"score": "\u00b5"}}),
        (2, {"method": "Flow"}),
        (2, {"method": ""}),
        (2, {"method": "x" * 32}),
        (2, {"graphs": ["x" * 33]}),
        (2, {"graphs": []}),
        (2, {"graphs": ["a", "a"]}),
        (2, {"graphs": ["../a"]}),
        (2, {"graphs": [1]}),
        (2, {"graphs": [f"g{i}" for i in range(9)]}),
        (2, {"preprocessing": {"image_size": 64, "roi": None}}),
        (2, {"preprocessing": {"image_size": 64, "ignore": []}}),
        (2, {"preprocessing": {"image_size": 64, "resize": "pillow-bilinear"}}),
        (2, {"definitions": {"score": "mean-half-z2"}}),
        (2, {"more": 1}),
    ],
)
def test_what_is_no_manifest_is_refused(identity: Identity, version: int, changes: dict[str, Any]) -> None:
    body = manifest(version, **changes)
    assert identity(body) == -6
    with pytest.raises(BundleCorrupted):
        theirs(body)


@pytest.mark.parametrize("key", ["method", "graphs", "model", "definitions"])
def test_a_key_that_lacks_is_refused(identity: Identity, key: str) -> None:
    body = manifest(2)
    del body[key]
    assert identity(body) == -6
    with pytest.raises(BundleCorrupted):
        theirs(body)
