"""A method called as deepinv calls its reconstructors gives the image that it gives here."""

import pytest
import torch

from molrecon import MOL, SENSE, ForPhysics, InputError, ResidualStrictCNN, Tikhonov, wrap_operator

from ..operators.test_foreign import Coils, Weights
from ..support import normal


def strict():
    torch.manual_seed(0)
    network = ResidualStrictCNN(features=4, layers=1, lipschitz=0.9)
    return MOL(network, monotonicity=0.1).eval()


@pytest.mark.parametrize("make", [SENSE, Tikhonov, strict], ids=["sense", "tikhonov", "mol"])
def test_complex_images_by_either_call(make):
    physics, method = Coils(), make()
    y = physics.A(normal(1, 2, 6, 5, dtype=torch.float32))
    model = ForPhysics(method, dtype=torch.complex64, sigma=0.05)
    with torch.no_grad():
        image = model(y, physics)
        A = wrap_operator(physics, dtype=torch.complex64)
        own = method(A.op.received(y), A, sigma=0.05)
    assert image.shape == (1, 2, 6, 5)
    assert torch.allclose(image, A.op.given_back(own.value), rtol=1e-5, atol=1e-6)
    assert model.solution.error_bound.item() <= 1e-3


def test_the_noise_of_the_physics_is_used():
    physics = Weights()
    physics.noise_model = torch.nn.Module()
    physics.noise_model.sigma = torch.tensor(0.2)
    y = physics.A(torch.ones(1, 1, 4, 3))
    model = ForPhysics(Tikhonov())
    image = model(y, physics)
    assert torch.allclose(image, ForPhysics(Tikhonov(), sigma=0.2)(y, physics))
    assert not torch.allclose(image, ForPhysics(Tikhonov(), sigma=0.02)(y, physics), rtol=1e-3)
    assert not torch.allclose(image, model(y, _halved(physics)))


def _halved(physics):
    physics.weights *= 0.5
    return physics


def test_gradients_reach_the_measurements():
    physics = Weights()
    y = physics.A(torch.ones(1, 1, 4, 3)).requires_grad_()
    ForPhysics(SENSE(), sigma=0.1)(y, physics).sum().backward()
    assert bool((y.grad > 0).all())


def test_what_is_no_method_is_refused():
    with pytest.raises(InputError, match="method is of type Linear"):
        ForPhysics(torch.nn.Linear(2, 2))
