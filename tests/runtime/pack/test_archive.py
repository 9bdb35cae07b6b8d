"""A pack gives its bundle back byte for byte, or is refused before anything parses it."""

from __future__ import annotations

import io
import os
import random
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.errors import BundleCorrupted, BundleError
from csflow.runtime.pack import archive, seal
from csflow.runtime.pack.archive import pack, unpack
from csflow.runtime.pack.keys import TrustList
from csflow.runtime.pack.origin import read_origin
from csflow.runtime.pack.seal import SEAL_BYTES, check_seal, write_seal

NOBODY = TrustList("the list", {})


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def packed(calibrated_bundle: Bundle, pair: Any, tmp_path: Path) -> Path:
    pack(calibrated_bundle, tmp_path / "part7.csflow.zip", pair.key)
    return tmp_path / "part7.csflow.zip"


def test_what_was_packed_comes_out(calibrated_bundle: Bundle, packed: Path, pair: Any, tmp_path: Path) -> None:
    made, seal = unpack(packed, tmp_path / "there/part7.csflow", pair.trusted)
    got = files(made.path)
    assert got.pop("origin.json")
    assert got == files(calibrated_bundle.path)
    assert seal.signer == "anna of the factory"
    origin = read_origin(made)
    assert origin is not None
    assert (origin.signer, origin.pack_sha256) == (seal.signer, seal.sha256)


def test_the_same_bundle_gives_the_same_bytes(
    calibrated_bundle: Bundle, packed: Path, pair: Any, tmp_path: Path
) -> None:
    copied = Path(shutil.copytree(calibrated_bundle.path, tmp_path / "elsewhere"))
    for number, path in enumerate(sorted(copied.rglob("*"))):
        os.utime(path, (number, number))
    (copied / "engines/openvino/fp32").mkdir(parents=True)
    (copied / "engines/openvino/fp32/flow.plan").write_bytes(b"of this machine")
    pack(Bundle.open(copied), tmp_path / "again.zip", pair.key)
    assert (tmp_path / "again.zip").read_bytes() == packed.read_bytes()


def test_other_programs_read_it(packed: Path) -> None:
    with zipfile.ZipFile(packed) as opened:
        assert opened.testzip() is None
        assert opened.namelist()[0] == "manifest.json"
        assert {entry.compress_type for entry in opened.infolist()} == {zipfile.ZIP_STORED}


def test_one_changed_byte_is_refused_before_parsing(
    packed: Path, pair: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("parsed")

    monkeypatch.setattr(archive, "zipfile", type("Never", (), {"ZipFile": never, "BadZipFile": zipfile.BadZipFile}))
    data, draw = packed.read_bytes(), random.Random(0)
    places = [*range(len(data) - SEAL_BYTES, len(data)), *draw.sample(range(len(data)), 1888)]
    for place in places:
        changed = bytearray(data)
        changed[place] ^= 1 << draw.randrange(8)
        packed.write_bytes(changed)
        with pytest.raises(BundleCorrupted):
            unpack(packed, tmp_path / "there", pair.trusted)
    assert not (tmp_path / "there").exists()


@pytest.mark.parametrize("number", [b"0", b"2"])
def test_another_format_is_refused_though_a_trusted_key_signed_it(
    packed: Path, pair: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: bytes
) -> None:
    os.truncate(packed, packed.stat().st_size - SEAL_BYTES)
    with monkeypatch.context() as patch, packed.open("r+b") as file:
        patch.setattr(seal, "MAGIC", seal.MAGIC.replace(b"1", number))
        write_seal(file, pair.key)
    with pytest.raises(BundleCorrupted, match="no pack of csflow's"):
        unpack(packed, tmp_path / "there", pair.trusted)
    assert not (tmp_path / "there").exists()


@pytest.mark.parametrize("length", [0, 1, SEAL_BYTES - 1, SEAL_BYTES, SEAL_BYTES + 1, -1, -SEAL_BYTES])
def test_a_pack_that_was_cut_off_is_refused(packed: Path, pair: Any, tmp_path: Path, length: int) -> None:
    packed.write_bytes(packed.read_bytes()[:length])
    with pytest.raises(BundleCorrupted, match="copy it again"):
        unpack(packed, tmp_path / "there", pair.trusted)


def test_a_signature_cannot_be_taken_off(packed: Path, pair: Any) -> None:
    data = bytearray(packed.read_bytes())
    data[-96:-64] = bytes(32)
    packed.write_bytes(data)
    with pytest.raises(BundleCorrupted, match="was changed after it was packed"):
        check_seal(packed, pair.trusted, allow_unsigned=True)


def test_a_stranger_is_refused_by_name_of_the_list(packed: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleCorrupted, match="signed by a key that the list does not name"):
        unpack(packed, tmp_path / "there", NOBODY)


def test_unsigned_needs_the_flag_and_stays_visible(calibrated_bundle: Bundle, tmp_path: Path) -> None:
    pack(calibrated_bundle, tmp_path / "plain.zip", None)
    with pytest.raises(BundleCorrupted, match="--allow-unsigned"):
        unpack(tmp_path / "plain.zip", tmp_path / "there", NOBODY)
    made, _ = unpack(tmp_path / "plain.zip", tmp_path / "there", NOBODY, allow_unsigned=True)
    origin = read_origin(made)
    assert origin is not None
    assert origin.signer == ""


def test_a_model_trained_in_its_place_did_not_come_in_the_pack(packed: Path, pair: Any, tmp_path: Path) -> None:
    made, _ = unpack(packed, tmp_path / "there", pair.trusted)
    assert read_origin(made.update({"weights/flow.safetensors": b"another"})) is None


def test_what_a_killed_unpacking_left_is_cleared(packed: Path, pair: Any, tmp_path: Path) -> None:
    left = tmp_path / "x/.there.ab12cd_9.tmp"
    left.mkdir(parents=True)
    (left / "manifest.json").write_bytes(b"{}")
    unpack(packed, tmp_path / "x/there", pair.trusted)
    assert [path.name for path in (tmp_path / "x").iterdir()] == ["there"]


def test_it_does_not_write_over_anything(packed: Path, pair: Any, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(BundleError, match="exists"):
        unpack(packed, tmp_path / "there", pair.trusted)
    assert files(tmp_path / "there") == {}


def renamed(name: str) -> Callable[[zipfile.ZipFile, dict[str, bytes]], None]:
    def write(target: zipfile.ZipFile, content: dict[str, bytes]) -> None:
        for known, data in content.items():
            target.writestr(name if known.startswith("weights/") else known, data)

    return write


def compressed(target: zipfile.ZipFile, content: dict[str, bytes]) -> None:
    for name, data in content.items():
        target.writestr(name, data, zipfile.ZIP_DEFLATED)


def twice(target: zipfile.ZipFile, content: dict[str, bytes]) -> None:
    for name, data in [*content.items(), *content.items()]:
        target.writestr(name, data)


def without_manifest(target: zipfile.ZipFile, content: dict[str, bytes]) -> None:
    for name in content.keys() - {"manifest.json"}:
        target.writestr(name, content[name])


def larger(target: zipfile.ZipFile, content: dict[str, bytes]) -> None:
    for name, data in content.items():
        target.writestr(name, data + b"?" if name.startswith("golden/") else data)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    "write",
    [renamed("../outside"), renamed("/tmp/outside"), renamed("weights/../../outside"), compressed, twice,
     without_manifest, larger],
)  # fmt: skip
def test_what_a_trusted_key_signed_is_read_strictly_all_the_same(
    calibrated_bundle: Bundle, pair: Any, tmp_path: Path, write: Callable[..., None]
) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as target:
        target.comment = bytes(SEAL_BYTES)
        write(target, files(calibrated_bundle.path))
    path = tmp_path / "forged.zip"
    with path.open("w+b") as file:
        file.write(inner.getvalue()[:-SEAL_BYTES])
        write_seal(file, pair.key)
    before = files(tmp_path)
    with pytest.raises(BundleCorrupted, match=r"csflow pack|pack the bundle again"):
        unpack(path, tmp_path / "deep/er/there", pair.trusted)
    assert files(tmp_path) == before
    assert not (tmp_path / "deep").exists()


def test_a_damaged_bundle_is_not_packed(calibrated_bundle: Bundle, tmp_path: Path) -> None:
    (calibrated_bundle.path / "weights/flow.safetensors").write_bytes(b"y")
    with pytest.raises(BundleCorrupted):
        pack(calibrated_bundle, tmp_path / "new.zip", None)
    assert not (tmp_path / "new.zip").exists()
