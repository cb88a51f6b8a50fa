"""Gradients with respect to every weight, against finite differences in double precision."""

import pytest
import torch

from molrecon.networks.normalised import NormalisedConvolution

from ..support import normal
from .test_bounds import LEVEL, SMALL, VOLUMES, random_network

STRICT_2D = ["residual-strict", "spectral", "multiscale-strict"]


def settle(network):
    """Let the persistent power iterations of training converge at the present weights."""
    for layer in network.modules():
        if isinstance(layer, NormalisedConvolution):
            for _ in range(60):
                with torch.no_grad():
                    layer.weight.mul_(1.0)  # another version, as after an optimiser's step
                    layer.normalised_weight()


def check(network, loss):
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


def loss_of(network, spatial, seed):
    x, weights = normal(2, 1, *spatial, seed=seed), normal(2, 1, *spatial, seed=seed + 9)

    def loss():
        image = network(x, LEVEL)
        return (image * weights.conj()).real.sum() + image.abs().square().sum()

    return loss


@pytest.mark.parametrize("kind", SMALL)
@pytest.mark.parametrize("seed", range(2))
def test_in_evaluation_mode(kind, seed):
    spatial = (3, 4, 3) if kind in VOLUMES else (7, 5)
    network = random_network(kind, seed=seed, spread=0.5, ndim=len(spatial)).requires_grad_()
    check(network, loss_of(network, spatial, seed))


@pytest.mark.parametrize("kind", STRICT_2D)
def test_in_training_mode_they_are_those_of_evaluation(kind):
    """The estimated norms are of single precision, too coarse for finite differences."""
    network = random_network(kind, spread=0.5).requires_grad_()
    loss = loss_of(network, (7, 5), 0)
    parameters = list(network.parameters())
    exact = torch.autograd.grad(loss(), parameters)
    settle(network.train())
    for found, expected in zip(torch.autograd.grad(loss(), parameters), exact, strict=True):
        assert torch.linalg.vector_norm(found - expected) <= 1e-3 * torch.linalg.vector_norm(
            expected
        )
