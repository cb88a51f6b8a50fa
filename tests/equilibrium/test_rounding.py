"""Bounds hold in the arithmetic that runs: against solutions in double precision."""

from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from molrecon.equilibrium.forward_backward import PROVED, ForwardBackward, SplittingStep
from molrecon.equilibrium.inclusion import Inclusion
from molrecon.equilibrium.rounding import floor, network_factor, unit_roundoff
from molrecon.linear.solver import LinearSolver
from molrecon.linear.status import Status
from molrecon.networks import CNN, ResidualStrictCNN
from molrecon.operators.base import norm
from molrecon.operators.cartesian_mri import CartesianMRI
from molrecon.operators.kernels import box_kernel
from molrecon.operators.super_resolution import SuperResolution

from ..support import cartesian_mri, contraction, normal, solve_real_linear


def equations(A, lam, *, m=0.02, noise=0.01, seed=0):
    """One problem in single and, with the same numbers, in double precision."""
    torch.manual_seed(seed)
    channels = 2 if A.dtype.is_complex else 1
    network = ResidualStrictCNN(channels=channels, features=6, layers=2, lipschitz=1 - m).eval()
    network.requires_grad_(False)
    precise, sigma = deepcopy(network).double(), torch.tensor([0.05])
    x = normal(1, *A.shape_in, dtype=A.dtype, seed=seed).cumsum(-1).cumsum(-2)
    y = A(x / x.abs().max())
    y = y + noise * (y != 0) * normal(*y.shape, dtype=A.dtype, seed=seed + 1)
    weight = torch.tensor([float(lam)])
    single = Inclusion(
        lambda x: network(x, sigma),
        A,
        weight,
        y,
        monotonicity=m,
        precise=lambda x: precise(x, sigma.double()),
        network_rounding=network_factor(network),
    )
    return single, single.in_double()


def exact(double, start, tol=1e-9):
    solver = ForwardBackward(
        tol=tol, max_iterations=50_000, inner=LinearSolver(rtol=0.05, max_iterations=5000)
    )
    kind = torch.complex128 if start.is_complex() else torch.float64
    solution = solver(double, start.to(kind))
    assert solution.converged
    return solution.value


def tiny_mri():
    maps = 10 * normal(1, 3, 2, 2, seed=3).to(torch.complex64)
    return CartesianMRI(maps, torch.tensor([[[[True, False], [True, True]]]]))


PROBLEMS = {
    "super-resolution, λ = 2222": (SuperResolution((1, 48, 48), 2, box_kernel(2)), 2222.0, 1e-4),
    "super-resolution, λ = 10⁴": (SuperResolution((1, 48, 48), 2, box_kernel(2)), 1e4, 1e-4),
    "maps of norm 10 on 2 × 2 pixels": (tiny_mri(), 100.0, 1e-4),
    "MRI, λ = 1271": (cartesian_mri((16, 12), coils=4, dtype=torch.complex64), 1271.0, 1e-4),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_bound_in_single_precision_holds(name):
    A, lam, tol = PROBLEMS[name]
    single, double = equations(A, lam)
    start = torch.zeros(1, *A.shape_in, dtype=A.dtype)
    solution = ForwardBackward(tol=tol)(single, start, certified=True)
    x = exact(double, solution.value)
    distance = norm(solution.value - x) / norm(solution.value)
    assert 0 < distance.item() <= solution.error_bound.item()
    assert solution.converged == (solution.error_bound.item() <= tol)
    assert solution.certified
    assert solution.guarantee.rests_on == PROVED


def test_the_null_space_is_not_given_the_rounding_of_the_data_term():
    """λAᴴy and λAᴴAx apart would leave an error of 1e-3 in what A does not see, divided by m."""
    A = SuperResolution((1, 48, 48), 2, box_kernel(2))
    single, double = equations(A, 1e4)
    start = torch.zeros(1, *A.shape_in)
    solution = ForwardBackward(tol=1e-6, max_iterations=500)(single, start)
    x = exact(double, solution.value)
    assert norm(solution.value - x) <= 5e-6 * norm(x)


@pytest.mark.parametrize("lam", [1e3, 1e4])
def test_a_solve_that_stagnates_returns_its_best_iterate(lam):
    """Asked for less than rounding allows, it returns no worse an image than asked for more."""
    A = SuperResolution((1, 16, 16), 2, box_kernel(2))
    single, _ = equations(A, lam, noise=0.1)
    start = torch.zeros(1, *A.shape_in)
    bounds = []
    for tol in (1e-3, 1e-4, 1e-9):
        solution = ForwardBackward(tol=tol, max_iterations=1000)(single, start)
        bounds.append(solution.error_bound.item())
    assert solution.status == (Status.STAGNATED,)
    assert bounds[0] <= 1e-3
    assert bounds[2] <= bounds[1] * 1.05 <= bounds[0] * 1.05**2


@settings(deadline=None, max_examples=40)
@given(
    size=st.floats(-9, 0),
    lam=st.floats(-2, 4),
    m=st.floats(0.01, 0.5),
    alpha=st.floats(0.1, 1.0),
    seed=st.integers(0, 999),
)
def test_the_bound_holds_for_any_step_however_wrong(size, lam, m, alpha, seed):
    """It assumes nothing of how x, w and their sum were found: here they are perturbed."""
    A = cartesian_mri((4, 3), dtype=torch.complex64, seed=seed % 7)
    H = contraction(12, 1 - m, seed=seed)
    y = A(normal(1, 1, 4, 3, seed=seed).to(torch.complex64))
    equation = Inclusion(
        lambda x: H(x.to(torch.complex128)).to(x.dtype),
        A,
        torch.tensor([10.0**lam]),
        y,
        monotonicity=m,
        precise=H,
    )
    double = replace(equation.in_double(), y=None, A=A.in_double)
    right = double.lam * A.in_double.H(y.to(torch.complex128))
    x_exact = solve_real_linear(double.residual, right)
    step = SplittingStep(equation, alpha, LinearSolver(rtol=0.2))
    away, wrong, last = (normal(1, 1, 4, 3, seed=seed + k).to(torch.complex64) for k in (1, 2, 3))
    x = x_exact.to(torch.complex64) + 10**size * away
    w = step(x).difference + 10 ** (size - 2) * wrong
    image = x + w + 10 ** (size - 3) * last
    bound = step.bound(x, image, w, tol=1e-12)
    assert norm(image - x_exact) / norm(image) <= bound + 2e-10


def test_without_a_network_in_double_precision_nothing_is_proved():
    single, _ = equations(*PROBLEMS["MRI, λ = 1271"][:2])
    start = torch.zeros(1, 1, 16, 12, dtype=torch.complex64)
    blind = Inclusion(single.H, single.A, single.lam, single.y, monotonicity=0.02)
    solution = ForwardBackward()(blind, start, certified=True)
    assert not solution.certified
    assert "rounding in single precision" in solution.guarantee.rests_on


def test_the_factor_of_a_network_counts_its_kernels():
    """A sum of n products is rounded n times, of each kernel and of its transpose."""
    network = CNN(features=4, layers=2, noise_conditioned=False)
    rows = [2 * 9, 4 * 9]
    assert network_factor(network) == pytest.approx(64 + 2 * (18**1.5 + 36**1.5), rel=0.9)
    assert network_factor(network) >= 64 + 2 * sum(n**1.5 for n in rows) - 1e-6
    assert network_factor(torch.nn.ReLU()) == 64


def test_the_floor_is_that_of_the_unit_roundoff_and_grows_with_the_root_of_the_weight():
    one = torch.ones(1, dtype=torch.float64)
    known = {"size": one, "data": one, "step": 0 * one, "norm": one, "network": 0.0}
    small, large = (floor(c=c * one, mismatch=0 * one, **known) for c in (1.0, 1e4))
    assert large.item() == pytest.approx(100 * small.item())
    assert floor(c=one, mismatch=one, **known) > small
    single = floor(c=one, mismatch=0 * one, dtype=torch.float32, **known)
    assert (single / small).item() == pytest.approx(2.0**29)
    assert unit_roundoff(torch.complex128) == 2.0**-53
