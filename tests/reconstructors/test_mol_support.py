"""Where no coil sees anything, MOL invents nothing."""

import pytest
import torch

from molrecon.networks import CNN
from molrecon.operators.cartesian_mri import CartesianMRI
from molrecon.reconstructors.mol import MOL

from ..support import cartesian_mri, normal


@pytest.fixture
def model() -> MOL:
    """A contracting network with biases, whose own fixed point is not zero."""
    torch.manual_seed(0)
    network = CNN(features=4, layers=2, noise_conditioned=False)
    with torch.no_grad():
        for layer in network.convolutions:
            layer.weight.mul_(0.4)
            layer.bias.fill_(0.05)
    return MOL(network, monotonicity=0.3)


def cropped(A: CartesianMRI) -> tuple[CartesianMRI, torch.Tensor]:
    seen = torch.zeros(1, 1, *A.shape_in[1:], dtype=torch.bool)
    seen[..., 3:12, 2:9] = True
    return CartesianMRI(A.coil_maps * seen, A.mask), seen


def test_the_support_of_an_operator():
    A = cartesian_mri((16, 12))
    assert A.support is None
    B, seen = cropped(A)
    assert torch.equal(B.support, seen)
    x = normal(1, 1, 16, 12)
    assert torch.equal(B(x * ~seen), torch.zeros_like(B(x)))


@torch.no_grad()
def test_the_image_is_zero_outside_and_solves_the_equation_inside(model):
    A, seen = cropped(cartesian_mri((16, 12), dtype=torch.complex64))
    y = A(normal(1, 1, 16, 12, dtype=torch.complex64))
    solution = model(y, A, sigma=0.1, x0=normal(1, 1, 16, 12, seed=4, dtype=torch.complex64))
    x = solution.value
    assert torch.equal(x * ~seen, torch.zeros_like(x))
    free = model.network(torch.zeros_like(x))
    assert float(free.abs().min()) > 0.01
    tight = model(y, A, sigma=0.1, tol=1e-5).value
    error = torch.linalg.vector_norm(x - tight) / torch.linalg.vector_norm(tight)
    assert float(error) <= float(solution.error_bound[0]) + 1e-5


def test_gradients_pass_through(model):
    A, _ = cropped(cartesian_mri((16, 12), dtype=torch.complex64))
    y = A(normal(1, 1, 16, 12, dtype=torch.complex64))
    model(y, A, sigma=0.1).value.abs().square().sum().backward()
    assert all(bool(p.grad.abs().sum() > 0) for p in model.network.parameters())
