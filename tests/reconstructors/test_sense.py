import math

import pytest
import torch

from molrecon.errors import InputError
from molrecon.linear.status import Status
from molrecon.operators.base import norm
from molrecon.reconstructors.sense import SENSE

from ..support import cartesian_mri, dense_matrices, normal


def tikhonov(A, y, lam):
    """``min λ‖Ax − y‖² + ‖x‖²`` as one dense least-squares problem."""
    matrices = dense_matrices(A)
    n = matrices.shape[-1]
    identity = torch.eye(n, dtype=matrices.dtype).expand(A.batch, n, n)
    stacked = torch.cat([lam**0.5 * matrices, identity], dim=1)
    right = torch.cat([lam**0.5 * y.flatten(1), torch.zeros(A.batch, n)], dim=1)
    return torch.linalg.lstsq(stacked, right[..., None]).solution.reshape(-1, *A.shape_in)


@pytest.mark.parametrize("lam", [0.1, 100.0])
def test_is_the_least_squares_solution(lam):
    A = cartesian_mri((6, 5), mask_batch=2)
    y = normal(2, 3, 6, 5)
    solution = SENSE(lam)(y, A, tol=1e-11)
    assert torch.allclose(solution.value, tikhonov(A, y, lam), rtol=1e-8, atol=1e-10)
    assert solution.status == (Status.CONVERGED,) * 2
    assert solution.certified
    assert solution.lam.tolist() == [lam, lam]
    assert solution.network_evaluations == 0


@pytest.mark.parametrize("iterations", [1, 3, 8])
def test_error_bound_holds(iterations):
    A, y = cartesian_mri((6, 5)), normal(1, 3, 6, 5)
    solution = SENSE(50.0, max_iterations=iterations)(y, A, tol=1e-7, raise_on_failure=False)
    error = norm(solution.value - tikhonov(A, y, 50.0)) / norm(solution.value)
    assert solution.status == (Status.ITERATION_LIMIT,)
    assert 0 < error.item() <= solution.error_bound.item()


@pytest.mark.parametrize("exponent", [-90, 80])
def test_any_unit_will_do(exponent):
    A, y = cartesian_mri((6, 5), dtype=torch.complex64), normal(1, 3, 6, 5, dtype=torch.complex64)
    one, other = SENSE()(y, A), SENSE()(y * 2.0**exponent, A)
    assert torch.allclose(other.value * 2.0**-exponent, one.value, rtol=1e-5)
    assert other.error_bound.item() == pytest.approx(one.error_bound.item(), rel=1e-3)


@pytest.mark.parametrize("tol", [-1, 0, 2.0, math.nan])
def test_a_tolerance_out_of_range_is_refused(tol):
    A = cartesian_mri((4, 5))
    with pytest.raises(InputError, match=f"tol is {tol:g}, expected a positive number"):
        SENSE()(normal(1, 3, 4, 5), A, tol=tol)


def test_zero_measurements_give_a_zero_image():
    A = cartesian_mri((6, 5))
    solution = SENSE()(torch.zeros(1, 3, 6, 5, dtype=torch.complex128), A)
    assert solution.value.abs().max() == 0
    assert solution.error_bound.item() == 0


@pytest.mark.parametrize("lam", [0.0, -1.0, float("nan")])
def test_weight_out_of_range_is_refused(lam):
    with pytest.raises(InputError, match="expected a positive weight"):
        SENSE(lam)
