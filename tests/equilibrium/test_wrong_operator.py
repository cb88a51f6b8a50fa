"""What a wrong operator does to a solution, against dense linear algebra."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from molrecon.equilibrium.forward_backward import ForwardBackward
from molrecon.equilibrium.inclusion import Inclusion
from molrecon.equilibrium.wrong_operator import (
    completed_operator_bound,
    operator_sensitivity,
    sensitivity,
    with_operator,
    wrong_operator_bound,
)
from molrecon.linear.conjugate_gradient import ConjugateGradient
from molrecon.operators.base import norm
from molrecon.operators.cartesian_mri import CartesianMRI

from ..support import Dense, cartesian_mri, contraction, dense_matrices, normal

EXACT = ConjugateGradient(rtol=1e-12, max_iterations=500)
ROOM = 1 + 1e-9


def linear_inclusion(A, y, *, m, lam, skew, seed):
    """F(x) = x − Hx − b, ‖H‖ = 1 − m."""
    n = torch.Size(A.shape_in).numel()
    H = normal(n, n, seed=seed)
    H = H - H.mH if skew else H @ H.mH
    H = (1 - m) * H / torch.linalg.matrix_norm(H, 2)
    b = normal(n, seed=seed + 5)
    empty = Inclusion(
        H=lambda x: (x.flatten(1) @ H.mT + b).reshape(x.shape),
        A=A,
        lam=torch.tensor([lam], dtype=torch.float64),
        rhs=torch.zeros(1, *A.shape_in, dtype=torch.complex128),
        monotonicity=m,
    )
    return with_operator(empty, y, A), H, b


def exact_solution(inclusion, H, b):
    matrix = dense_matrices(inclusion.A)[0]
    system = torch.eye(len(H)) - H + inclusion.lam * matrix.mH @ matrix
    rhs = inclusion.lam * inclusion.A.H(inclusion.y)
    return torch.linalg.solve(system, rhs.flatten() + b).reshape(rhs.shape)


parameters = given(
    m=st.floats(0.02, 0.9),
    lam=st.floats(0.05, 500),
    size=st.floats(1e-3, 1),
    skew=st.booleans(),
    kind=st.sampled_from(["dense", "maps", "mask"]),
    seed=st.integers(0, 999),
)


def operators(kind, size, seed):
    if kind == "dense":
        matrix = normal(1, 7, 6, seed=seed)
        return Dense(matrix), Dense(matrix + size * normal(1, 7, 6, seed=seed + 1))
    A = cartesian_mri((3, 2), coils=2, seed=seed)
    if kind == "mask":
        return A, CartesianMRI(A.coil_maps, A.mask ^ cartesian_mri((3, 2), seed=seed + 3).mask)
    maps = A.coil_maps + size * normal(*A.coil_maps.shape, seed=seed + 1)
    return A, CartesianMRI(maps, A.mask)


@settings(deadline=None, max_examples=150)
@parameters
def test_every_bound_holds(m, lam, size, skew, kind, seed):
    A, other = operators(kind, size, seed)
    y = A(normal(1, *A.shape_in, seed=seed)) + 0.1 * normal(1, *A.shape_out, seed=seed + 2)
    one, H, b = linear_inclusion(A, y, m=m, lam=lam, skew=skew, seed=seed)
    x = exact_solution(one, H, b)
    moved_to = exact_solution(with_operator(one, y, other), H, b)
    distance = norm(x - moved_to)
    plain = wrong_operator_bound(one, y, other, x)
    tight = wrong_operator_bound(one, y, other, x, solver=EXACT)
    prior = operator_sensitivity(one, y, other, x)
    assert distance <= tight * ROOM + 1e-9
    assert tight <= plain
    assert distance <= prior * ROOM + 1e-9
    D = dense_matrices(other)[0] - dense_matrices(A)[0]
    width = torch.linalg.matrix_norm(D, 2)
    in_norm = sensitivity(
        one.lam, m, missing=width * norm(x), seen=width * norm(A(x) - y), residual=0.0
    )
    assert prior <= in_norm * ROOM + 1e-6
    if kind != "dense":
        z, z_other = A.completed(x, y), other.completed(moved_to, y)
        assert norm(z - z_other) <= completed_operator_bound(tight, y, A, other, x) * ROOM + 1e-9


@settings(deadline=None, max_examples=30)
@given(m=st.floats(0.02, 0.9), error=st.floats(1e-3, 1), seed=st.integers(0, 99))
def test_an_image_that_is_not_solved_to_its_end_is_covered(m, error, seed):
    A, other = operators("maps", 0.1, seed)
    y = A(normal(1, *A.shape_in, seed=seed))
    one, H, b = linear_inclusion(A, y, m=m, lam=5.0, skew=True, seed=seed)
    x = exact_solution(one, H, b) + error * normal(1, *A.shape_in, seed=seed + 9)
    distance = norm(x - exact_solution(with_operator(one, y, other), H, b))
    for bound in (
        wrong_operator_bound(one, y, other, x),
        wrong_operator_bound(one, y, other, x, solver=EXACT),
        operator_sensitivity(one, y, other, x),
    ):
        assert distance <= bound * ROOM


def test_the_posterior_bound_is_attained_where_the_other_operator_sees_nothing():
    """H = (1 − m)I and A′ = 0 in a direction: no smaller bound can hold."""
    m, lam = 0.1, 4.0
    A = Dense(torch.tensor([[[0.3, 0.0], [0.0, 1.0]]], dtype=torch.complex128))
    other = Dense(torch.tensor([[[0.0, 0.0], [0.0, 1.0]]], dtype=torch.complex128))
    y = A(normal(1, 1, 2))
    empty = Inclusion(
        H=lambda x: (1 - m) * x,
        A=A,
        lam=torch.tensor([lam], dtype=torch.float64),
        rhs=torch.zeros(1, 1, 2, dtype=torch.complex128),
        monotonicity=m,
    )
    one = with_operator(empty, y, A)
    zero = torch.zeros(2, dtype=torch.complex128)
    H = (1 - m) * torch.eye(2, dtype=torch.complex128)
    x = exact_solution(one, H, zero)
    distance = norm(x - exact_solution(with_operator(one, y, other), H, zero))
    assert distance.item() == pytest.approx(wrong_operator_bound(one, y, other, x).item())


def test_the_ball_halves_the_bound_where_the_data_decide():
    """In a well-seen direction the error is far below ‖G‖_{M⁻¹}/√μ, and half of that is proved."""
    m, lam = 0.01, 100.0
    A = Dense(torch.eye(3, dtype=torch.complex128)[None])
    other = Dense(1.01 * torch.eye(3, dtype=torch.complex128)[None])
    y = normal(1, 1, 3)
    one, _, _ = linear_inclusion(A, y, m=m, lam=lam, skew=True, seed=0)
    x = normal(1, 1, 3)
    g = norm(with_operator(one, y, other).residual(x))
    weighted = g / ((m + lam * 1.01**2) * m) ** 0.5
    tight = wrong_operator_bound(one, y, other, x, solver=EXACT)
    assert tight.item() == pytest.approx(weighted.item() / 2, rel=0.02)


@pytest.mark.parametrize("seed", range(4))
def test_bounds_hold_where_the_operators_see_different_pixels(seed):
    """The network is confined to what the operator of its equation sees, each to its own."""
    m, lam = 0.1, 5.0
    maps, mask = cartesian_mri((4, 4), seed=seed).coil_maps, cartesian_mri((4, 4), seed=seed).mask
    ours, theirs = maps.clone(), maps + 0.01 * normal(*maps.shape, seed=seed + 9)
    ours[..., 1, 1] = 0
    theirs[..., 0, 0] = 0
    A, other = CartesianMRI(ours, mask), CartesianMRI(theirs, mask)
    assert A.support is not None
    y = A(normal(1, 1, 4, 4, seed=seed)) + 0.1 * mask * normal(1, 3, 4, 4, seed=seed + 1)
    linear, offset = contraction(16, 1 - m, seed=seed), normal(1, 1, 4, 4, seed=seed + 2)
    weight = torch.tensor([lam], dtype=torch.float64)
    equation = Inclusion(lambda x: linear(x) + offset, A, weight, y, monotonicity=m)
    solver = ForwardBackward(tol=1e-9, max_iterations=5000, inner=EXACT)
    start = torch.zeros_like(offset)
    x = solver(equation, start).value
    moved = solver(with_operator(equation, y, other), start).value
    distance = norm(x - moved)
    assert distance > 0.05 * norm(x)
    for bound in (
        wrong_operator_bound(equation, y, other, x),
        wrong_operator_bound(equation, y, other, x, solver=EXACT),
        operator_sensitivity(equation, y, other, x),
    ):
        assert distance <= bound * ROOM
