"""OpenVINO's compiled models on the disk: only what is sealed is run."""

import hashlib
from pathlib import Path

import pytest

pytest.importorskip("openvino", reason="the extra openvino is not installed")

from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.golden import load_golden
from csflow.runtime.engines.openvino.blobs import seal_blobs, sound_folder
from csflow.runtime.engines.openvino.engine import OpenVINOEngine

GRAPH = "ab" * 32


def test_what_was_damaged_on_the_disk_is_compiled_again(
    trained_copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, cache = Bundle.open(trained_copy), tmp_path / "cache"
    monkeypatch.setenv("CSFLOW_CACHE", str(cache))
    frame = [next(iter(load_golden(bundle)))[0]]
    with OpenVINOEngine(bundle) as engine:
        expected = engine.infer(frame)[0].score
    blobs = sorted(cache.rglob("*.blob"))
    sound = [blob.read_bytes() for blob in blobs]
    assert len(blobs) == 2
    for blob, data in zip(blobs, sound, strict=True):
        # In place, so that OpenVINO's name for it still fits.
        middle = len(data) // 2
        blob.write_bytes(data[:middle] + bytes(4096) + data[middle + 4096 :])
    with OpenVINOEngine(bundle) as engine:
        assert engine.infer(frame)[0].score == expected
    for blob in blobs:
        digest = hashlib.sha256(blob.read_bytes()).hexdigest()
        assert blob.with_name(f"{blob.name}.sha256").read_text() == f"{digest}  {blob.name}\n"


def test_only_files_with_a_seal_that_fits_stay(tmp_path: Path) -> None:
    folder = sound_folder(tmp_path, GRAPH, "f32")
    assert folder is not None
    assert folder.match(f"{GRAPH[:32]}-f32-????????")
    (folder / "1.blob").write_bytes(b"sound")
    (folder / "2.blob").write_bytes(b"changed")
    seal_blobs(folder)
    (folder / "2.blob").write_bytes(b"Changed")
    (folder / "3.blob").write_bytes(b"its process was killed before it was sealed")
    (folder / "4.txt").write_bytes(b"somebody's")
    (tmp_path / "5.blob").write_bytes(b"of a csflow that sealed nothing")
    assert sound_folder(tmp_path, GRAPH, "f32") == folder
    assert sorted(p.name for p in folder.iterdir()) == ["1.blob", "1.blob.sha256", "4.txt"]
    assert not (tmp_path / "5.blob").exists()


def test_what_was_compiled_for_another_processor_is_left_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = []
    for flags in ("sse2 avx2", "sse2 avx2 avx512f", "sse2 avx2 avx512f amx_bf16"):
        monkeypatch.setattr("csflow.runtime.engines.openvino.blobs.processor_instructions", lambda flags=flags: flags)
        folder = sound_folder(tmp_path, GRAPH, "f32")
        assert folder is not None
        assert not list(folder.iterdir())
        (folder / "1.blob").write_bytes(flags.encode())
        seal_blobs(folder)
        folders.append(folder)
    assert len(set(folders)) == 3
    assert all((folder / "1.blob").exists() for folder in folders)


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_where_it_cannot_be_made_or_cleared_there_is_no_cache(tmp_path: Path, kind: str) -> None:
    folder = sound_folder(tmp_path, GRAPH, "f32")
    assert folder is not None
    if kind == "file":
        folder.rmdir()
        folder.write_bytes(b"in the way")
    else:
        (folder / "1.blob").mkdir()
    assert sound_folder(tmp_path, GRAPH, "f32") is None
    seal_blobs(tmp_path / "not there")
