import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from molrecon.lipschitz.lanczos import largest_eigenvalue
from molrecon.lipschitz.linearised import Linearised
from molrecon.lipschitz.local import local_lipschitz
from molrecon.operators.base import inner, norm

from ..support import normal, random_cnn
from .test_jacobian import real_jacobian


def network(seed=0):
    return random_cnn(seed=seed, noise_conditioned=False)


def test_products_are_those_of_the_jacobian():
    f, x = network(), normal(2, 1, 4, 3)
    derivative = Linearised(f, x)
    v, u = normal(2, 1, 4, 3, seed=1), normal(2, 1, 4, 3, seed=2)
    assert torch.allclose(derivative.value, f(x))
    expected = torch.func.jvp(f, (x,), (v,))[1]
    for _ in range(2):
        assert torch.allclose(derivative.forward(v), expected)
        assert torch.allclose(inner(derivative.transposed(u), v), inner(u, expected))


def test_a_constant_map_has_derivative_zero():
    found = local_lipschitz(lambda z: 0 * z + 1, normal(1, 3))
    assert found.norm.item() == found.symmetric.item() == 0


@pytest.mark.parametrize("seed", range(3))
def test_equals_the_dense_values_within_the_stated_error(seed):
    f, x = network(seed), normal(2, 1, 4, 5, seed=seed)
    found = local_lipschitz(f, x, tol=1e-4)
    assert found.converged.all()
    for sample in range(2):
        J = real_jacobian(f, x[sample : sample + 1])
        values = torch.linalg.svdvals(J)
        eigenvalues = torch.linalg.eigvalsh((J + J.T) / 2)
        for value, error, probable, exact, every in (
            (found.norm, found.norm_error, found.norm_probable, values.max(), values),
            (
                found.symmetric,
                found.symmetric_error,
                found.symmetric_probable,
                eigenvalues.max(),
                eigenvalues,
            ),
        ):
            assert value[sample].item() == pytest.approx(exact.item(), rel=1e-4)
            assert value[sample] <= exact * (1 + 1e-12)
            assert (every - value[sample]).abs().min() <= error[sample] + 1e-12
            assert exact <= probable[sample] + 1e-12


def test_the_vector_attains_the_norm():
    f, x = network(), normal(2, 1, 4, 5)
    found = local_lipschitz(f, x, tol=1e-3)
    assert torch.allclose(norm(found.vector), torch.ones(2).double())
    assert torch.allclose(norm(Linearised(f, x).forward(found.vector)), found.norm)


def test_a_cap_that_was_reached_is_said():
    found = local_lipschitz(network(), normal(1, 1, 6, 6), tol=1e-12, max_steps=3)
    assert not found.converged
    assert found.norm_error > 1e-12 * found.norm
    assert found.norm_probable == math.inf


def diagonal(values):
    return lambda v: values.to(v.dtype) * v


@settings(max_examples=30)
@given(
    st.lists(st.floats(-5, 5), min_size=4, max_size=12), st.integers(2, 6), st.integers(0, 10**6)
)
def test_ritz_values_lie_within_the_spectrum_and_near_an_eigenvalue(entries, steps, seed):
    values = torch.tensor(entries, dtype=torch.float64)
    start = normal(1, len(entries), seed=seed, dtype=torch.float64)
    ritz = largest_eigenvalue(diagonal(values), start, tol=1e-6, max_steps=steps)
    assert values.min() - 1e-9 <= ritz.smallest <= ritz.largest <= values.max() + 1e-9
    assert (values - ritz.largest).abs().min() <= ritz.residual + 1e-7


def test_a_complete_space_is_exact_even_when_every_eigenvalue_is_negative():
    values = torch.tensor([-3.0, -2.0, -2.0, -2.0, -1.0, -3.0, -1.0]).double()
    start = torch.stack([torch.ones(7), torch.eye(7)[1]]).double()
    ritz = largest_eigenvalue(diagonal(values), start, tol=1e-10, max_steps=7)
    assert ritz.largest.tolist() == pytest.approx([-1.0, -2.0])


@pytest.mark.parametrize("lowest", [None, 0.0])
def test_the_probable_bound_holds_as_often_as_it_says(lowest):
    """Few steps on an evenly filled spectrum, where Ritz values lag behind."""
    values = torch.linspace(0, 1, 400).double()
    start = normal(300, 400, dtype=torch.float64)
    ritz = largest_eigenvalue(diagonal(values), start, tol=1e-12, max_steps=24, lowest=lowest)
    assert (ritz.largest < 1).all()
    assert (ritz.probable >= 1).double().mean() >= 0.99
    assert (ritz.probable < 1.5).all()


@pytest.mark.parametrize("lowest", [None, 0.0])
def test_the_probable_bound_counts_the_ends_and_every_step_it_may_stop_at(lowest):
    """The theorem's bound at one step and one end, with the failure shared by all of them."""
    values = torch.linspace(0, 1, 400).double()
    start = normal(5, 400, dtype=torch.float64)
    ritz = largest_eigenvalue(diagonal(values), start, tol=1e-12, max_steps=40, lowest=lowest)
    ends = 1 if lowest is not None else 2
    stops = len(range(16, 41, 4))
    excess = ritz.probable - ritz.largest
    # The spectrum may exceed the Ritz values by as much at its lower end.
    bottom = torch.zeros(5) if lowest is not None else ritz.smallest - excess
    epsilon = excess / (ritz.probable - bottom)
    failure = 1.648 * 400**0.5 * torch.exp(-(epsilon.sqrt()) * (2 * 40 - 1))
    assert (ends * stops * failure <= 0.005).all()


def test_values_that_are_not_numbers_show():
    found = local_lipschitz(lambda z: z * math.nan, normal(1, 4))
    assert found.norm.isnan()
    assert not found.converged
