"""THEORY section 4: a measurement error Δb moves the solution by at most ½√(λ/m)‖Δb‖."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from molrecon.equilibrium.forward_backward import ForwardBackward
from molrecon.equilibrium.inclusion import Inclusion
from molrecon.equilibrium.robustness import completed_constant, robustness_constant
from molrecon.operators.base import norm

from ..support import Dense, cartesian_mri, contractive_cnn, dense_matrices, normal

SOLVER = ForwardBackward(tol=1e-10, max_iterations=5000)


def gain(inclusion, y, change):
    """How much further the solution moves than the measurements."""
    moved = []
    for data in (y, y + change):
        rhs = inclusion.lam * inclusion.A.H(data)
        solution = SOLVER(replace(inclusion, rhs=rhs), torch.zeros_like(rhs))
        assert solution.converged
        moved.append(solution.value)
    return (norm(moved[1] - moved[0]) / norm(change)).item()


@settings(deadline=None, max_examples=25)
@given(
    m=st.floats(0.05, 0.9),
    lam=st.floats(0.05, 50),
    size=st.floats(1e-3, 10),
    seed=st.integers(0, 99),
)
def test_bound_holds_for_convolutional_networks(m, lam, size, seed):
    A = cartesian_mri((5, 4), coils=2, seed=seed)
    network = contractive_cnn(1 - m, seed=seed, noise_conditioned=False).requires_grad_(False)
    y = A(normal(1, 1, 5, 4, seed=seed))
    inclusion = Inclusion(
        H=network,
        A=A,
        lam=torch.tensor([lam], dtype=torch.float64),
        rhs=torch.zeros(1, 1, 5, 4, dtype=torch.complex128),
        monotonicity=m,
    )
    change = size * normal(*y.shape, seed=seed + 1)
    assert gain(inclusion, y, change) <= 0.5 * (lam / m) ** 0.5 + 1e-6


@pytest.mark.parametrize(("m", "lam"), [(0.1, 1.0), (0.5, 20.0)])
def test_bound_is_attained_where_the_operator_is_weak(m, lam):
    """One pixel, A = √(m/λ), H = (1 − m)x: no smaller bound can hold."""
    weak = (m / lam) ** 0.5
    inclusion = Inclusion(
        H=lambda x: (1 - m) * x,
        A=Dense(torch.full((1, 1, 1), weak, dtype=torch.complex128)),
        lam=torch.tensor([lam], dtype=torch.float64),
        rhs=torch.zeros(1, 1, 1, dtype=torch.complex128),
        monotonicity=m,
    )
    y, change = normal(1, 1, 1), normal(1, 1, 1, seed=1)
    assert gain(inclusion, y, change) == pytest.approx(0.5 * (lam / m) ** 0.5, rel=1e-6)


def largest_gain(A, H, lam, *, full_scan, data_gain=1.0):
    """Norm of the linear map from measurements to image, densely: ``z = (M − …)y``."""
    matrix = dense_matrices(A)[0]
    gram, back = matrix.mH @ matrix, matrix.mH
    solution = data_gain * lam * torch.linalg.solve(torch.eye(len(gram)) - H + lam * gram, back)
    if full_scan:
        solution = solution + back - gram @ solution
    return torch.linalg.matrix_norm(solution, 2).item()


@settings(max_examples=80)
@given(
    m=st.floats(0.02, 0.9),
    lam=st.floats(0.05, 500),
    scale=st.floats(0.3, 1.8),
    skew=st.booleans(),
    factor=st.floats(1, 3),
    seed=st.integers(0, 999),
)
def test_the_full_scan_is_no_less_robust_than_proved(m, lam, scale, skew, factor, seed):
    """Linear H with ‖H‖ = 1 − m, and operators of norms below and above 1."""
    A = cartesian_mri((3, 2), coils=2, seed=seed)
    A = type(A)(scale * A.coil_maps, A.mask)
    H = normal(6, 6, seed=seed)
    H = H - H.mH if skew else H @ H.mH
    H = (1 - m) * H / torch.linalg.matrix_norm(H, 2)
    constant = factor * robustness_constant(torch.tensor([lam], dtype=torch.float64), m)
    full = completed_constant(constant, A, gain=factor)
    found = [largest_gain(A, H, lam, full_scan=s, data_gain=factor) for s in (False, True)]
    assert found[0] <= constant.item() * (1 + 1e-9)
    assert found[1] <= full.item() * (1 + 1e-9)
    assert full.item() <= A.completion_gain.item() * constant.item() + A.norm_bound.item() + 1e-9


def test_completing_costs_next_to_nothing_where_it_matters():
    A = cartesian_mri((3, 2))
    constant = robustness_constant(torch.tensor([20.0], dtype=torch.float64), 0.02)
    c = 20 / 0.02
    full = completed_constant(constant, A)
    assert full.item() == pytest.approx((1 + c**2 / (4 * (1 + c))) ** 0.5, rel=1e-6)
    assert full.item() < 1.002 * constant.item()


def test_no_constant_without_a_bound_on_the_operator():
    dense = Dense(normal(1, 2, 2))
    assert completed_constant(torch.ones(1), dense) is None
    assert completed_constant(None, cartesian_mri((3, 2))) is None
