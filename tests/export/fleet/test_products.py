"""products.toml is read strictly: what cannot be is refused in words before any work."""

from __future__ import annotations

from pathlib import Path

import pytest

from csflow.export.fleet.products import read_products
from csflow.export.fleet.sharing import plan_of, shared_by
from csflow.runtime.errors import ConfigError
from csflow.runtime.picture.region import Region, save_region

TWO = (
    '[defaults]\nbackbone = "tf_efficientnet_lite0"\nmethod = "padim"\nimage_size = 128\n{}[products.a]\nimages = "x"\n'
)
TWO += '{}[products.b]\nimages = "y"\nmethod = "nearest"\n{}'


def written(folder: Path, text: str) -> Path:
    path = folder / "products.toml"
    path.write_text(text)
    return path


def test_defaults_are_for_all_and_paths_relative_to_the_file(tmp_path: Path) -> None:
    fleet = read_products(written(tmp_path, TWO.format("", "number = 7\n", 'bundle = "line2/b.csflow"\n')))
    a, b = fleet.products
    assert (a.entry.method, b.entry.method, a.entry.image_size, a.entry.number) == ("padim", "nearest", 128, 7)
    assert (a.images, a.bundle) == (tmp_path / "x", tmp_path / "bundles" / "a.csflow")
    assert b.bundle == tmp_path / "line2" / "b.csflow"
    assert fleet.work == tmp_path / "products.fleet"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "products: missing"),
        ("[products]\n", "no product"),
        ("products = 3\n", "expected an object"),
        ('[products.a]\nmethod = "padim"\n', "products.a.images: missing"),
        ('[products.a]\nimages = "x"\nmetod = "padim"\n', "did you mean 'method'"),
        ('[products.a]\nimages = "x"\nimage_size = "128"\n', "expected int"),
        ('[products.a]\nimages = "x"\n[products.a]\nimages = "y"\n', "twice"),
        ('[products."a/b"]\nimages = "x"\n', "expected letters, digits"),
        ('[products.a]\nimages = "x"\n[products.A]\nimages = "y"\n', "share the name a"),
        ('[defaults]\nimages = "x"\n[products.a]\nimages = "x"\n', "defaults.images: unknown key"),
        ('[defaults]\nhold_out = 0.6\n[products.a]\nimages = "x"\n', "hold_out"),
        (TWO.format("", "number = 7\n", "number = 7\n"), "a and b share the number 7"),
        (TWO.format("", "number = 70000\n", ""), "number 70000"),
        (TWO.format("", "cores = 0\n", ""), "cores 0"),
        (TWO.format("", "gpus = -1.0\n", ""), "gpus -1"),
        (TWO.format("", "", "false_reject_rate = 1.0\n"), "between 0 and 1"),
        (TWO.format("", 'bundle = "m"\n', 'bundle = "n/../m"\n'), "a and b share the bundle"),
    ],
)
def test_what_cannot_be_is_refused_in_words(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read_products(written(tmp_path, text))
    assert words in str(caught.value)
    assert "products.toml" in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        read_products(tmp_path / "products.toml")


def test_products_on_the_same_pictures_share_what_any_of_them_reads(tmp_path: Path) -> None:
    text = TWO.format("", "", "") + '[products.c]\nimages = "x"\nmethod = "cs-flow?hidden=16"\n'
    text += '[products.d]\nimages = "x"\nflips = "both"\n[products.e]\nimages = "x"\nmethod = "patches"\n'
    fleet = read_products(written(tmp_path, text))
    shared = shared_by(fleet.products, fleet.work)
    assert set(shared) == {"a", "c"}, "b has other pictures, d mirror images, e reads patches"
    folder, backbone = shared["a"]
    assert shared["c"] == (folder, backbone)
    assert (backbone.stages, backbone.scales) == ((4, 5), 3)
    assert fleet.work in folder.parents


def test_a_plan_that_cannot_be_names_its_product(tmp_path: Path) -> None:
    fleet = read_products(written(tmp_path, TWO.format("", "", "image_size = 100\n")))
    with pytest.raises(ConfigError, match=r"^b: image_size must be"):
        shared_by(fleet.products, fleet.work)


def test_a_region_and_weights_lie_beside_the_file(tmp_path: Path) -> None:
    save_region(Region((1, 2, 64, 64)), tmp_path / "region.json")
    more = 'region = "region.json"\nbackbone_weights = "own.safetensors"\n'
    a, b = read_products(written(tmp_path, TWO.format("", more, ""))).products
    assert plan_of(a).roi == (1, 2, 64, 64)
    assert plan_of(a).weights == str(tmp_path / "own.safetensors")
    assert (plan_of(b).roi, plan_of(b).weights) == (None, "auto")


def test_a_wrong_value_is_told_with_its_place_once(tmp_path: Path) -> None:
    path = tmp_path / "products.toml"
    path.write_text("[products.a]\nimages = 3\n")
    with pytest.raises(ConfigError) as told:
        read_products(path)
    assert str(told.value).startswith(f"{path}.products.a.images: ")
    assert str(told.value).count(path.name) == 1
