"""products.toml is read strictly: what cannot be is refused in words before any work."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click
import pytest

from csflow.calibration.cli import calibrate
from csflow.export.fleet.products import Entry, read_products
from csflow.export.fleet.sharing import shared_by
from csflow.runtime.errors import ConfigError
from csflow.runtime.picture.region import Region, save_region
from csflow.toolkit.choosing.settings import TrainSettings
from csflow.toolkit.cli.method_options import flow_names
from csflow.toolkit.cli.train import train

OF_ONE_RUN = {"images", "paths", "bundle", "fresh", "as_json", "max_megapixels", "auto", "randomise"}
"""Places and habits of a single run; 'auto' is a method here, and pictures are randomised for trials alone."""
TWO = (
    '[defaults]\nbackbone = "tf_efficientnet_lite0"\nmethod = "padim"\nimage_size = 128\n{}[products.a]\nimages = "x"\n'
)
TWO += '{}[products.b]\nimages = "y"\nmethod = "nearest"\n{}'
SHORT_FLOW = "cs-flow?hidden=128&epochs=10&schedule=cosine&learning_rate=0.003"
"""What the preset 'balanced' means."""


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
        (TWO.format("", "", "warn_rate = 0.0\n"), "between 0 and 1"),
        (TWO.format("", "", "tile = 0\n"), "tile of at least 1"),
        (TWO.format('preset = "quick"\n', "", ""), "expected one of fast, balanced, paper"),
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


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("image_size = 100", "image_size must be"),
        ("overlap = 8", "overlap is that of tiles"),
        ("tile = 64", "smaller than the model input of 128"),
        ('roi = [0, 0, 64, 64]\nregion = "region.json"', "roi and region both"),
        ('method = "auto"\ncandidates = "padim,flow"', "choose one of"),
    ],
)
def test_a_plan_that_cannot_be_names_its_product(more: str, words: str, tmp_path: Path) -> None:
    file = written(tmp_path, TWO.format("", "", "").replace('method = "nearest"\n', f"{more}\n"))
    fleet = read_products(file)
    with pytest.raises(ConfigError, match=f"^b: .*{words}"):
        shared_by(fleet.products, fleet.work)


def test_a_preset_is_overruled_by_whatever_is_said(tmp_path: Path) -> None:
    text = '[defaults]\npreset = "balanced"\nimage_size = 256\n[products.a]\nimages = "x"\n'
    text += '[products.b]\nimages = "x"\nmethod = "padim"\n[products.c]\nimages = "x"\npreset = "fast"\n'
    entries = [product.entry for product in read_products(written(tmp_path, text)).products]
    assert [entry.method for entry in entries] == [SHORT_FLOW, "padim", "mahalanobis"]
    assert {(entry.backbone, entry.image_size) for entry in entries} == {("tf_efficientnet_lite2", 256)}
    assert [entry.hold_out for entry in entries] == [0.1, 0.1, None]


def test_pictures_that_are_aligned_or_cut_otherwise_share_nothing(tmp_path: Path) -> None:
    text = '[defaults]\npreset = "fast"\nimage_size = 128\n'
    cut = (("a", ""), ("b", 'align = "euclidean"'), ("c", "tile = 128"), ("d", "exposure = 110"))
    for name, more in (*cut, ("e", 'method = "auto"')):
        text += f'[products.{name}]\nimages = "x"\n{more}\n'
    fleet = read_products(written(tmp_path, text))
    assert shared_by(fleet.products, fleet.work) == {}


def test_a_region_and_weights_lie_beside_the_file(tmp_path: Path) -> None:
    save_region(Region((1, 2, 64, 64)), tmp_path / "region.json")
    more = 'region = "region.json"\nbackbone_weights = "own.safetensors"\n'
    a, b = read_products(written(tmp_path, TWO.format("", more, ""))).products
    (plan,) = a.settings.plans().values()
    assert (plan.roi, plan.weights) == ((1, 2, 64, 64), str(tmp_path / "own.safetensors"))
    (plan,) = b.settings.plans().values()
    assert (plan.roi, plan.weights) == (None, "auto")


def test_a_wrong_value_is_told_with_its_place_once(tmp_path: Path) -> None:
    path = tmp_path / "products.toml"
    path.write_text("[products.a]\nimages = 3\n")
    with pytest.raises(ConfigError) as told:
        read_products(path)
    assert str(told.value).startswith(f"{path}.products.a.images: ")
    assert str(told.value).count(path.name) == 1


def options_of(command: click.Command) -> dict[str, object]:
    """By name of parameter, what it is where nobody says anything."""
    said = command.make_context(command.name, ["x"]).params
    return {str(parameter.name): said.get(str(parameter.name), parameter.default) for parameter in command.params}


def test_whatever_train_and_calibrate_take_a_product_takes_with_the_same_default() -> None:
    keys = {field.name: field.default for field in dataclasses.fields(Entry)}
    taken = {**options_of(train), **options_of(calibrate)}
    options = {name: value for name, value in taken.items() if name not in {*OF_ONE_RUN, *flow_names()}}
    assert {name: keys.get(name, "no key of products.toml") for name in options} == options
    assert {field.name for field in dataclasses.fields(TrainSettings)} <= options.keys()
