"""k-MLE finds Gaussians that samples come from, drops what has too few, and local weights are shares with zeros."""

import itertools
import math

import numpy as np
import pytest
import torch

from csflow.toolkit.methods.glad.config import GladTraining
from csflow.toolkit.methods.glad.local import local_weights
from csflow.toolkit.methods.glad.mixture import Gaussians, fit_mixture


def two_clouds(seed: int = 0) -> torch.Tensor:
    """3000 and 1000 samples of two Gaussians in 3 dimensions."""
    draw = torch.Generator().manual_seed(seed)
    wide = torch.randn(3000, 3, generator=draw) @ torch.tensor([[2.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.5]])
    return torch.cat([wide, 0.3 * torch.randn(1000, 3, generator=draw) + torch.tensor([9.0, 0.0, 3.0])])


def fit(samples: torch.Tensor, components: int, **options: float) -> tuple[Gaussians, list[float]]:
    losses: list[float] = []
    training = GladTraining(**{"ridge": 1e-6, "passes": 8, **options})  # type: ignore[arg-type]
    return fit_mixture(samples, components, training, lambda _done, loss: losses.append(loss)), losses


def test_the_gaussians_that_samples_come_from_are_found() -> None:
    samples = two_clouds()
    found, _ = fit(samples, 2)
    small, large = found.weights.argsort().tolist()
    assert found.weights[[large, small]].tolist() == pytest.approx([0.75, 0.25], abs=1e-3)
    for k, cloud in ((large, samples[:3000]), (small, samples[3000:])):
        precision = found.matrix[k].T @ found.matrix[k]
        torch.testing.assert_close(torch.linalg.inv(precision), torch.cov(cloud.T), rtol=0.02, atol=1e-3)
        torch.testing.assert_close(
            -torch.linalg.solve(found.matrix[k], found.offset[k]), cloud.mean(dim=0), rtol=0.02, atol=5e-3
        )


def test_densities_are_those_of_normal_distributions() -> None:
    samples = two_clouds()
    found, _ = fit(samples, 2)
    for k in range(2):
        mean = -torch.linalg.solve(found.matrix[k], found.offset[k])
        reference = torch.distributions.MultivariateNormal(mean, precision_matrix=found.matrix[k].T @ found.matrix[k])
        torch.testing.assert_close(
            found.log_densities(samples)[:, k], reference.log_prob(samples), rtol=1e-3, atol=1e-3
        )
        assert float(found.peaks[k]) == pytest.approx(float(reference.log_prob(mean)), rel=1e-4)


def test_the_complete_likelihood_rises_from_pass_to_pass() -> None:
    samples = torch.cat([two_clouds(), two_clouds(1) - 4.0])
    _, losses = fit(samples, 12, ridge=1e-9)
    assert len(losses) > 3
    assert all(later <= earlier + 1e-6 for earlier, later in itertools.pairwise(losses))


def test_gaussians_with_fewer_samples_than_dimensions_and_one_are_dropped() -> None:
    far = torch.full((3, 3), 50.0) + torch.arange(3)[:, None] * 0.1
    found, _ = fit(torch.cat([two_clouds(), far]), 6, passes=1)
    assert len(found.peaks) == 5
    # Three far samples make no Gaussian of three dimensions; they are left to the others.
    means = [-torch.linalg.solve(m, o) for m, o in zip(found.matrix, found.offset, strict=True)]
    assert all(float(mean.norm()) < 25.0 for mean in means)
    assert float(found.weights.sum()) == pytest.approx(1.0)


def test_few_or_equal_samples_still_make_one_gaussian() -> None:
    for samples in (torch.ones(2, 3), torch.ones(200, 3), torch.eye(3)):
        found, _ = fit(samples, 10, ridge=0.01)
        assert len(found.peaks) == 1
        assert torch.isfinite(found.log_densities(samples)).all()


def test_a_seed_gives_the_same_mixture_again() -> None:
    first, second = fit(two_clouds(), 5, seed=3)[0], fit(two_clouds(), 5, seed=3)[0]
    assert torch.equal(first.matrix, second.matrix)
    assert torch.equal(first.weights, second.weights)


def test_local_weights_are_shares_of_pictures_and_zero_where_a_gaussian_never_was() -> None:
    left, right = torch.zeros(2), torch.tensor([10.0, 0.0])
    gaussians = Gaussians(
        torch.tensor([0.5, 0.5]), torch.eye(2).expand(2, 2, 2), -torch.stack([left, right]),
        torch.full((2,), -math.log(2 * math.pi)),
    )  # fmt: skip
    array = np.zeros((8, 2, 1, 3), np.float32)
    array[:, 0, 0, 2] = 10.0
    array[:2, 0, 0, 1] = 10.0
    for memory in (1, 1 << 20):
        weights = local_weights(array, lambda x: x.transpose(1, 2), gaussians, memory)
        torch.testing.assert_close(weights[:, 0], torch.tensor([[1.0, 0.75, 0.0], [0.0, 0.25, 1.0]]))


def test_a_gaussian_of_little_local_weight_gives_doubtful_vectors_up() -> None:
    gaussians = Gaussians(
        torch.tensor([0.5, 0.5]), torch.ones(2, 1, 1), torch.tensor([[0.0], [-2.0]]), torch.zeros(2),
    )  # fmt: skip
    array = np.array([-0.5, -0.2, 0.0, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 1.01], np.float32).reshape(10, 1, 1, 1)
    weights = local_weights(array, lambda x: x.transpose(1, 2), gaussians)
    # Counted once it would be 0.1; then its one vector, hardly nearer to it, goes to the other.
    assert weights.flatten().tolist() == [1.0, 0.0]
