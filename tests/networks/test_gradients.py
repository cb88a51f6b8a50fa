"""Gradients with respect to every weight in evaluation mode, against finite differences."""

import pytest
import torch

from ..support import normal
from .test_bounds import LEVEL, SMALL, VOLUMES, random_network


@pytest.mark.parametrize("kind", SMALL)
@pytest.mark.parametrize("seed", range(2))
def test_every_weight_has_the_gradient_of_finite_differences(kind, seed):
    spatial = (3, 4, 3) if kind in VOLUMES else (7, 5)
    network = random_network(kind, seed=seed, spread=0.5, ndim=len(spatial)).requires_grad_()
    x, weights = normal(2, 1, *spatial, seed=seed), normal(2, 1, *spatial, seed=seed + 9)

    def loss():
        image = network(x, LEVEL)
        return (image * weights.conj()).real.sum() + image.abs().square().sum()

    parameters = dict(network.named_parameters())
    gradients = torch.autograd.grad(loss(), list(parameters.values()))
    for (name, parameter), gradient in zip(parameters.items(), gradients, strict=True):
        direction = normal(*parameter.shape, dtype=torch.float64)
        start, h, ends = parameter.detach().clone(), 1e-7, []
        with torch.no_grad():
            for sign in (h, -h):
                parameter.copy_(start + sign * direction)
                ends.append(loss().item())
            parameter.copy_(start)
        expected = (ends[0] - ends[1]) / (2 * h)
        found = (gradient * direction).sum().item()
        assert found == pytest.approx(expected, rel=1e-5, abs=1e-5), name
