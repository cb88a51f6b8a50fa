"""Every error bound must hold, however badly the inner systems are solved."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from molrecon.equilibrium.forward_backward import ForwardBackward
from molrecon.equilibrium.inclusion import Inclusion, error_bound
from molrecon.linear.conjugate_gradient import ConjugateGradient
from molrecon.operators.base import norm

from ..support import cartesian_mri, contractive_cnn, normal
from .test_forward_backward import affine_inclusion, start

inner_solvers = st.builds(
    ConjugateGradient,
    rtol=st.sampled_from([1e-6, 0.05, 0.5]),
    relative_to=st.sampled_from(["start", "rhs"]),
    max_iterations=st.sampled_from([1, 2, 100]),
)
solvers = st.builds(
    ForwardBackward,
    alpha=st.sampled_from([1.0, 0.5, 0.05]),
    tol=st.sampled_from([1e-1, 1e-4]),
    stopping=st.sampled_from(["bound", "residual", "relative-change"]),
    max_iterations=st.integers(1, 40),
    memory=st.integers(0, 4),
    inner=inner_solvers,
)


def check(solution, inclusion, exact):
    """Both bounds hold; rounding of the exact solution is left room for."""
    distance = norm(solution.value - exact)
    room = 1e-12 * norm(exact)
    assert (distance <= solution.error_bound * norm(solution.value) + room).all()
    plain = error_bound(inclusion, solution.value)
    assert (distance <= plain + room).all()
    # The tighter bound holds too, whether its linear system is solved or hardly begun.
    for iterations in (1, 3, 200):
        solver = ConjugateGradient(rtol=1e-8, max_iterations=iterations)
        tight = error_bound(inclusion, solution.value, solver=solver)
        assert (distance <= tight + room).all()
        assert (tight <= plain).all()


@settings(deadline=None, max_examples=150)
@given(
    solver=solvers,
    m=st.floats(0.01, 0.9),
    lam=st.tuples(st.floats(0, 500), st.floats(0, 500)),
    shift=st.sampled_from([0.0, 0.1]),
    seed=st.integers(0, 99),
)
def test_bounds_hold_for_affine_networks(solver, m, lam, shift, seed):
    inclusion, exact = affine_inclusion(m=m, lam=lam, shift=shift, seed=seed)
    check(solver(inclusion, start(seed)), inclusion, exact)


@settings(deadline=None, max_examples=30)
@given(solver=solvers, lam=st.floats(0.1, 100), seed=st.integers(0, 9))
def test_bounds_hold_for_convolutional_networks(solver, lam, seed):
    m = 0.05
    network = contractive_cnn(1 - m, seed=seed, noise_conditioned=False)
    A = cartesian_mri((6, 5), seed=seed)
    weights = torch.tensor([lam], dtype=torch.float64)
    inclusion = Inclusion(
        H=network.requires_grad_(False),
        A=A,
        lam=weights,
        rhs=lam * A.H(A(normal(1, 1, 6, 5, seed=seed))),
        monotonicity=m,
    )
    reference = ForwardBackward(tol=1e-10, max_iterations=5000)
    x0 = normal(1, 1, 6, 5, seed=seed + 1)
    exact = reference(inclusion, x0)
    assert exact.converged
    check(solver(inclusion, x0), inclusion, exact.value)


def test_the_weighted_bound_does_not_count_what_the_data_amplify():
    """An error that the data see strongly: ‖G‖/m is far off, the weighted bound less so."""
    m, lam = 0.1, 1000.0
    A = cartesian_mri((4, 3), fraction=1.1)  # everything sampled: AᴴA = I
    inclusion = Inclusion(
        H=lambda x: (1 - m) * x,
        A=A,
        lam=torch.tensor([lam], dtype=torch.float64),
        rhs=torch.zeros(1, 1, 4, 3, dtype=torch.complex128),
        monotonicity=m,
    )
    x = normal(1, 1, 4, 3)
    assert error_bound(inclusion, x).item() == pytest.approx((1 + lam / m) * norm(x).item())
    tight = error_bound(inclusion, x, solver=ConjugateGradient(rtol=1e-10)).item()
    assert tight == pytest.approx((1 + math.sqrt((m + lam) / m)) / 2 * norm(x).item())


@pytest.mark.parametrize("shift", [0.0, 0.3])
def test_bound_is_attained(shift):
    """With H = (1 − m)x and no data, G(x) = (m + shift)x: the bound is the distance itself."""
    m = 0.1
    A = cartesian_mri((4, 3))
    inclusion = Inclusion(
        H=lambda x: (1 - m) * x,
        A=A,
        lam=torch.zeros(1, dtype=torch.float64),
        rhs=torch.zeros(1, 1, 4, 3, dtype=torch.complex128),
        monotonicity=m,
        shift=shift,
    )
    x = normal(1, 1, 4, 3)
    assert torch.allclose(error_bound(inclusion, x), norm(x))
    solution = ForwardBackward(memory=0, max_iterations=3)(inclusion, x)
    assert torch.allclose(solution.value, ((1 - m) / (1 + shift)) ** 3 * x)
    assert torch.allclose(solution.error_bound, torch.ones(1).double())


def test_a_certificate_of_1e_3_is_reached_in_single_precision_with_little_noise():
    """λ = 2000 is what a scan of little noise gets; the rounding of λAᴴy must not end the solve."""
    m = 0.02
    A = cartesian_mri((24, 20), coils=4, fraction=0.4, dtype=torch.complex64)
    network = contractive_cnn(1 - m, noise_conditioned=False).float().requires_grad_(False)
    x = normal(1, 1, 24, 20, dtype=torch.complex64)
    lam = 2000.0
    inclusion = Inclusion(
        H=network, A=A, lam=torch.tensor([lam]), rhs=lam * A.H(A(x)), monotonicity=m
    )
    solution = ForwardBackward(tol=1e-3)(inclusion, torch.zeros_like(x))
    assert solution.converged
    assert solution.network_evaluations < 30
    assert solution.error_bound.item() <= 1e-3
