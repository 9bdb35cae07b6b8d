"""Each fold is exact: in float64, folded and unfolded models agree to 1e-12; and it saves what it says."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from csflow.export.graphs.backbone import InferenceBackbone, fold_backbone, fold_batch_norms, fold_pixel_scale
from csflow.export.graphs.heads.flow.fold import (
    fold_clamp,
    fold_flow,
    fold_gamma,
    fold_upsampling,
    merge_biases,
)
from csflow.export.graphs.heads.flow.folded import InferenceFlow, UpConvolution
from csflow.export.graphs.heads.flow.graph import flow_savings
from csflow.export.graphs.heads.flow.tap_convolution import TapConvolution, tap_matrices
from csflow.toolkit.backbones.backbone import Backbone, image_pyramid
from csflow.toolkit.backbones.config import BackboneConfig
from csflow.toolkit.backbones.cost import Cost, cost
from csflow.toolkit.methods.flow.config import FlowConfig
from csflow.toolkit.methods.flow.flow import anomaly_map, score
from csflow.toolkit.methods.method import Shapes

from ..conftest import MakeBackbone, MakeFlow  # noqa: TID252 - tests are no package that could be named

pytestmark = pytest.mark.usefixtures("no_grad")
FlowFold = Callable[[InferenceFlow], None]


@pytest.fixture
def no_grad() -> object:
    with torch.no_grad():
        yield


def features(shapes: Shapes, factor: float = 1.0) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(3)
    return tuple(factor * torch.randn(2, *s, generator=generator, dtype=torch.float64) for s in shapes)


def sides(shapes: Shapes) -> list[int]:
    return [side for _, side, _ in shapes]


def frames(side: int = 64) -> Tensor:
    return torch.randint(0, 256, (2, side, side, 3), generator=torch.Generator().manual_seed(4), dtype=torch.uint8)


def assert_equal(got: tuple[Tensor, ...], expected: tuple[Tensor, ...]) -> None:
    for a, b in zip(got, expected, strict=True):
        assert a.dtype == b.dtype == torch.float64
        assert float((a - b).abs().max() / b.abs().max()) < 1e-12


def trained(flow: nn.Module, x: tuple[Tensor, ...], definition: str) -> tuple[Tensor, Tensor]:
    z, _ = flow(x)
    return score(z), anomaly_map(z, definition)


def trained_features(backbone: Backbone, pictures: Tensor) -> tuple[Tensor, ...]:
    # Backbone.forward itself begins in float32, which is too coarse here.
    mean, std = (torch.tensor(v, dtype=torch.float64) for v in (backbone.config.mean, backbone.config.std))
    x = ((pictures.double() / 255.0 - mean) / std).permute(0, 3, 1, 2)
    return tuple(f for x_i in image_pyramid(x, backbone.config.scales) for f in backbone.trunk(x_i))


def double_backbone(backbone: Backbone) -> InferenceBackbone:
    copied = InferenceBackbone(backbone.double())
    mean, std = (
        torch.tensor(v, dtype=torch.float64).reshape(1, 3, 1, 1) for v in (BackboneConfig.mean, BackboneConfig.std)
    )
    copied.register_buffer("mean", mean * 255.0)
    copied.register_buffer("scale", 1.0 / (std * 255.0))
    return copied


@pytest.mark.parametrize("definition", ["scale0-mean-z2", "product-mean-z2"])
@pytest.mark.parametrize(("scales", "hidden", "standardise"), [(1, 16, True), (2, 128, False), (3, 128, True)])
def test_folded_flow_is_the_trained_one(
    make_flow: MakeFlow, definition: str, scales: int, hidden: int, standardise: bool
) -> None:
    flow, shapes = make_flow(scales, (3, 1, 5), hidden, standardise)
    flow = flow.double()
    x = features(shapes)
    assert_equal(fold_flow(flow, sides(shapes), definition)(*x), trained(flow, x, definition))


def test_a_folded_flow_whitens_and_scores_as_the_trained_one(make_flow: MakeFlow) -> None:
    flow, shapes = make_flow(whiten=True, score_power=3)
    flow = flow.double()
    x = features(shapes)
    z, _ = flow(x)
    assert_equal(fold_flow(flow, sides(shapes))(*x), (score(z, power=3), anomaly_map(z)))


@pytest.mark.parametrize("fold", [fold_gamma, merge_biases, fold_clamp, lambda f: fold_upsampling(f, (8, 4, 2), 1)])
def test_each_fold_of_the_flow_alone_is_exact(make_flow: MakeFlow, fold: FlowFold) -> None:
    flow, shapes = make_flow()
    folded = InferenceFlow(flow.double(), "scale0-mean-z2")
    x = features(shapes)
    before = folded(*x)
    fold(folded)
    assert_equal(folded(*x), before)


def test_flow_without_log_determinant_is_the_trained_one(make_flow: MakeFlow) -> None:
    flow, shapes = make_flow()
    x = features(shapes)
    assert_equal(InferenceFlow(flow.double(), "scale0-mean-z2")(*x), trained(flow, x, "scale0-mean-z2"))


def test_one_clip_is_enough_where_no_latent_leaves_it_and_finite_where_one_does(make_flow: MakeFlow) -> None:
    flow, shapes = make_flow()
    folded = fold_flow(flow, sides(shapes))
    for factor in (1e2, 1e4, 1e6, 1e12):
        x = tuple(f.float() for f in features(shapes, factor))
        value, picture = folded(*x)
        assert torch.isfinite(value).all()
        assert torch.isfinite(picture).all()
        assert (value > 10.0 * folded(*(f.float() for f in features(shapes)))[0]).all()


@pytest.mark.parametrize("padding", ["timm", "tf_same", "symmetric", "mixture"])
def test_folded_backbone_keeps_every_padding(make_backbone: MakeBackbone, padding: str) -> None:
    # The mixture of efficientnet_pytorch 0.7.1 is defined for B0 to B7, which also have squeeze pooling.
    name, padding = ("tf_efficientnet_b0", "lm071") if padding == "mixture" else ("tf_efficientnet_lite0", padding)
    backbone = make_backbone(name, padding)
    expected = trained_features(backbone.double(), frames())
    folded = double_backbone(backbone)
    assert_equal(folded(frames()), expected)
    fold_batch_norms(folded)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in folded.modules())
    assert_equal(folded(frames()), expected)
    fold_pixel_scale(folded)
    assert_equal(folded(frames()), expected)


def test_folding_leaves_the_trained_model_as_it_is(make_flow: MakeFlow, make_backbone: MakeBackbone) -> None:
    flow, shapes = make_flow()
    backbone = make_backbone()
    for module, fold in ((flow, lambda: fold_flow(flow, sides(shapes))), (backbone, lambda: fold_backbone(backbone))):
        before = copy.deepcopy(module.state_dict())
        fold()
        after = module.state_dict()
        assert before.keys() == after.keys()
        assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("side", [1, 2, 3, 6])
def test_convolution_before_enlarging_is_exact_to_the_border(kernel: int, side: int) -> None:
    torch.manual_seed(kernel)
    conv = nn.Conv2d(3, 4, kernel, padding=kernel // 2).double()
    h = torch.randn(2, 3, side, side, dtype=torch.float64)
    assert_equal((TapConvolution(conv, side)(h),), (UpConvolution(conv)(h),))


def test_tap_matrices_are_enlargement_and_zero_filled_shift() -> None:
    line = torch.tensor([[[4.0, 8.0, 16.0]]], dtype=torch.float64)
    enlarged = functional.interpolate(line, scale_factor=2.0, mode="linear", align_corners=False)[0, 0]
    before, centre, after = (m @ line[0, 0] for m in tap_matrices(3, 3))
    assert centre.tolist() == enlarged.tolist() == [4.0, 5.0, 7.0, 10.0, 14.0, 16.0]
    assert before.tolist() == [0.0, *enlarged[:-1].tolist()]
    assert after.tolist() == [*enlarged[1:].tolist(), 0.0]


def test_cost_counts_a_convolution_and_its_bias() -> None:
    conv = nn.Conv2d(4, 6, 3, padding=1, groups=2)
    assert cost(conv, (torch.empty(1, 4, 5, 5),)) == Cost(1, 5 * 5 * 6 * 2 * 9, 6 * 2 * 9 + 6)


def test_savings_are_the_difference_of_trained_and_folded_model(make_flow: MakeFlow) -> None:
    flow, shapes = make_flow(hidden=128)
    savings = flow_savings(flow.config, shapes)
    left = savings[0].before
    for saving in savings:
        assert saving.before == left
        left = left - saving.saved
    example = tuple(torch.empty(1, *shape) for shape in shapes)
    assert left == cost(fold_flow(flow, sides(shapes)), example)
    by_name = {s.fold: s.saved for s in savings}
    assert by_name["gamma into convolutions"].parameters == 2 * 2 * 3
    assert by_name["one bias per output"].parameters == 2 * 2 * 4 * 12


def test_narrow_flows_enlarge_first_and_nothing_is_said_of_folds_that_do_not_apply(make_flow: MakeFlow) -> None:
    flow, shapes = make_flow(hidden=127)
    assert not any(isinstance(m, TapConvolution) for m in fold_flow(flow, sides(shapes)).modules())
    assert "convolve before enlarging" not in {s.fold for s in flow_savings(flow.config, shapes)}


def test_paper_settings_save_a_quarter_of_the_multiplications() -> None:
    flow = flow_savings(FlowConfig(), ((304, 24, 24), (304, 12, 12), (304, 6, 6)))
    # By hand, per sub-network 1024 k² (152 P + 304 (P + U + W)): 65.850 G in all, 48.37 G when enlarging last.
    assert flow[0].before.multiplications == pytest.approx(65.85e9, rel=2e-3)
    after = flow[-1].before - flow[-1].saved
    assert after.multiplications == pytest.approx(48.37e9, rel=5e-3)
