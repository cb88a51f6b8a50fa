"""Solves that must not succeed say so, and say why."""

import math
from dataclasses import replace

import pytest
import torch

from molrecon.equilibrium.fixed_point import Iteration, Limits, Step, iterate
from molrecon.equilibrium.forward_backward import ForwardBackward
from molrecon.equilibrium.implicit import Equilibrium
from molrecon.equilibrium.inclusion import Inclusion
from molrecon.errors import ConvergenceError, InputError
from molrecon.linear.status import Status
from molrecon.operators.base import norm

from ..support import cartesian_mri, contractive_cnn, normal


def inclusion(H, lam=0.0, batch=1):
    A = cartesian_mri((4, 3))
    return Inclusion(
        H=H,
        A=A,
        lam=torch.full((batch,), lam, dtype=torch.float64),
        rhs=normal(batch, 1, 4, 3, seed=1),
        monotonicity=0.1,
    )


def zeros(batch=1):
    return torch.zeros(batch, 1, 4, 3, dtype=torch.complex128)


def growing(x):
    """Grows without bound and has no fixed point: the real part of x − H(x) is negative."""
    return x + 1 + x.abs() ** 2


@pytest.mark.parametrize("memory", [0, 5])
@pytest.mark.parametrize("H", [growing, lambda x: x + 1], ids=["growing", "shifting"])
def test_an_equation_without_a_solution_does_not_converge(H, memory):
    equation = replace(inclusion(H), rhs=zeros())
    solution = ForwardBackward(memory=memory)(equation, zeros())
    assert not solution.converged
    assert solution.status[0] in (Status.DIVERGED, Status.ITERATION_LIMIT, Status.NON_FINITE)
    assert torch.isfinite(torch.view_as_real(solution.value)).all()


def test_plain_iteration_of_an_expansion_diverges():
    solution = ForwardBackward(memory=0)(inclusion(lambda x: 3 * x), zeros())
    assert solution.status == (Status.DIVERGED,)
    # Stopped soon after the residual had grown a thousandfold: 3⁷ > 1000.
    assert solution.iterations.item() <= 9


def test_failure_raises_by_default_and_not_on_request():
    solver = ForwardBackward(memory=0)
    equation = inclusion(lambda x: 3 * x)
    with pytest.raises(ConvergenceError, match=r"forward solve of sample 0 .*'diverged' after \d+"):
        Equilibrium(forward=solver)(equation, zeros())
    quiet = Equilibrium(forward=solver, raise_on_failure=False)(equation, zeros())
    assert quiet.status == (Status.DIVERGED,)


def test_weights_that_are_not_numbers():
    network = contractive_cnn(0.9, noise_conditioned=False)
    network.convolutions[0].weight.data[0, 0, 1, 1] = math.nan
    equation = inclusion(network, lam=1.0)
    start = normal(1, 1, 4, 3)
    solution = ForwardBackward()(equation, start)
    assert solution.status == (Status.NON_FINITE,)
    assert solution.iterations.item() == 1
    assert torch.equal(solution.value, start)
    assert solution.error_bound.item() == math.inf
    with pytest.raises(ConvergenceError, match="NaN or infinity appeared"):
        Equilibrium()(equation, start)


def test_iteration_limit():
    equation = inclusion(lambda x: 0.9 * x)
    solver = ForwardBackward(memory=0, max_iterations=5, tol=1e-6)
    solution = solver(equation, zeros())
    assert solution.status == (Status.ITERATION_LIMIT,)
    assert solution.iterations.item() == 5
    # The error is 0.9⁵ of the solution, and the bound knows.
    assert solution.error_bound.item() == pytest.approx(0.9**5 / (1 - 0.9**5))
    with pytest.raises(ConvergenceError, match="allow more iterations"):
        solution.raise_unless_converged()


def test_a_sample_that_fails_leaves_the_others_alone():
    factors = torch.tensor([0.5, 3.0, math.nan, 0.8]).double().reshape(4, 1, 1, 1)
    equation = inclusion(lambda x: factors * x, lam=0.3, batch=4)
    solution = ForwardBackward(memory=0, tol=1e-6)(equation, zeros(4))
    expected = (Status.CONVERGED, Status.DIVERGED, Status.NON_FINITE, Status.CONVERGED)
    assert solution.status == expected
    for i in (0, 3):
        alone = inclusion(lambda x, f=factors[i : i + 1]: f * x, lam=0.3)
        alone = replace(alone, rhs=equation.rhs[i : i + 1])
        single = ForwardBackward(memory=0, tol=1e-6)(alone, zeros())
        assert torch.allclose(solution.value[i], single.value[0])
    with pytest.raises(ConvergenceError, match="of sample 1 ended"):
        solution.raise_unless_converged()


@pytest.mark.parametrize("edge", [10.05, 10.5])
def test_an_accelerated_step_into_nan_is_taken_back(edge):
    """The plain path approaches 10 from below; extrapolation of the kinked map leaps over it."""
    broken = 0

    def kinked(x):
        nonlocal broken
        inside = torch.where(x.real < 9, 0.97 * x, 6.03 + 0.3 * x)
        broken += bool((x.real > edge).any())
        return torch.where(x.real > edge, torch.full_like(x, complex(math.nan)), inside)

    equation = replace(inclusion(kinked), rhs=torch.ones(1, 1, 4, 3, dtype=torch.complex128))
    start = torch.linspace(-3, 3, 12, dtype=torch.float64).reshape(1, 1, 4, 3).to(torch.complex128)
    solution = ForwardBackward(memory=5, tol=1e-6, max_iterations=500)(equation, start)
    assert broken > 0
    assert solution.converged
    # x = 6.03 + 0.3 x + 1
    assert torch.allclose(solution.value, torch.full_like(start, 7.03 / 0.7), rtol=1e-4)


class Poor(Step):
    """A contraction to zero whose linear solves are a thousand times worse in every fourth step."""

    contraction = 0.5

    def __call__(self, x, *, last=False):
        self.network_evaluations += 1
        size = norm(x)
        error = size * (1e4 if self.network_evaluations % 4 == 0 else 1e-3)
        return Iteration(x / 2, -x / 2, error, size)


@pytest.mark.parametrize("contracts", [True, False])
def test_what_is_proved_to_contract_is_never_called_diverged(contracts):
    """A residual that grows is then that of a linear solve, and the next one may be better."""
    limits = Limits(1e-2, "bound", 40, 0, contracts)
    solution = iterate(Poor(), normal(1, 1, 4, 3), limits)
    # The bound of x/2 is (error + ‖x/2‖ + error) / ‖x/2‖, about 1 whatever x is.
    assert solution.status[0] is (Status.ITERATION_LIMIT if contracts else Status.DIVERGED)
    assert solution.error_bound.item() == pytest.approx(1.004)


def test_settings_under_which_nothing_contracts_are_refused():
    for m, shift in ((0.0, 0.0), (-0.1, 0.2), (1.5, 0.0), (math.nan, 0.0), (0.1, -0.05)):
        with pytest.raises(InputError, match=r"monotonicity is .* and shift"):
            replace(inclusion(lambda x: x), monotonicity=m, shift=shift)


def test_limits_of_time_and_of_iterations_are_told_apart():
    """One step is taken in either case, with the same image and bound."""
    equation = inclusion(lambda x: 0.5 * x, lam=2.0)
    capped = ForwardBackward(tol=1e-12, max_iterations=1)(equation, zeros())
    late = ForwardBackward(tol=1e-12, seconds=1e-9)(equation, zeros())
    assert (capped.status, late.status) == ((Status.ITERATION_LIMIT,), (Status.TIME_LIMIT,))
    assert torch.equal(capped.value, late.value)
    assert torch.equal(capped.error_bound, late.error_bound)
    with pytest.raises(ConvergenceError, match=r"'time limit' after 1 iterations.* more time"):
        late.raise_unless_converged()
    patient = ForwardBackward(tol=1e-6, seconds=1e6)(equation, zeros())
    assert patient.converged
