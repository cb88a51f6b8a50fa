"""The bound of linear least squares holds in the arithmetic that runs."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from molrecon.operators.base import norm
from molrecon.operators.blur import Blur
from molrecon.operators.kernels import gaussian_kernel
from molrecon.operators.super_resolution import SuperResolution
from molrecon.reconstructors.least_squares import distance_bound
from molrecon.reconstructors.sense import SENSE

from ..support import cartesian_mri, dense_matrices, normal

OPERATORS = {
    "mri": lambda seed: cartesian_mri((6, 5), seed=seed, dtype=torch.complex64),
    "super-resolution": lambda seed: SuperResolution((1, 8, 10), 2, dtype=torch.float32),
    "blur": lambda seed: Blur(gaussian_kernel(1.0), (1, 8, 7)),
}


def exact(A, y, lam):
    """Solve the dense system in double precision."""
    double = A.in_double
    matrix = dense_matrices(double)[0]
    system = torch.eye(matrix.shape[1], dtype=matrix.dtype) + lam * matrix.mH @ matrix
    right = lam * matrix.mH @ y.to(double.dtype).flatten()
    return torch.linalg.solve(system, right).reshape(1, *A.shape_in)


@settings(deadline=None, max_examples=60)
@given(
    kind=st.sampled_from(sorted(OPERATORS)),
    exponent=st.floats(-3, 6),
    tol=st.sampled_from([1e-1, 1e-3, 1e-5]),
    seed=st.integers(0, 99),
)
def test_sense_is_within_its_bound_and_converged_only_within_its_tolerance(
    kind, exponent, tol, seed
):
    A, lam = OPERATORS[kind](seed), 10.0**exponent
    y = normal(1, *A.shape_out, seed=seed, dtype=A.dtype)
    solution = SENSE(lam)(y, A, tol=tol, raise_on_failure=False)
    x = solution.value.to(A.in_double.dtype)
    distance = norm(x - exact(A, y, lam)) / norm(x)
    assert distance.item() <= solution.error_bound.item()
    assert solution.certified
    if solution.converged:
        assert solution.error_bound.item() <= tol


@pytest.mark.parametrize("kind", sorted(OPERATORS))
@pytest.mark.parametrize("lam", [100.0, 1e4])
def test_rounding_of_the_image_alone_limits_what_is_reached(kind, lam):
    A = OPERATORS[kind](0)
    y = normal(1, *A.shape_out, dtype=A.dtype)
    solution = SENSE(lam)(y, A, tol=4e-7)
    x = solution.value.to(A.in_double.dtype)
    assert solution.certified
    assert norm(x - exact(A, y, lam)) <= solution.error_bound * norm(x) <= 4e-7 * norm(x)


@pytest.mark.parametrize("lam", [1.0, 1e3, 1e6])
def test_the_bound_is_close_where_rounding_is_all_there_is(lam):
    """The residual alone would say λ times as much."""
    A = OPERATORS["mri"](0)
    y = normal(1, *A.shape_out, dtype=A.dtype)
    x = exact(A, y, lam)
    rounded = x.to(torch.complex64)
    distance = norm(rounded.to(x.dtype) - x) / norm(x)
    bound = distance_bound(A, torch.tensor([lam]), y, rounded, tol=1e-9)
    assert distance.item() <= bound.item() <= 10 * torch.finfo(torch.float32).eps
