"""A flow of the positions that count: what is ignored is to it what lies outside of the picture."""

import pytest
import torch

from csflow.toolkit.methods.flow.config import FlowConfig
from csflow.toolkit.methods.flow.flow import CrossScaleFlow, negative_log_likelihood, score

from .test_flow import CONFIGS, features, randomised


def ignoring(config: FlowConfig) -> tuple[CrossScaleFlow, list[torch.Tensor]]:
    """A flow, and its masks: of the finest map the first row and the last position do not count."""
    flow = randomised(config)
    masks = [torch.ones(4 >> i, 4 >> i) for i in range(config.scales)]
    masks[0][0] = masks[0][3, 3] = 0.0
    flow.kept.set(masks)
    return flow, [mask.bool() for mask in masks]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: f"{c.scales}x{c.kernel_sizes}")
def test_log_det_is_that_of_the_jacobian_of_what_counts(config: FlowConfig) -> None:
    flow, masks = ignoring(config)
    x = features(config.scales, batch=1)
    z, log_det = flow(x)
    for z_i, mask in zip(z, masks, strict=True):
        assert not z_i[:, :, ~mask].any()
        assert z_i[:, :, mask].all()

    def counted(tensors: tuple[torch.Tensor, ...]) -> torch.Tensor:
        return torch.cat([t[:, :, mask].flatten() for t, mask in zip(tensors, masks, strict=True)])

    def of_what_counts(vector: torch.Tensor) -> torch.Tensor:
        parts = list(vector.split([int(mask.sum()) * x_i.shape[1] for mask, x_i in zip(masks, x, strict=True)]))
        whole = [x_i.clone() for x_i in x]
        for x_i, mask, part in zip(whole, masks, parts, strict=True):
            x_i[:, :, mask] = part.reshape(1, x_i.shape[1], -1)
        return counted(flow(tuple(whole))[0])

    jacobian = torch.autograd.functional.jacobian(of_what_counts, counted(x))
    torch.testing.assert_close(log_det[0], torch.linalg.slogdet(jacobian).logabsdet, rtol=1e-8, atol=1e-8)
    for x_i, back, mask in zip(x, flow.inverse(z), masks, strict=True):
        torch.testing.assert_close(back[:, :, mask], x_i[:, :, mask], rtol=1e-9, atol=1e-9)


def test_score_and_loss_are_per_latent_that_counts() -> None:
    flow, masks = ignoring(CONFIGS[2])
    z, log_det = flow(features(3))
    counted = torch.cat([z_i[:, :, mask].flatten(1) for z_i, mask in zip(z, masks, strict=True)], dim=1)
    torch.testing.assert_close(score(z, flow.kept.masks), counted.square().mean(dim=1) / 2)
    expected = (counted.square().sum(dim=1) / 2 - log_det).mean() / counted.shape[1]
    torch.testing.assert_close(negative_log_likelihood(z, log_det, flow.kept.masks), expected)
