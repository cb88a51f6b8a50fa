import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from molrecon.lipschitz.quotient import published_quotient
from molrecon.networks.convolution_norm import certified_norm

from ..support import normal, random_cnn, slope


def network(seed=0):
    return random_cnn(seed=seed, layers=2, noise_conditioned=False)


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 999), st.integers(0, 8), st.floats(1e-3, 10))
def test_is_a_lower_bound(seed, steps, radius):
    f = network(seed)
    bound = certified_norm(f.convolutions[0].weight) * certified_norm(f.convolutions[1].weight)
    found = published_quotient(f, normal(2, 1, 5, 4, seed=seed), steps=steps, radius=radius)
    assert found.shape == (2,)
    assert (found > 0).all()
    assert (found <= bound).all()


def test_ascent_comes_near_the_norm_of_a_linear_map():
    matrix = torch.diag(torch.tensor([2.0, 1.0, 0.5, 0.2])).to(torch.complex128)

    def f(z):
        return z @ matrix

    x = normal(3, 4)
    start = published_quotient(f, x, steps=0)
    found = published_quotient(f, x, steps=60)
    assert (start < 1.8).all()
    assert (found > 1.9).all()
    assert (found <= 2).all()


def test_more_steps_never_find_less():
    f, x = network(), normal(2, 1, 5, 4)
    values = torch.stack([published_quotient(f, x, steps=n, radius=3.0) for n in range(12)])
    assert (values.diff(dim=0) >= -1e-12).all()
    assert (values[-1] > 1.05 * values[0]).all()


def test_is_differentiable_in_the_weights():
    f, x = network(), normal(1, 1, 5, 4)
    weight = f.convolutions[0].weight
    published_quotient(f, x, steps=0).sum().backward()
    direction = normal(*weight.shape, seed=2, dtype=torch.float64)
    expected = (weight.grad * direction).sum().item()
    found = slope(lambda: published_quotient(f, x, steps=0), [weight], [direction], 1e-6)
    assert expected == pytest.approx(found, rel=1e-5)


def test_an_image_of_zeros_still_has_a_value():
    x = torch.zeros(1, 1, 5, 4, dtype=torch.complex128)
    assert published_quotient(network(), x).item() > 0
