"""The theorems of the flow, in float64, with weights that are not the identity."""

import hashlib

import numpy as np
import pytest
import torch

from csflow.toolkit.features import FeatureFiles
from csflow.toolkit.methods.flow.config import FlowConfig
from csflow.toolkit.methods.flow.coupling import CouplingBlock, CrossScaleNet, reference_permutations, soft_clamp
from csflow.toolkit.methods.flow.flow import CrossScaleFlow, Standardise, anomaly_map, negative_log_likelihood, score
from csflow.toolkit.methods.flow.training import new_flow
from csflow.toolkit.methods.flow.whiten import Whiten

CHANNELS = 6


def whiten_by_draw(layer: Whiten, generator: torch.Generator) -> None:
    """Means and matrices that are nobody's, and their log-determinants."""
    for i in range(layer.scales):
        matrix, log_det = layer.matrix(i), layer.get_buffer(f"log_det{i}")
        layer.get_buffer(f"mean{i}").normal_(generator=generator)
        matrix += 0.3 * torch.randn(matrix.shape, generator=generator, dtype=matrix.dtype)
        log_det.copy_(torch.linalg.slogdet(matrix).logabsdet.reshape(log_det.shape))


def randomised(config: FlowConfig, seed: int = 0) -> CrossScaleFlow:
    """A flow far from the identity: gamma starts at 0, which would let any flow pass."""
    flow = new_flow(config, seed).double()
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in flow.named_parameters():
        if name.endswith("gamma"):
            parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    for layer in flow.layers:
        if isinstance(layer, Standardise):
            layer.get_buffer("mean").normal_(generator=generator)
            layer.get_buffer("std").uniform_(0.5, 2.0, generator=generator)
        if isinstance(layer, Whiten):
            whiten_by_draw(layer, generator)
    return flow


def features(scales: int, batch: int = 2, side: int = 4, seed: int = 1) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    sides = [side >> i for i in range(scales)]
    return tuple(torch.randn(batch, CHANNELS, s, s, generator=generator, dtype=torch.float64) for s in sides)


CONFIGS = [
    FlowConfig(CHANNELS, 1, (3,), 5),
    FlowConfig(CHANNELS, 2, (3, 5), 5, standardise=False),
    FlowConfig(CHANNELS, 3, (3, 3, 3, 5), 7),
    FlowConfig(CHANNELS, 3, (1, 3), 4, clamp=1.5, slope=0.3),
    FlowConfig(CHANNELS, 2, (3, 1), 5, whiten=True, side=4),
]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: f"{c.scales}x{c.kernel_sizes}")
def test_inverse_undoes_forward(config: FlowConfig) -> None:
    flow = randomised(config)
    x = features(config.scales)
    with torch.no_grad():
        z, _ = flow(x)
        back = flow.inverse(z)
    assert max(float((a - b).abs().max()) for a, b in zip(x, z, strict=True)) > 0.1
    for a, b in zip(x, back, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: f"{c.scales}x{c.kernel_sizes}")
def test_forward_undoes_inverse(config: FlowConfig) -> None:
    flow = randomised(config)
    z = features(config.scales)
    with torch.no_grad():
        back, _ = flow(flow.inverse(z))
    for a, b in zip(z, back, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: f"{c.scales}x{c.kernel_sizes}")
def test_log_det_is_that_of_the_jacobian_per_sample(config: FlowConfig) -> None:
    flow = randomised(config)
    x = features(config.scales)
    _, log_det = flow(x)
    assert log_det.shape == (2,)
    for n in range(2):
        sample = tuple(x_i[n : n + 1] for x_i in x)
        shapes = [x_i.shape for x_i in sample]

        def flat(vector: torch.Tensor, shapes: list[torch.Size] = shapes) -> torch.Tensor:
            parts = vector.split([s.numel() for s in shapes])
            z, _ = flow(tuple(p.reshape(s) for p, s in zip(parts, shapes, strict=True)))
            return torch.cat([z_i.flatten() for z_i in z])

        jacobian = torch.autograd.functional.jacobian(flat, torch.cat([s.flatten() for s in sample]))
        torch.testing.assert_close(log_det[n], torch.linalg.slogdet(jacobian).logabsdet, rtol=1e-8, atol=1e-8)


def test_samples_do_not_influence_each_other() -> None:
    flow = randomised(CONFIGS[2])
    x = features(3, batch=3)
    with torch.no_grad():
        together, log_det = flow(x)
        alone, log_det_alone = flow(tuple(x_i[1:2] for x_i in x))
    for a, b in zip(together, alone, strict=True):
        torch.testing.assert_close(a[1:2], b)
    torch.testing.assert_close(log_det[1:2], log_det_alone)


def test_fresh_block_only_permutes() -> None:
    block = CouplingBlock(CHANNELS, 4, 3, 3, 3.0, 0.1, index=1).double()
    x = features(3)
    u, log_det = block(x)
    assert not log_det.any()
    for i, (x_i, u_i) in enumerate(zip(x, u, strict=True)):
        torch.testing.assert_close(u_i, x_i[:, block.permutation(i)])


def test_score_and_map_follow_their_equations() -> None:
    z = features(3, batch=2)
    for n in range(2):
        entries = np.concatenate([z_i[n].numpy().ravel() for z_i in z])
        assert float(score(z)[n]) == pytest.approx(float(np.mean(entries**2) / 2), rel=1e-12)
        expected = (z[0][n].numpy() ** 2).sum(axis=0) / CHANNELS
        np.testing.assert_allclose(anomaly_map(z)[n].numpy(), expected, rtol=1e-12)


def test_loss_is_the_gaussian_likelihood_per_latent() -> None:
    flow = randomised(CONFIGS[2])
    x = features(3)
    with torch.no_grad():
        z, log_det = flow(x)
    latents = sum(z_i[0].numel() for z_i in z)
    normal = torch.distributions.Normal(0.0, 1.0)
    log_p = torch.stack([normal.log_prob(z_i).flatten(1).sum(1) for z_i in z]).sum(0) + log_det
    constant = 0.5 * np.log(2 * np.pi)
    expected = float((-log_p / latents).mean()) - constant
    assert float(negative_log_likelihood(z, log_det)) == pytest.approx(expected, rel=1e-9)


def test_cross_scale_net_matches_a_direct_transcription() -> None:
    torch.manual_seed(3)
    net = CrossScaleNet(2, 4, 5, 3, 3, 0.1).double()
    net.gamma.data = torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64)
    x0, x1, x2 = (x[:, :2] for x in features(3))
    conv = torch.nn.functional.conv2d
    act = torch.nn.LeakyReLU(0.1)
    up = torch.nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)

    def c(layer: torch.nn.Module, x: torch.Tensor, stride: int = 1) -> torch.Tensor:
        return conv(x, layer.weight, layer.bias, stride=stride, padding=1)  # type: ignore[arg-type]

    h0, h1, h2 = (act(c(layer, x)) for layer, x in zip(net.enter, (x0, x1, x2), strict=True))
    o0 = c(net.leave[0], h0) + c(net.up[0], up(h1))
    o1 = c(net.leave[1], h1) + c(net.down[0], h0, 2) + c(net.up[1], up(h2))
    o2 = c(net.leave[2], h2) + c(net.down[1], h1, 2)
    for got, expected in zip(net((x0, x1, x2)), (0.5 * o0, -1.0 * o1, 2.0 * o2), strict=True):
        torch.testing.assert_close(got, expected)


def test_coupling_updates_the_first_half_from_the_second_then_the_second_from_the_new_first() -> None:
    block = randomised(FlowConfig(CHANNELS, 1, (3,), 5, standardise=False)).layers[0]
    assert isinstance(block, CouplingBlock)
    (x,) = features(1)
    permuted = x[:, block.permutation(0)]
    a, c = permuted[:, :3], permuted[:, 3:]
    (r,) = block.net2((c,))
    a = torch.exp(soft_clamp(r[:, :3], 3.0)) * a + r[:, 3:]
    (r,) = block.net1((a,))
    c = torch.exp(soft_clamp(r[:, :3], 3.0)) * c + r[:, 3:]
    ((u,), _) = block((x,))
    torch.testing.assert_close(u, torch.cat([a, c], 1))


def test_soft_clamp_has_the_reference_constant() -> None:
    s = torch.tensor([1e9, -1e9], dtype=torch.float64)
    assert soft_clamp(s, 3.0).tolist() == pytest.approx([2.99708, -2.99708], abs=1e-5)


PUBLISHED = {
    (0, 0): ([66, 156, 247, 267, 145, 135, 81, 137], "7966186ede68ecfa"),
    (0, 2): ([14, 158, 98, 275, 225, 261, 273, 25], "78a68847a80000a2"),
    (3, 1): ([127, 232, 80, 81, 153, 120, 45, 210], "0049d7736c7335b6"),
}


@pytest.mark.parametrize(("block", "scale"), PUBLISHED)
def test_permutations_are_the_reference_code_s(block: int, scale: int) -> None:
    first, digest = PUBLISHED[block, scale]
    permutation = reference_permutations(block, 304, 3)[scale]
    assert permutation[:8].tolist() == first
    assert hashlib.sha256(permutation.astype("<i4").tobytes()).hexdigest()[:16] == digest


def test_state_dict_is_the_whole_model() -> None:
    config = CONFIGS[2]
    flow = randomised(config)
    other = CrossScaleFlow(config).double()
    for layer in other.layers:
        if isinstance(layer, CouplingBlock):
            layer.get_buffer("permutation0").copy_(torch.arange(CHANNELS))
    other.load_state_dict(flow.state_dict())
    x = features(3)
    with torch.no_grad():
        for a, b in zip(flow(x)[0], other(x)[0], strict=True):
            torch.testing.assert_close(a, b)


def test_standardisation_gives_mean_0_and_variance_1_and_keeps_constant_channels() -> None:
    layer = Standardise(CHANNELS, 3).double()
    x = tuple(3.0 + 2.0 * x_i for x_i in features(3, batch=16))
    x[0][:, 2] = 7.0
    layer.fit(FeatureFiles(tuple(x_i.numpy() for x_i in x)))
    z, _ = layer(x)
    for z_i in z:
        torch.testing.assert_close(z_i.mean((0, 2, 3)), torch.zeros(CHANNELS, dtype=torch.float64), atol=1e-6, rtol=0)
    assert float(z[0][:, 2].abs().max()) < 1e-6
    torch.testing.assert_close(z[1].std((0, 2, 3), correction=0), torch.ones(CHANNELS, dtype=torch.float64))


def test_paper_settings_are_the_defaults() -> None:
    with torch.device("meta"):
        flow = CrossScaleFlow(FlowConfig())
    assert sum(p.numel() for p in flow.parameters()) == 275_227_288
