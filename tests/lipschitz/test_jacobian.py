import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from molrecon.lipschitz.jacobian import jacobian_norm, top_singular_vector
from molrecon.lipschitz.linearised import Linearised
from molrecon.operators.base import norm

from ..support import normal, random_cnn


def network(seed=0):
    return random_cnn(seed=seed, noise_conditioned=False)


def real_jacobian(f, x):
    """Jacobian of one sample on the real two-channel view, from reverse mode."""
    shape = x.shape

    def real(z):
        out = f(torch.complex(*z.reshape(2, *shape)))
        return torch.stack([out.real, out.imag]).flatten()

    return torch.autograd.functional.jacobian(real, torch.stack([x.real, x.imag]).flatten())


@pytest.mark.parametrize("seed", range(3))
def test_equals_the_largest_singular_value_of_the_jacobian(seed):
    f, x = network(seed), normal(2, 1, 4, 5, seed=seed)
    found = jacobian_norm(f, x, tol=1e-9, max_iterations=4000).value
    for sample in range(2):
        exact = torch.linalg.matrix_norm(real_jacobian(f, x[sample : sample + 1]), 2)
        assert found[sample] <= exact * (1 + 1e-9)
        assert found[sample].item() == pytest.approx(exact.item(), rel=1e-4)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 999), st.integers(1, 4))
def test_every_iteration_gives_a_lower_bound(seed, iterations):
    f, x = network(), normal(1, 1, 3, 4, seed=seed)
    exact = torch.linalg.matrix_norm(real_jacobian(f, x), 2)
    found = jacobian_norm(f, x, tol=0.0, max_iterations=iterations, seed=seed)
    assert found.iterations == iterations
    assert found.value.item() <= exact.item() * (1 + 1e-9)


def test_linear_maps_are_exact_and_independent_of_the_point():
    """A real-linear map that is not complex-linear: conjugation mixes the two channels."""
    matrix = torch.diag(torch.tensor([3.0, 1.0, 0.5, 0.1])).to(torch.complex128)

    def f(z):
        return (matrix @ z[..., None])[..., 0] + 0.5 * z.conj()

    for point in (torch.zeros(2, 4, dtype=torch.complex128), normal(2, 4)):
        found = jacobian_norm(f, point, tol=1e-12, max_iterations=500).value
        assert found.tolist() == pytest.approx([3.5, 3.5], rel=1e-6)


def test_real_maps():
    matrix = normal(5, 5, dtype=torch.float64)
    found = jacobian_norm(lambda z: z @ matrix.T, normal(2, 5, dtype=torch.float64), tol=1e-12)
    exact = torch.linalg.matrix_norm(matrix, 2).item()
    assert found.value.tolist() == pytest.approx([exact, exact], rel=1e-4)


def test_samples_have_values_of_their_own():
    factors = torch.tensor([0.5, 2.0]).double()
    found = jacobian_norm(lambda z: factors[:, None] * z, normal(2, 4), tol=1e-9)
    assert found.value.tolist() == pytest.approx([0.5, 2.0])


def test_continues_from_the_vector_it_returned():
    f, x = network(), normal(1, 1, 4, 5)
    straight = jacobian_norm(f, x, tol=0.0, max_iterations=6)
    first = jacobian_norm(f, x, tol=0.0, max_iterations=4)
    resumed = jacobian_norm(f, x, start=first.vector, tol=0.0, max_iterations=2)
    assert torch.allclose(straight.value, resumed.value, rtol=1e-12)
    assert norm(first.vector).item() == pytest.approx(1)
    converged = jacobian_norm(f, x, tol=1e-6, max_iterations=3000)
    assert jacobian_norm(f, x, start=converged.vector, tol=1e-3).iterations <= 2


def test_is_reproducible():
    f, x = network(), normal(1, 1, 4, 5)
    assert torch.equal(jacobian_norm(f, x, seed=3).value, jacobian_norm(f, x, seed=3).value)


def test_a_constant_map_has_norm_zero():
    assert jacobian_norm(lambda z: 0 * z, normal(1, 4)).value.item() == 0


def test_the_weights_gather_no_gradient():
    f = network()
    jacobian_norm(f, normal(1, 1, 4, 5))
    assert all(parameter.grad is None for parameter in f.parameters())


def test_ritz_vectors_span_a_matrix_after_as_many_steps_as_columns():
    matrix = normal(2, 5, 5, dtype=torch.float64)
    f = lambda z: torch.einsum("bij,bj->bi", matrix, z)  # noqa: E731
    x = normal(2, 5, dtype=torch.float64)
    vector = top_singular_vector(f, x, normal(2, 5, seed=1, dtype=torch.float64), steps=5)
    exact = torch.linalg.matrix_norm(matrix, 2)
    assert torch.allclose(norm(f(vector)), exact, rtol=1e-6)
    assert torch.allclose(norm(vector), torch.ones(2).double())


def test_a_ritz_vector_is_no_worse_than_as_many_power_iterations():
    f, x, start = network(), normal(2, 1, 6, 5), normal(2, 1, 6, 5, seed=1)
    exact = jacobian_norm(f, x, tol=1e-9, max_iterations=4000).value
    for steps in (2, 4, 8):
        power = jacobian_norm(f, x, start=start, tol=0.0, max_iterations=steps).value
        forward = Linearised(f, x).forward(top_singular_vector(f, x, start, steps))
        assert (norm(forward) >= power * (1 - 1e-3)).all()
        assert (norm(forward) <= exact * (1 + 1e-6)).all()


def test_weights_that_are_not_numbers_give_a_vector_and_no_exception():
    vector = top_singular_vector(lambda z: z * torch.nan, normal(1, 4), normal(1, 4), steps=3)
    assert vector.shape == (1, 4)
