"""Bounds hold in the arithmetic that runs: against solutions in double precision."""

from contextlib import nullcontext
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from molrecon.equilibrium import forward_backward
from molrecon.equilibrium.forward_backward import PROVED, ForwardBackward, SplittingStep
from molrecon.equilibrium.inclusion import Inclusion
from molrecon.equilibrium.operator_model import check_operator, follows_model
from molrecon.equilibrium.rounding import NetworkRounding, floor, lost, unit_roundoff
from molrecon.errors import InputError
from molrecon.linear.solver import LinearSolver
from molrecon.linear.status import Status
from molrecon.networks import CNN, ResidualStrictCNN, build_network
from molrecon.operators.base import norm
from molrecon.operators.cartesian_mri import CartesianMRI
from molrecon.operators.kernels import box_kernel
from molrecon.operators.super_resolution import SuperResolution
from molrecon.operators.wrapped import wrap_operator
from molrecon.reconstructors.tikhonov import Tikhonov

from ..support import Dense, cartesian_mri, contraction, normal, solve_real_linear


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
        network_rounding=NetworkRounding.of(network),
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


@pytest.mark.parametrize("name", PROBLEMS)
def test_what_single_precision_cannot_reach_is_refined_in_double(name):
    A, lam, _ = PROBLEMS[name]
    single, double = equations(A, lam)
    start = torch.zeros(1, *A.shape_in, dtype=A.dtype)
    solution = ForwardBackward(tol=1e-6, max_iterations=500)(single, start, certified=True)
    assert solution.converged
    assert solution.value.dtype == A.dtype
    x = exact(double, solution.value)
    distance = norm(solution.value.to(x.dtype) - x) / norm(x)
    assert 0 < distance.item() <= solution.error_bound.item() <= 1e-6


def test_a_batch_is_refined_where_it_stagnated_and_no_sample_gets_a_worse_bound():
    A = cartesian_mri((16, 12), coils=4, dtype=torch.complex64)
    single, _ = equations(A, 1271.0)
    batch = replace(single, lam=torch.tensor([1.0, 1271.0]), y=single.y.expand(2, -1, -1, -1))
    start = torch.zeros(2, *A.shape_in, dtype=A.dtype)
    fine = ForwardBackward(tol=2e-6, max_iterations=500)(batch, start)
    both = fine.error_bound.tolist()
    assert fine.converged
    assert max(both) <= 2e-6
    double = batch.in_double()
    apart = norm(fine.value.to(torch.complex128) - exact(double, fine.value))
    assert bool((apart <= fine.error_bound * norm(fine.value)).all())


def test_a_refinement_that_runs_out_of_time_says_so(monkeypatch):
    """What stagnated did so on the way: it is the time that ended the solve."""
    A, lam, _ = PROBLEMS[next(iter(PROBLEMS))]
    single, _ = equations(A, lam)
    start = torch.zeros(1, *A.shape_in, dtype=A.dtype)
    whole = forward_backward.refined

    def hurried(solution, step, limits, tol):
        return whole(solution, step, replace(limits, seconds=1e-9), tol)

    monkeypatch.setattr(forward_backward, "refined", hurried)
    solution = ForwardBackward(tol=1e-6, max_iterations=500)(single, start, certified=True)
    assert solution.status == (Status.TIME_LIMIT,)


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


def test_the_rounding_of_a_network_counts_its_kernels_and_biases():
    """A sum of n products is rounded n times, of each kernel and of its transpose."""
    network = CNN(features=4, layers=2, noise_conditioned=False)
    known = NetworkRounding.of(network)
    sums = [layer.weight.detach().abs().sum((2, 3)) for layer in network.convolutions]
    largest = [float(torch.linalg.svdvals(p.double())[0]) for p in sums]
    assert known.factor == pytest.approx(3 * 64 + 4 * 4 * 9 * sum(largest))
    for layer, value in zip(network.convolutions, (3.0, -4.0), strict=True):
        torch.nn.init.constant_(layer.bias, value)
    assert NetworkRounding.of(network).offset == pytest.approx(2 * (3 * 4**0.5 + 4 * 2**0.5))
    assert NetworkRounding.of(torch.nn.ReLU()) == NetworkRounding(64.0, 0.0)


STRICT = {
    "residual-strict": {"features": 8, "layers": 3},
    "wide kernels": {"kind": "residual-strict", "features": 4, "layers": 2, "kernel_size": 9},
    "many channels": {"kind": "residual-strict", "features": 96, "layers": 1},
    "spectral": {"features": 6, "layers": 3},
    "multiscale-strict": {"features": 8, "scales": (1, 2), "coarse_features": 20},
    "planes": {"plane": {"kind": "residual-strict", "features": 4, "layers": 2}},
    "series-strict": {"features": 8, "scales": (1, 2), "coarse_features": 20, "temporal_width": 5},
}


@pytest.mark.parametrize("name", STRICT)
@pytest.mark.parametrize("size", [1e-3, 1.0, 1e3])
@torch.no_grad()
def test_networks_are_rounded_by_no_more_than_the_model_says(name, size):
    """In single precision, where it shows, against double: kernels narrow, wide and rectangular."""
    torch.manual_seed(1)
    network = build_network({"kind": name, **STRICT[name]}).eval()
    for part in network.modules():
        if isinstance(getattr(part, "bias", None), torch.nn.Parameter):
            part.bias.normal_(std=0.3)
    spatial = (6, 9, 7) if network.ndim == 3 else (17, 12)
    x = size * normal(2, 1, *spatial, dtype=torch.complex64)
    sigma = torch.tensor([0.02, 0.2])
    precise = deepcopy(network).double()(x.to(torch.complex128), sigma.double())
    error = norm(network(x, sigma).to(torch.complex128) - precise)
    allowed = unit_roundoff(torch.float32) * NetworkRounding.of(network).size(x)
    assert (error > 0).all()
    assert (error <= allowed).all()


def test_the_floor_is_that_of_the_unit_roundoff_and_grows_with_the_root_of_the_weight():
    one = torch.ones(1, dtype=torch.float64)
    known = {"size": one, "data": one, "step": 0 * one, "norm": one, "network": 0 * one}
    known["operator"] = 512.0
    small, large = (floor(c=c * one, mismatch=0 * one, **known) for c in (1.0, 1e4))
    assert large.item() == pytest.approx(100 * small.item())
    assert floor(c=one, mismatch=one, **known) > small
    rounder = floor(c=one, mismatch=0 * one, **known | {"operator": 1024.0})
    assert rounder.item() > 1.9 * small.item()
    single = floor(c=one, mismatch=0 * one, dtype=torch.float32, **known)
    assert (single / small).item() == pytest.approx(2.0**29)
    assert unit_roundoff(torch.complex128) == 2.0**-53


class Unlike(Dense):
    """An operator of another package, which is not what it states."""

    def __init__(self, matrix, fault):
        super().__init__(matrix)
        self.fault = fault

    def forward(self, x):
        if self.fault == "single precision":
            return super().forward(x.to(torch.complex64).to(x.dtype))
        if self.fault == "not linear for large images":
            return super().forward(x.where(x.abs() < 1e3, 1.1 * x))
        return super().forward(x) + (1e-6 if self.fault == "affine" else 0)

    @property
    def for_double(self):
        return Dense((1 + 1e-4 * (self.fault == "another double")) * self.matrix)

    @property
    def support(self):
        seen = torch.ones(1, *self.shape_in, dtype=torch.bool)
        seen[..., 0] = self.fault != "too small a support"
        self.asked = vars(self).get("asked", 0) + 1
        seen[..., 1] = self.fault != "a support that changes" or self.asked % 2 == 0
        return seen

    def completed(self, x, y):
        return 3 * x if self.fault == "another completion" else x

    def adjoint(self, y):
        return (1 + 1e-9 * (self.fault == "another adjoint")) * super().adjoint(y)

    def normal(self, x):
        return (1 + 1e-9 * (self.fault == "another AᴴA")) * super().normal(x)

    def mismatch(self, x, y):
        return (1 + 1e-9 * (self.fault == "another mismatch")) * super().mismatch(x, y)

    @property
    def norm_bound(self):
        return torch.full((1,), 0.1) if self.fault == "too small a norm" else None


FAULTS = {
    "none": "",
    "affine": r"A\(x \+ z\) is not",
    "single precision": r"A\(x \+ z\) is not",
    "another adjoint": "from ⟨Ax, y⟩ =",
    "another AᴴA": r"A\.normal\(x\) is not",
    "another mismatch": r"A\.mismatch\(x, y\) is not",
    "too small a norm": r"states at most 0\.1",
    "not linear for large images": r"A\(1\.04858e\+06 x\) is not",
    "another double": r"A\.for_double\(x\) is not",
    "too small a support": "where x is so on the support",
    "a support that changes": "another one whenever it is asked",
    "another completion": r"A\.completed\(x, y\) is not",
}
"""What an operator may lack, and how it is said."""


OF_ITS_PRODUCTS = ("affine", "single precision", "not linear for large images")


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_assumed_of_an_operator_is_tested_where_it_is_not_known(fault):
    A = Unlike(normal(1, 9, 12, dtype=torch.complex128), fault)
    for made in (2 * A, A.H @ A, A + A):
        # Their own AᴴA is made of A and its adjoint, and theirs alone.
        assert follows_model(made) or fault != "none"
        assert not (follows_model(made) and fault in OF_ITS_PRODUCTS)
    assert follows_model(A) == (fault == "none")
    with nullcontext() if fault == "none" else pytest.raises(InputError, match=FAULTS[fault]):
        check_operator(A)
    equation = Inclusion(lambda x: 0.5 * x, A, torch.ones(1).double(), monotonicity=0.5)
    y = A(normal(1, *A.shape_in, seed=2))
    solution = ForwardBackward()(replace(equation, y=y), 0 * A.H(y), certified=True)
    assert solution.certified == (fault == "none")
    assert ("the adjoint that it states" in solution.guarantee.rests_on) == (fault != "none")
    assert Tikhonov(lam=1.0)(y, A).certified == (fault == "none")


def test_operators_of_the_package_are_known_unless_a_method_was_replaced():
    A = cartesian_mri((4, 3))
    assert follows_model(A)
    assert follows_model(2 * A)
    other = cartesian_mri((4, 3))
    other.adjoint = lambda y: 2 * A.adjoint(y)
    assert not follows_model(other)
    assert not follows_model(2 * other)


def test_an_operator_that_was_changed_is_not_what_was_known():
    A = cartesian_mri((4, 3))
    both = 2 * A
    assert follows_model(both)
    A.coil_maps.mul_(2)
    assert not follows_model(A)
    assert not follows_model(both)


def test_a_class_that_claims_to_be_of_the_package_is_tested():
    class Larger(CartesianMRI):
        def forward(self, x):
            return 1.01 * super().forward(x)

    Larger.__module__ = CartesianMRI.__module__
    A = cartesian_mri((4, 3))
    A.__class__ = Larger
    assert not follows_model(A)


def test_wrapped_operators_are_tested():
    matrix = normal(7, 9, dtype=torch.float64).numpy()
    assert follows_model(wrap_operator(matrix))
    assert not follows_model(wrap_operator(SinglePrecision(matrix)))


class SinglePrecision(scipy.sparse.linalg.LinearOperator):
    """A matrix applied in single precision whatever it is given, as many projectors are."""

    def __init__(self, matrix):
        super().__init__(np.float32, matrix.shape)
        self.matrix = matrix.astype(np.float32)

    def _matvec(self, x):
        return (self.matrix @ x.astype(np.float32)).astype(np.float64)

    def _rmatvec(self, x):
        return (self.matrix.T @ x.astype(np.float32)).astype(np.float64)


def test_the_last_step_is_computed_once(monkeypatch):
    """Its right-hand side in double precision serves the step and its bound."""
    single, _ = equations(*PROBLEMS["MRI, λ = 1271"][:2])
    start = torch.zeros(1, *single.A.shape_in, dtype=torch.complex64)
    solution = ForwardBackward(tol=1e-3)(single, start)
    assert solution.converged
    assert solution.network_evaluations == solution.iterations.item()


@pytest.mark.parametrize("flushed", [True, False])
def test_denormal_numbers_are_counted(flushed, request):
    """Where the processor sets them to zero all of a number is lost, else its last digits."""
    if not torch.set_flush_denormal(flushed):
        return
    request.addfinalizer(lambda: torch.set_flush_denormal(False))
    tiny, eps = torch.finfo(torch.float32).tiny, torch.finfo(torch.float32).eps
    exact = torch.tensor([[[1.0, 0.0, 0.1]], [[1.0, 0.0, 1.0]]]).double() * 2 * tiny
    stored = exact.float() * torch.tensor([1.0, 1e30])[:, None, None]
    expected = 0.5 if flushed else eps / (2 * 1.01**0.5)
    assert lost(exact, stored).tolist() == pytest.approx([expected, 0.0])


def test_weights_of_steps_may_be_rounded():
    """αλ/s in single precision is not αλ/s: the bound takes λ as it is stored."""
    A = cartesian_mri((4, 3), dtype=torch.complex64)
    H = contraction(12, 1 - 1e-3)
    y = A(normal(1, 1, 4, 3).to(torch.complex64))
    for alpha in (0.01, 0.3, 1.0):
        equation = Inclusion(
            lambda x: H(x.to(torch.complex128)).to(x.dtype),
            A,
            torch.tensor([77.7]),
            y,
            monotonicity=1e-3,
            precise=H,
        )
        double = replace(equation.in_double(), y=None, A=A.in_double)
        right = double.lam * A.in_double.H(y.to(torch.complex128))
        exact = solve_real_linear(double.residual, right)
        x = exact.to(torch.complex64)
        step = SplittingStep(equation, alpha, LinearSolver(rtol=1e-3))
        done = step(x, last=True)
        bound = step.bound(x, done.image, done.difference, tol=1e-12)
        assert norm(done.image - exact) <= bound * norm(done.image)
