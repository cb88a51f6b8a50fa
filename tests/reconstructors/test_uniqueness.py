"""One solution, whatever the start; and a refusal where there may be none."""

import pytest
import torch

from molrecon.equilibrium.forward_backward import ForwardBackward
from molrecon.equilibrium.implicit import Equilibrium
from molrecon.errors import ConvergenceError
from molrecon.linear.conjugate_gradient import ConjugateGradient
from molrecon.lipschitz import lipschitz_attack
from molrecon.networks import ResidualStrictCNN
from molrecon.operators.base import norm
from molrecon.reconstructors.mol import MOL
from molrecon.reconstructors.weights import DataWeight

from ..support import normal, random_cnn
from .test_mol import SPATIAL, scan

SIGMA = 0.02


def certified_model(m=0.1):
    torch.manual_seed(0)
    network = ResidualStrictCNN(features=4, layers=3, lipschitz=1 - m).double().eval()
    with torch.no_grad():
        for layer in network.convolutions:
            layer.weight.mul_(5)
            layer.bias.normal_(std=0.1)
    return MOL(
        network.requires_grad_(False),
        DataWeight(lam0=0.05, floor=0.01),
        monotonicity=m,
        equilibrium=Equilibrium(ForwardBackward(tol=1e-4, max_iterations=1000)),
    ).double()


def starts(model, solution):
    """SENSE (None), zero, random ones near and far, and adversarial ones."""
    x = solution.value
    level = torch.full((1,), SIGMA, dtype=torch.float64)
    # Where H contracts least, the iteration is slowest.
    attack = lipschitz_attack(lambda u: model.network(u, level), x, steps=10, radius=10.0)
    noise = normal(1, 1, *SPATIAL, seed=7)
    return {
        "sense": None,
        "zero": torch.zeros_like(x),
        "random": noise,
        "far": 1000 * noise,
        "adversarial": attack.other,
        "opposite": -x,
    }


@torch.no_grad()
def test_every_start_leads_to_the_same_image_within_the_bounds():
    A, y = scan()
    model = certified_model()
    first = model(y, A, sigma=SIGMA)
    assert first.certified
    for name, x0 in starts(model, first).items():
        other = model(y, A, sigma=SIGMA, x0=x0)
        assert other.converged, name
        assert other.certified, name
        allowed = first.error_bound * norm(first.value) + other.error_bound * norm(other.value)
        assert (norm(first.value - other.value) <= allowed).all(), name


@torch.no_grad()
def test_plain_iterations_shrink_the_distance_as_the_certificate_says():
    A, y = scan()
    model = certified_model(m=0.2)
    exact = model(y, A, sigma=SIGMA, tol=1e-11).value
    x = 3 * normal(1, 1, *SPATIAL)
    start = norm(x - exact)
    exactly = ConjugateGradient(rtol=1e-12, max_iterations=500)
    solver = ForwardBackward(tol=1e-14, max_iterations=1, memory=0, inner=exactly)
    once = Equilibrium(solver)
    for n in range(1, 13):
        x = model(y, A, sigma=SIGMA, x0=x, equilibrium=once, raise_on_failure=False).value
        assert norm(x - exact) <= model.contraction**n * start + 1e-8


@torch.no_grad()
@pytest.mark.parametrize("size", [1.0, 3.0, 10.0])
def test_a_network_that_is_not_monotone_is_said_not_to_converge(size):
    A, y = scan()
    network = random_cnn(layers=2, noise_conditioned=True)
    for layer in network.convolutions:
        layer.weight.mul_(3 * size)
    model = MOL(network.eval(), DataWeight("fixed", lam0=0.01), monotonicity=0.1).double()
    with pytest.raises(ConvergenceError, match="ended with status"):
        model(y, A, sigma=SIGMA)
    quiet = model(y, A, sigma=SIGMA, raise_on_failure=False)
    assert not quiet.converged
    assert not quiet.certified
