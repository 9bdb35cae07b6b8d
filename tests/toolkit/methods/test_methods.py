"""What every method promises, of each in turn: scores and maps in their units, a model that is all in its files."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load

from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.golden import load_golden
from csflow.runtime.picture.images import read_image
from csflow.runtime.picture.preprocess import preprocess
from csflow.runtime.types import Prediction
from csflow.toolkit.data.dataset import load_dataset
from csflow.toolkit.data.sample import Sample
from csflow.toolkit.methods.table import METHODS
from csflow.toolkit.model import Model, weights_file

from ...conftest import QUICK_METHODS  # noqa: TID252 - tests are no package that could be named


@pytest.fixture(scope="module")
def bundle(method_bundle: Path) -> Bundle:
    return Bundle.open(method_bundle)


@pytest.fixture(scope="module")
def model(bundle: Bundle) -> Model:
    return Model.load(bundle)


@pytest.fixture(scope="module")
def test_line(model: Model, bundle: Bundle, product_line: Path) -> list[tuple[Sample, Prediction]]:
    samples = load_dataset(product_line).test
    images = np.stack([preprocess(read_image(s.path), bundle.manifest.preprocessing) for s in samples])
    return list(zip(samples, model.predict(torch.from_numpy(images)), strict=True))


def test_every_method_is_tested() -> None:
    assert set(QUICK_METHODS) == set(METHODS)
    assert len({method.graph for method in METHODS.values()}) == len(METHODS)


@pytest.mark.slow
def test_the_manifest_names_method_graphs_and_definitions(bundle: Bundle, model: Model) -> None:
    manifest = bundle.manifest
    assert manifest.format_version == 2
    assert manifest.method == model.config.method == model.method.name
    assert manifest.graphs == model.graphs
    assert (manifest.graphs[0], manifest.graphs[-1]) == ("backbone", model.method.graph)
    assert manifest.definitions == model.method.definitions
    assert all(np.isfinite(value) for value in manifest.provenance["fit"].values())


def test_scores_are_finite_and_positive_and_maps_not_negative(
    test_line: list[tuple[Sample, Prediction]], model: Model
) -> None:
    for _, prediction in test_line:
        assert 0.0 < prediction.score < float("inf")
        assert prediction.anomaly_map.dtype == np.float32
        # One position for each of the finest feature map, or more where patches overlap.
        assert prediction.anomaly_map.shape >= max(shape[1:] for shape in model.shapes)
        assert np.isfinite(prediction.anomaly_map).all()
        assert (prediction.anomaly_map >= 0.0).all()


def test_a_picture_of_nothing_and_one_of_noise_are_scored(model: Model) -> None:
    side = model.config.image_size
    noise = torch.randint(0, 256, (1, side, side, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    black, random = model.predict(torch.cat([torch.zeros_like(noise), noise]))
    for prediction in (black, random):
        assert 0.0 < prediction.score < float("inf")
        assert np.isfinite(prediction.anomaly_map).all()


def test_good_parts_score_in_units_of_their_own_spread(bundle: Bundle) -> None:
    spread = load_golden(bundle).spread
    assert spread is not None
    centre, deviation = spread
    # Half a squared standard deviation per dimension is 0.5 on the average, of many pictures.
    assert 0.1 < centre < 5.0
    assert 0.02 * centre < deviation < centre


def test_defects_score_above_good_parts(test_line: list[tuple[Sample, Prediction]]) -> None:
    good = [p.score for s, p in test_line if s.label == "good"]
    defective = [p.score for s, p in test_line if s.label != "good"]
    wins = sum(d > g for d in defective for g in good) / (len(good) * len(defective))
    # Of pictures of 128 px nearest sees three maps of 4 x 4 positions and fewer.
    assert wins > 0.7, "image AUROC on the synthetic line"


def test_the_state_is_the_whole_model(bundle: Bundle, model: Model) -> None:
    parts = model.head.parts or {model.method.graph: model.head}
    for graph, module in {"backbone": model.backbone.trunk, **parts}.items():
        assert load(bundle.read(weights_file(graph))).keys() == module.state_dict().keys()
    with torch.device("meta"):
        empty = model.method.head(model.config.head, model.shapes)
    for graph, part in (empty.parts or {model.method.graph: empty}).items():
        part.load_state_dict(load(bundle.read(weights_file(graph))), assign=True)
    assert not [name for name, tensor in empty.state_dict().items() if tensor.is_meta]
    features = tuple(torch.rand(2, *shape, generator=torch.Generator().manual_seed(1)) for shape in model.shapes)
    with torch.no_grad():
        for got, expected in zip(empty.eval()(*features), model.head(*features), strict=True):
            assert torch.equal(got, expected)


def test_settling_a_settled_configuration_changes_nothing(model: Model) -> None:
    if model.config.method in METHODS:
        settled = METHODS[model.config.method].settle(model.config.head, model.shapes)
        assert settled == model.config.head


def test_a_batch_gives_what_its_pictures_give_alone(model: Model) -> None:
    features = tuple(torch.rand(3, *shape, generator=torch.Generator().manual_seed(1)) for shape in model.shapes)
    with torch.no_grad():
        together, alone = model.head(*features), model.head(*(f[1:2] for f in features))
    for whole, one in zip(together, alone, strict=True):
        torch.testing.assert_close(whole[1:2], one, rtol=1e-4, atol=1e-5)


def test_golden_frames_are_scored_by_the_model(bundle: Bundle, model: Model) -> None:
    for frame, golden in load_golden(bundle):
        (prediction,) = model.predict(torch.from_numpy(frame.image[None]))
        assert prediction.score == pytest.approx(golden.score, rel=1e-4)
        assert golden.cell * len(golden.anomaly_map) == prediction.anomaly_map.shape[0]
        assert len(golden.anomaly_map) <= model.config.image_size // 32, "finer maps would be megabytes of JSON"
