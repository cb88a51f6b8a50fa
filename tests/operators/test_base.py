import numpy as np
import pytest
import torch

from molrecon.errors import InputError
from molrecon.operators.base import inner, magnitude, norm, per_sample

from ..support import Dense, cartesian_mri, dense_matrices, normal


def test_inner_is_the_real_part_per_sample():
    a, b = normal(2, 1, 3), normal(2, 1, 3, seed=1)
    pairs = zip(a.flatten(1), b.flatten(1), strict=True)
    expected = torch.stack([torch.vdot(x, y).real for x, y in pairs])
    assert torch.allclose(inner(a, b), expected)
    assert torch.allclose(inner(a, a), norm(a) ** 2)
    real = a.real
    assert torch.allclose(inner(real, real), (real**2).sum((1, 2)))


def test_per_sample_multiplies_whole_samples():
    x = normal(2, 1, 3)
    scaled = per_sample(torch.tensor([2.0, -1.0]), x) * x
    assert torch.equal(scaled[0], 2 * x[0])
    assert torch.equal(scaled[1], -x[1])


def test_the_adjoint_is_an_operator_too():
    A = cartesian_mri((3, 4), mask_batch=2)
    y = normal(2, 3, 3, 4)
    assert torch.allclose(dense_matrices(A.H), dense_matrices(A).mH)
    assert torch.allclose(A.H.normal(y), A(A.H(y)))
    assert torch.allclose(A.H.norm(tol=1e-9), A.norm(tol=1e-9), rtol=1e-4)
    assert A.H.to(dtype=torch.complex64).dtype == torch.complex64
    assert A.H.device == A.device


def test_norm_is_reproducible_and_zero_for_zero():
    operator = Dense(normal(1, 4, 6))
    assert torch.equal(operator.norm(), operator.norm())
    assert Dense(torch.zeros(1, 4, 6, dtype=torch.complex128)).norm().item() == 0


def test_an_operator_without_a_noise_estimate_asks_for_sigma():
    with pytest.raises(InputError, match="give sigma"):
        Dense(normal(1, 4, 6)).estimate_sigma(normal(1, 1, 4))


def test_messages_tell_images_from_measurements():
    operator = Dense(normal(1, 4, 6))
    with pytest.raises(InputError, match=r"^Dense: found an image of shape \(1, 1, 5\)"):
        operator(normal(1, 1, 5))
    with pytest.raises(InputError, match=r"^Dense: found measurements of shape \(1, 1, 5\)"):
        operator.H(normal(1, 1, 5))


@pytest.mark.parametrize("x", [np.ones((1, 1, 6)), None, 3])
def test_what_is_no_tensor_is_refused(x):
    operator = Dense(normal(1, 4, 6))
    for apply in (operator, operator.H, operator.normal):
        with pytest.raises(InputError, match=f"for .* is of type {type(x).__name__}, expected"):
            apply(x)


class Cut(Dense):
    """A mistaken operator, whose results have other shapes than it was made with."""

    def forward(self, x):
        return super().forward(x)[..., :2]

    def adjoint(self, y):
        return super().adjoint(y)[:, :, None]


def test_a_wrong_shape_of_a_result_is_blamed_on_the_operator():
    A = Cut(normal(1, 4, 6))
    with pytest.raises(InputError, match=r"^Cut.* gives shape \(1, 1, 2\), .* \(batch, 1, 4\)"):
        A(normal(1, 1, 6))
    with pytest.raises(InputError, match=r"^Cut.*H gives shape \(1, 1, 1, 6\), .* 1, 6\)"):
        A.H(normal(1, 1, 4))


def test_an_empty_batch_is_refused():
    A = cartesian_mri((3, 4))
    for apply in (A, A.normal):
        with pytest.raises(InputError, match=r"shape \(0, 1, 3, 4\), expected .* one sample or"):
            apply(normal(0, 1, 3, 4))


def test_a_norm_is_accurate_at_any_size_and_in_any_unit():
    """In single precision a sum of a million equal squares is wrong by a per cent."""
    for values in (torch.full((2, 1_000_000), 0.1 + 0.1j), torch.full((2, 1_000_000), 0.1)):
        wide = values.to(torch.complex128 if values.is_complex() else torch.float64)
        expected = torch.linalg.vector_norm(wide, dim=1)
        for unit in (1.0, 1e-30, 1e30):
            found = norm(unit * values)
            assert found.dtype == torch.float32
            assert torch.allclose(found.double(), unit * expected, rtol=1e-6, atol=0)
    leaf = normal(2, 7).requires_grad_()
    (gradient,) = torch.autograd.grad(norm(leaf).sum(), leaf)
    assert torch.allclose(gradient, leaf / norm(leaf)[:, None])


def test_a_magnitude_is_a_power_of_two_so_that_dividing_by_it_rounds_nothing():
    values = torch.cat([normal(6, 50, dtype=torch.complex64), torch.zeros(1, 50)])
    values = values * torch.tensor([1, 1e-30, 1e30, 1e-37, 3e37, 1, 1])[:, None]
    size = magnitude(values)
    quotient = values / per_sample(size, values)
    assert torch.equal(quotient * per_sample(size, values), values)
    largest = quotient.abs().amax(1)
    assert (largest[:6] >= 1).all()
    assert (largest[:6] < 2).all()
    assert size[6] == 1
    assert torch.equal(torch.frexp(size).mantissa, torch.full((7,), 0.5))
