"""manifest.json: written, read back, and refused when it was edited."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csflow.runtime.bundle.manifest import (
    FORMAT_VERSION,
    Definitions,
    FileEntry,
    Manifest,
    Preprocessing,
    file_name_problem,
)
from csflow.runtime.errors import BundleCorrupted, BundleError, BundleVersionError

ENTRY = FileEntry("0" * 64, 3)
MANIFEST = Manifest(
    Preprocessing(384, (1, 2, 300, 200)),
    Definitions(),
    {"backbone": "lite2", "scales": [1, 0.5], "kernels": {9: 3, 10: 5}},
    {"csflow": "0.1"},
    {"weights/flow.safetensors": ENTRY, "golden/a.png": ENTRY},
)
DATA = MANIFEST.to_bytes()


def edited(**changes: Any) -> bytes:
    return json.dumps({**json.loads(DATA), **changes}).encode()


def resealed(**changes: Any) -> bytes:
    """An edit by somebody who also corrected the hash: only the schema can refuse it."""
    body = {**json.loads(DATA), **changes}
    del body["manifest_sha256"]
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return json.dumps({**body, "manifest_sha256": hashlib.sha256(canonical.encode()).hexdigest()}).encode()


def test_round_trip() -> None:
    read = Manifest.from_bytes(DATA, "m")
    assert read.preprocessing == MANIFEST.preprocessing
    assert read.files == MANIFEST.files
    assert read.model == {"backbone": "lite2", "scales": [1, 0.5], "kernels": {"9": 3, "10": 5}}
    assert read.to_bytes() == DATA


@pytest.mark.fault("M1")
@given(st.integers(0, len(DATA) - 1), st.integers(0, 7))
def test_a_flipped_bit_is_refused_or_changes_nothing(position: int, bit: int) -> None:
    damaged = bytearray(DATA)
    damaged[position] ^= 1 << bit
    try:
        read = Manifest.from_bytes(bytes(damaged), "m")
    except BundleError:
        return
    assert read == Manifest.from_bytes(DATA, "m")


@pytest.mark.fault("M1")
@given(st.integers(0, len(DATA) - 2))
def test_a_truncated_manifest_is_corrupted(length: int) -> None:
    with pytest.raises(BundleCorrupted):
        Manifest.from_bytes(DATA[: min(length, len(DATA.rstrip()) - 1)], "m")


@pytest.mark.fault("M6")
@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (edited(model={}), BundleCorrupted, "edited"),
        (edited(manifest_sha256=""), BundleCorrupted, "edited"),
        (edited(manifest_sha256=None), BundleCorrupted, "edited"),
        (edited(format_version=FORMAT_VERSION + 1), BundleVersionError, "update csflow"),
        (edited(format_version=True), BundleCorrupted, "positive whole number"),
        (edited(format_version="1"), BundleCorrupted, "positive whole number"),
        (edited(format_version=0), BundleCorrupted, "positive whole number"),
        (edited(format="zip"), BundleError, "not the manifest"),
        (b"[]", BundleError, "not the manifest"),
        (b"\x80\x04.", BundleCorrupted, "not valid JSON"),
        (resealed(extra=1), BundleCorrupted, "unknown key"),
        (resealed(files={"../x": {"sha256": "0" * 64, "size": 1}}), BundleCorrupted, "no allowed file name"),
        (resealed(files={"a": {"sha256": "0" * 63, "size": 1}}), BundleCorrupted, "64 hexadecimal"),
        (resealed(files={"a": {"sha256": "0" * 64, "size": -1}}), BundleCorrupted, "size"),
        (resealed(preprocessing={"image_size": 33}), BundleCorrupted, "multiple of 32"),
        (resealed(preprocessing={"image_size": 64, "later": [1]}), BundleCorrupted, "unknown key"),
        (resealed(preprocessing={"image_size": 64, "tiles": [64, 33]}), BundleCorrupted, "overlap <= side / 2"),
        (resealed(preprocessing={"image_size": 64, "exposure": 255}), BundleCorrupted, "exposure must be 1 to 254"),
    ],
)
def test_refusals(data: bytes, error: type[BundleError], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        Manifest.from_bytes(data, "m")
    assert caught.type is error


def test_an_overflowing_number_cannot_pass_as_its_own_missing_hash() -> None:
    body = json.loads(edited(manifest_sha256=""))
    text = json.dumps(body).replace('"csflow": "0.1"', '"csflow": 1e999')
    with pytest.raises(BundleCorrupted, match="finite"):
        Manifest.from_bytes(text.encode(), "m")


@pytest.mark.parametrize("model", [{"a": float("nan")}, {"a": 10**30}])
def test_what_could_not_be_read_back_is_not_written(model: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        replace(MANIFEST, model=model).to_bytes()


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../a",
        "a/../b",
        "a/..",
        "/a",
        "a//b",
        "a/",
        ".a",
        "a/.b",
        "a\\b",
        "a b",
        "a\n",
        "\n",
        "ä",
        "~",
        "a:b",
        "manifest.json",
        "calibration.json",
        "x" * 201,
        "a\0b",
        "-a",
    ],
)
def test_names_that_a_bundle_may_not_hold(name: str) -> None:
    assert file_name_problem(name)


@pytest.mark.parametrize(
    "name", ["a", "weights/flow.safetensors", "graphs/fp16/backbone.onnx", "a.+-b", "golden/manifest.json"]
)
def test_names_that_a_bundle_may_hold(name: str) -> None:
    assert file_name_problem(name) is None


@pytest.mark.fault("M5")
@given(st.text(max_size=30))
def test_no_accepted_name_leaves_the_bundle(name: str) -> None:
    if file_name_problem(name) is None:
        assert not name.startswith("/")
        assert ".." not in name.split("/")


def test_a_file_cannot_also_be_a_folder() -> None:
    with pytest.raises(ValueError, match="cannot be a file and the folder"):
        replace(MANIFEST, files={"a": ENTRY, "a/b": ENTRY})


@pytest.mark.fault("M6")
@pytest.mark.parametrize(
    "arguments",
    [{"image_size": s} for s in (0, -32, 31, 33, 8224)]
    + [{"image_size": 64, "roi": r} for r in ((-1, 0, 1, 1), (0, 0, 0, 1), (0, 0, 1, 0), (0, 0, 65536, 1))]
    + [{"image_size": 64, "resize": "nearest"}, {"image_size": 64, "colour": "BGR"}],
)
def test_impossible_preprocessing(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"must be|only"):
        Preprocessing(**arguments)


@pytest.mark.parametrize(
    "arguments", [{"score": ""}, {"anomaly_map": "a\tb"}, {"score": "x" * 201}, {"score": "z\u00b2"}]
)
def test_impossible_definitions(arguments: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="printable ASCII"):
        Definitions(**arguments)
