"""Pictures from folders and patterns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from csflow.runtime.errors import FrameError, SourceError
from csflow.runtime.picture.images import read_image
from csflow.runtime.source import open_source
from csflow.runtime.sources import files
from csflow.runtime.sources.files import natural_key
from csflow.runtime.synthetic.product import part_at

from .pictures import drain, write_folder


def test_files_come_in_natural_order_and_stay_one_stream(tmp_path: Path) -> None:
    with open_source(str(write_folder(tmp_path / "parts"))) as source:
        assert not source.live
        assert [Path(f.source).name for f in drain(source)] == ["p1.png", "p2.png", "p10.png"]


def test_pictures_that_cannot_be_read_are_passed_over_but_not_without_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write_folder(tmp_path / "parts")
    (folder / "p4.heic").write_bytes(b"a part that nobody would see")
    assert len(drain(open_source(str(folder)))) == 3
    (said,) = (record.getMessage() for record in caplog.records)
    assert said.startswith("1 picture is of a format that csflow does not read")


def test_natural_order_compares_any_two_names() -> None:
    names = ["1", "1a", "10", "a", "a/2", "a1", "a01b", "b9/1", "b10/1", "²"]
    assert [str(p) for p in sorted(map(Path, reversed(names)), key=natural_key)] == names


def test_an_unreadable_file_is_an_error_in_its_place_and_the_stream_goes_on(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "parts", ("p1.png", "p3.png"))
    (folder / "p2.png").write_bytes(b"no picture")
    with open_source(str(folder)) as source:
        assert source.read(0.0) is not None
        with pytest.raises(FrameError, match=r"p2\.png") as caught:
            source.read(0.0)
        third = source.read(0.0)
    assert (caught.value.index, Path(caught.value.source).name) == (1, "p2.png")
    assert third is not None
    assert third.index == 2


def test_a_jpeg_with_a_gap_is_an_error_in_its_place_and_every_whole_one_is_pillows(tmp_path: Path) -> None:
    pytest.importorskip("simplejpeg", reason="the extra camera is not installed")
    image = Image.fromarray(part_at(3, 0, 0.0, (256, 192)).image)
    for name, mode in (("p1.jpg", "RGB"), ("p3.jpeg", "L"), ("p4.jfif", "CMYK")):
        image.convert(mode).save(tmp_path / name, "JPEG", quality=90)
    data = (tmp_path / "p1.jpg").read_bytes()
    (tmp_path / "p2.jpg").write_bytes(data[: len(data) // 2] + data[len(data) // 2 + 2000 :])
    assert read_image(tmp_path / "p2.jpg").shape == (192, 256, 3), "Pillow sees gaps now: this can go"
    with open_source(str(tmp_path)) as source:
        first = source.read(0.0)
        with pytest.raises(FrameError, match=r"p2\.jpg holds a JPEG that is cut off or damaged"):
            source.read(0.0)
        rest = drain(source)
    assert first is not None
    for frame in (first, *rest):
        assert np.array_equal(frame.image, read_image(Path(frame.source)))
    assert len(rest) == 2


def test_a_picture_that_goes_while_it_is_read_is_an_error_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "p.jpg"
    Image.new("RGB", (8, 8)).save(path)
    monkeypatch.setattr(files, "image_size", lambda _: path.unlink())
    with files.FileSource("p", [path]) as source, pytest.raises(FrameError, match=r"cannot read .*p\.jpg"):
        source.read(1.0)


@pytest.mark.parametrize("pattern", ["", "*.png"])
def test_a_link_to_nothing_is_an_error_in_its_place(pattern: str, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "parts", ("p1.png",))
    (folder / "p2.png").symlink_to("gone.png")
    with open_source(str(folder / pattern)) as source:
        assert source.read(0.0) is not None
        with pytest.raises(FrameError, match=r"p2\.png is a link to nothing"):
            source.read(0.0)


@pytest.mark.parametrize("pattern", ["", "*.png", "missing.png"])
def test_a_place_without_pictures_is_an_error_at_once(pattern: str, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(SourceError, match="picture"):
        open_source(str(tmp_path / pattern))


def test_a_glob_takes_pictures_only_and_descends_on_two_stars(tmp_path: Path) -> None:
    write_folder(tmp_path / "good", ("a.png",))
    write_folder(tmp_path / "bad", ("b.png",))
    (tmp_path / "bad" / "labels.json").touch()
    with open_source(f"{tmp_path}/**/*") as source:
        assert [Path(f.source).name for f in drain(source)] == ["b.png", "a.png"]


def test_a_link_to_the_folder_above_gives_no_picture_twice(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "parts")
    (folder / "again").symlink_to(folder)
    with open_source(f"{folder}/**/*.png") as source:
        assert [f.source for f in drain(source)] == [str(folder / name) for name in ("p1.png", "p2.png", "p10.png")]
