import pytest
import torch

from molrecon.lipschitz.linearised import Linearised
from molrecon.lipschitz.quotient import difference_quotient
from molrecon.lipschitz.vectors import short, unit
from molrecon.operators.base import norm, per_sample

from ..support import normal, random_cnn, slope


def network(dtype=torch.float64):
    return random_cnn(noise_conditioned=False).to(dtype)


def quotient(f, dtype, length=None):
    x, v = normal(2, 1, 4, 5).to(dtype), unit(normal(2, 1, 4, 5, seed=1)).to(dtype)
    step = short(x) if length is None else torch.full((2,), length)
    return x, v, difference_quotient(f, x, per_sample(step, x) * v)


def gradient(f, dtype, length):
    """Of the quotients in all weights; the last bias, which cancels, has none."""
    value = quotient(f, dtype, length)[2]
    return torch.autograd.grad(value.sum(), list(f.parameters()))


@pytest.mark.parametrize(
    ("complex_type", "accuracy"), [(torch.complex64, 2e-2), (torch.complex128, 1e-6)]
)
def test_over_a_short_distance_it_is_the_derivative(complex_type, accuracy):
    f = network(complex_type.to_real())
    x, v, value = quotient(f, complex_type)
    assert torch.allclose(value, norm(Linearised(f, x).forward(v)), rtol=accuracy)


def test_gradient_equals_finite_differences():
    f = network()

    def total():
        return quotient(f, torch.complex128, 0.1)[2].sum()

    found = gradient(f, torch.complex128, 0.1)
    for number, (weight, derivative) in enumerate(zip(f.parameters(), found, strict=True)):
        direction = normal(*weight.shape, seed=number, dtype=torch.float64)
        expected = slope(total, [weight], [direction], 1e-6)
        assert (derivative * direction).sum().item() == pytest.approx(expected, rel=1e-5, abs=1e-8)


def test_single_precision_gives_the_gradient_of_double():
    """At the distance that single precision takes, where the two terms nearly cancel."""
    length = short(normal(1, 1, 4, 5).to(torch.complex64)).item()
    exact = gradient(network(), torch.complex128, length)
    found = gradient(network(torch.float32), torch.complex64, length)
    exact, found = (torch.cat([g.flatten().double() for g in gs]) for gs in (exact, found))
    assert torch.linalg.vector_norm(found - exact) <= 0.01 * torch.linalg.vector_norm(exact)


def test_holds_the_graph_of_no_application():
    """Nothing inside the network is stored, only what enters and leaves it."""
    f, x = network(), normal(1, 1, 8, 8)
    sizes = []

    def pack(tensor):
        sizes.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        value = difference_quotient(f, x, per_sample(short(x), x) * unit(normal(1, 1, 8, 8)))
    assert value.requires_grad
    features = f.convolutions[0].weight.shape[0]
    assert max(sizes) < features * x.numel()


def test_a_step_from_zero_is_not_zero():
    assert (short(torch.zeros(2, 1, 3, 3)) > 0).all()
