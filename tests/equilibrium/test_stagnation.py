"""Solves that rounding holds up stop and say so; solves that are only slow go on."""

import math
from dataclasses import replace

import pytest
import torch

from molrecon.equilibrium import fixed_point
from molrecon.equilibrium.forward_backward import ForwardBackward
from molrecon.equilibrium.inclusion import Inclusion
from molrecon.equilibrium.stagnation import patience
from molrecon.errors import ConvergenceError
from molrecon.linear.conjugate_gradient import ConjugateGradient
from molrecon.linear.status import Status
from molrecon.operators.base import norm, per_sample

from ..support import cartesian_mri, contraction, normal

SPATIAL = (8, 6)
CONTRACTION = contraction(48, 0.98)


def rounded(x):
    """Contract, and round to the precision of the image, as a network does."""
    return CONTRACTION(x.to(torch.complex128)).to(x.dtype)


def inclusion(dtype, *, H=rounded, lam=(5.0, 50.0)):
    A = cartesian_mri(SPATIAL, dtype=dtype)
    weights = torch.tensor(lam, dtype=dtype.to_real())
    rhs = per_sample(weights, A.coil_maps) * A.normal(normal(2, 1, *SPATIAL, seed=1).to(dtype))
    return Inclusion(H=H, A=A, lam=weights, rhs=rhs, monotonicity=0.02)


def zeros(equation):
    return torch.zeros_like(equation.rhs)


@pytest.mark.parametrize("memory", [0, 5])
def test_single_precision_asked_for_too_much_stops_soon_and_says_so(memory):
    solver = ForwardBackward(tol=1e-9, max_iterations=2000, memory=memory)
    single, double = (inclusion(dtype) for dtype in (torch.complex64, torch.complex128))
    exact = solver(double, zeros(double))
    assert exact.converged
    solution = solver(single, zeros(single))
    assert solution.status == (Status.STAGNATED,) * 2
    # As far as it can come: at the rounding of the image and of what it is made of.
    assert (solution.relative_residual < 1e-5).all()
    error = norm(solution.value - exact.value) / norm(exact.value)
    assert (error <= solution.error_bound).all()
    # It took no more iterations beyond those it needed than it waits for, and a few records.
    needed = ForwardBackward(tol=2 * float(solution.error_bound.max()), memory=memory)
    waited = patience(0.98, accelerated=memory > 0)
    ready = needed(single, zeros(single)).iterations.max()
    assert (solution.iterations <= ready + 4 * waited).all()
    with pytest.raises(ConvergenceError, match=r"'stagnated' after \d+ iterations.*Rounding, or"):
        solution.raise_unless_converged()


@pytest.fixture
def patient(monkeypatch):
    """Solve as if there were no end to patience."""

    def solve(solver, equation, start):
        with monkeypatch.context() as context:
            context.setattr(fixed_point, "patience", lambda *_, **__: math.inf)
            return solver(equation, start)

    return solve


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
@pytest.mark.parametrize("pixels", [1, 48])
@pytest.mark.parametrize("alpha", [1.0, 0.1, 0.01])
def test_slow_contractions_go_on(dtype, pixels, alpha):
    """The published step and monotonicity: a residual loses a ten-thousandth every two steps.

    In single precision, and all the more of a single pixel, it changes by less than its rounding
    for hundreds of steps, which are shorter than what rounding may cause.
    """
    m, fall = 0.005, 0.85
    A = cartesian_mri((1, pixels), dtype=dtype)
    rhs = 1 + 0.1 * normal(1, 1, 1, pixels).to(dtype)
    zero = torch.zeros(1, dtype=rhs.real.dtype)
    equation = Inclusion(lambda x: (1 - m) * x, A, zero, rhs=rhs, monotonicity=m)
    start = 1.1 * rhs / m
    begun = ForwardBackward(alpha=alpha, memory=0, max_iterations=1)(equation, start)
    tol = fall * float(begun.relative_residual)
    steps = math.ceil(math.log(fall) / math.log1p(-alpha * m))
    solver = ForwardBackward(
        alpha=alpha, tol=tol, stopping="residual", memory=0, max_iterations=2 * steps
    )
    solution = solver(equation, start)
    assert solution.converged
    # In double precision the count is the theory's; the residual is relative to a shrinking image.
    assert 0.8 * steps <= solution.iterations.item() <= 1.2 * steps


@pytest.mark.parametrize("stopping", ["bound", "residual", "relative-change"])
@pytest.mark.parametrize("memory", [0, 5])
@pytest.mark.parametrize("tol", [1e-3, 1e-4, 1e-5])
def test_what_converges_is_not_touched(patient, stopping, memory, tol):
    equation = inclusion(torch.complex64)
    solver = ForwardBackward(tol=tol, stopping=stopping, memory=memory, max_iterations=2000)
    usual, unlimited = solver(equation, zeros(equation)), patient(solver, equation, zeros(equation))
    converged = [status is Status.CONVERGED for status in unlimited.status]
    assert [status is Status.CONVERGED for status in usual.status] == converged
    for sample in range(2):
        if converged[sample]:
            assert torch.equal(usual.value[sample], unlimited.value[sample])
            assert usual.iterations[sample] == unlimited.iterations[sample]


def test_samples_stagnate_by_themselves():
    """One sample whose network is noisy at the level of rounding, one that is only slow."""

    def network(x):
        noisy = 0.5 * x[:1] + 2e-6 * torch.cos(1e7 * x[:1].real)
        return torch.cat([noisy, 0.98 * x[1:]])

    equation = inclusion(torch.complex64, H=network, lam=(0.0, 0.0))
    equation = replace(equation, rhs=1 + 0.1 * normal(2, 1, *SPATIAL).to(torch.complex64))
    start = torch.full_like(equation.rhs, 3)
    solver = ForwardBackward(tol=4e-7, stopping="residual", memory=0, max_iterations=3000)
    solution = solver(equation, start)
    assert solution.status == (Status.STAGNATED, Status.CONVERGED)
    assert solution.iterations[0] < solution.iterations[1]
    assert solution.solved.tolist() == [False, True]
    # The one that had stopped stayed as it was, and the other one did what it does alone.
    alone = replace(equation, H=lambda x: 0.98 * x, lam=equation.lam[1:], rhs=equation.rhs[1:])
    single = solver(alone, start[1:])
    assert solution.iterations[1] == single.iterations[0]
    assert torch.allclose(solution.value[1], single.value[0], rtol=1e-6)
    assert torch.allclose(solution.value[0], 2 * equation.rhs[0], rtol=1e-4)


def test_the_linear_solver_corrects_the_image_and_never_returns_it_as_good_enough():
    """Its right-hand side vanishes with the residual, so a tolerance relative to it is safe."""
    equation = inclusion(torch.complex128)
    inner = ConjugateGradient(rtol=1e-1, relative_to="rhs")
    solver = ForwardBackward(tol=1e-8, inner=inner, max_iterations=2000)
    solution = solver(equation, zeros(equation))
    assert solution.converged
    exact = ForwardBackward(tol=1e-10, max_iterations=2000)(equation, zeros(equation)).value
    assert (norm(solution.value - exact) <= 2e-8 * norm(exact)).all()


def test_a_residual_that_stands_still_above_rounding_is_no_stagnation():
    """A network that is not monotone: more iterations might help, a looser tolerance would not."""
    equation = inclusion(torch.complex64, H=lambda x: 1j * x, lam=(0.0, 0.0))
    equation = replace(equation, rhs=torch.ones_like(equation.rhs))
    solution = ForwardBackward(memory=0)(equation, zeros(equation))
    assert solution.status == (Status.ITERATION_LIMIT,) * 2


def test_patience_grows_as_the_contraction_slows_down():
    assert patience(0.5, accelerated=False) == patience(0.0, accelerated=False) == 20
    for contraction_factor in (0.99, 1 - 5e-5):
        plain = patience(contraction_factor, accelerated=False)
        # So many steps lower the residual by a quarter; of accelerated ones, every second may.
        assert contraction_factor**plain <= 0.75 < contraction_factor ** (plain - 1)
        assert patience(contraction_factor, accelerated=True) == 2 * plain
    assert patience(1.0, accelerated=False) == math.inf
