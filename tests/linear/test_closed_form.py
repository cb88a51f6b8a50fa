import math

import pytest
import torch

from molrecon.errors import InputError
from molrecon.linear.conjugate_gradient import ConjugateGradient
from molrecon.linear.regularised import solve_regularised
from molrecon.linear.solver import LinearSolver
from molrecon.linear.status import Status
from molrecon.operators.base import norm
from molrecon.operators.blur import Blur
from molrecon.operators.inpainting import Inpainting
from molrecon.operators.kernels import box_kernel, gaussian_kernel
from molrecon.operators.super_resolution import SuperResolution

from ..support import Dense, normal, solve_shifted, with_singular_values

REAL = torch.float64
SHAPE = (1, 6, 6)
MASK = torch.arange(36).reshape(1, 1, 6, 6) % 3 > 0
OPERATORS = {
    "inpainting": Inpainting(MASK, dtype=REAL),
    "blur": Blur(gaussian_kernel(0.7, size=5, dtype=REAL), SHAPE),
    "super-resolution": SuperResolution(SHAPE, 2, gaussian_kernel(0.7, size=4, dtype=REAL)),
}
NEVER = LinearSolver(rtol=0.0, max_iterations=1)


def image(seed=0, batch=2):
    return normal(batch, *SHAPE, dtype=REAL, seed=seed)


@pytest.fixture(params=OPERATORS)
def operator(request):
    return OPERATORS[request.param]


def test_solves_at_once_whatever_the_other_solver(operator):
    c, r = torch.tensor([2.0, 500.0], dtype=REAL), image()
    solution = NEVER(operator, c, r)
    assert torch.allclose(solution.value, solve_shifted(operator, c, r), rtol=1e-10, atol=1e-12)
    assert solution.status == (Status.CONVERGED,) * 2
    assert solution.iterations.tolist() == [1, 1]
    assert solution.normal_evaluations == 1
    assert torch.allclose(solution.initial_residual, norm(r))


def test_residual_is_that_of_the_value(operator):
    single = operator.to(dtype=torch.float32)
    r = image().float()
    solution = LinearSolver()(single, 30.0, r)
    explicit = norm(r - solution.value - 30.0 * single.normal(solution.value))
    assert torch.allclose(solution.residual, explicit, atol=1e-4)
    precise, value = single.to(dtype=REAL), solution.value.double()
    explicit = norm(r - value - 30.0 * precise.normal(value))
    assert torch.allclose(solution.residual.double(), explicit, rtol=1e-5)


@pytest.mark.parametrize("weight", [1.0, 80.0, 1e3, 1e5])
def test_the_error_is_bounded_in_the_image_where_a_residual_says_little(operator, weight):
    single = operator.to(dtype=torch.float32)
    x = image().float()
    r = x + weight * single.normal(x)
    solution = LinearSolver()(single, weight, r)
    error = norm(solution.value - solve_shifted(single.to(dtype=REAL), weight, r.double()))
    assert bool((error <= solution.error).all())


def test_the_error_does_not_count_what_the_inverse_shrinks():
    """Rounding of the large data term lies in its range, which the inverse shrinks most."""
    A = SuperResolution((1, 192, 192), 3)
    x = normal(1, 1, 192, 192, dtype=torch.float32).cumsum(-1).cumsum(-2)
    solution = LinearSolver()(A, 100.0, x + 100.0 * A.normal(x))
    assert 3 * solution.error < solution.residual


def test_a_start_is_not_needed(operator):
    r = image()
    cold, warm = LinearSolver()(operator, 5.0, r), LinearSolver()(operator, 5.0, r, image(3))
    assert torch.equal(cold.value, warm.value)


@pytest.mark.parametrize("start", [None, normal(2, 1, 7)], ids=["cold", "warm"])
def test_without_a_closed_form_the_other_solver_solves(start):
    operator, r = with_singular_values([1.0, 0.5, 0.2], columns=7), normal(2, 1, 7, seed=1)
    other = ConjugateGradient(rtol=1e-9)
    expected, found = (
        other(operator, 9.0, r, start),
        LinearSolver(rtol=1e-9)(operator, 9.0, r, start),
    )
    assert torch.equal(found.value, expected.value)
    assert found.normal_evaluations == expected.normal_evaluations


@pytest.mark.parametrize("weight", [1e2, 1e4, 1e5])
def test_single_precision_is_refined_to_the_rounding_of_the_terms(weight):
    """Woodbury subtracts nearly equal images here; one correction recovers what that cost."""
    A = SuperResolution((1, 32, 32), 4, box_kernel(4))
    x = normal(1, 1, 32, 32, dtype=torch.float32).cumsum(-1)
    r = x + weight * A.normal(x)
    c = torch.tensor([weight])
    once = A.resolvent(c, r)
    solution = NEVER(A, c, r)
    assert solution.status == (Status.CONVERGED,)
    assert solution.iterations.item() <= 3
    eps = torch.finfo(torch.float32).eps
    assert solution.residual.item() < 32 * eps * norm(r).item()
    precise = A.to(dtype=REAL)
    exact = precise.resolvent(c.double(), r.double())
    error, before = norm(solution.value - exact), norm(once - exact)
    assert error <= before * (1 + 1e-6)
    assert error <= weight * eps * norm(exact)


def test_samples_are_refined_by_themselves():
    A = SuperResolution((1, 32, 32), 4, box_kernel(4))
    x = normal(2, 1, 32, 32, dtype=torch.float32).cumsum(-1)
    c = torch.tensor([1.0, 1e4])
    r = x + c.reshape(-1, 1, 1, 1) * A.normal(x)
    together = LinearSolver()(A, c, r)
    assert together.iterations[0] == 1 < together.iterations[1]
    for i in range(2):
        alone = LinearSolver()(A, c[i], r[i : i + 1])
        assert together.iterations[i] == alone.iterations[0]
        rounding = c[i] * torch.finfo(torch.float32).eps * norm(alone.value)
        assert norm(together.value[i : i + 1] - alone.value) <= rounding


class Approximate(Dense):
    """A matrix whose ‘closed form’ is off by a factor."""

    factor = 1.0

    def resolvent(self, c, r):
        return self.factor * solve_shifted(self, c, r)


@pytest.mark.parametrize("factor", [1 + 1e-4, 0.7, 3.0, -1.0])
def test_a_wrong_closed_form_is_noticed_and_only_costs_time(factor):
    operator, r = Approximate(normal(1, 4, 6)), normal(2, 1, 6, seed=2)
    operator.factor = factor
    solution = LinearSolver(rtol=1e-11)(operator, 4.0, r)
    assert solution.status == (Status.CONVERGED,) * 2
    assert torch.allclose(solution.value, solve_shifted(operator, 4.0, r), rtol=1e-8)
    stuck = NEVER(operator, 4.0, r)
    assert Status.CONVERGED not in stuck.status
    explicit = norm(r - stuck.value - 4.0 * operator.normal(stuck.value))
    assert torch.allclose(stuck.residual, explicit)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_one_bad_sample_does_not_spoil_the_batch(operator, bad):
    r = image()
    good = LinearSolver()(operator, 10.0, r[:1])
    r[1, 0, 2, 2] = bad
    both = LinearSolver()(operator, 10.0, r)
    assert both.status == (Status.CONVERGED, Status.NON_FINITE)
    assert torch.allclose(both.value[0], good.value[0], rtol=1e-12)


def test_zero_is_solved_by_zero(operator):
    solution = LinearSolver()(operator, 10.0, torch.zeros(1, *SHAPE, dtype=REAL))
    assert solution.value.abs().max() == 0
    assert solution.status == (Status.CONVERGED,)


@pytest.mark.parametrize("c", [-1.0, math.nan, [1.0, -2.0]])
def test_weights_out_of_range_are_refused(operator, c):
    with pytest.raises(InputError, match="finite values of at least 0"):
        LinearSolver()(operator, torch.tensor(c), image())


def test_gradients_equal_finite_differences(operator):
    r = image().requires_grad_()
    c = torch.tensor([0.7, 30.0], dtype=REAL, requires_grad=True)
    solver = NEVER
    assert torch.autograd.gradcheck(
        lambda r, c: solve_regularised(operator, c, r, solver=solver), (r, c)
    )


def test_implicit_gradients_equal_those_of_the_closed_form(operator):
    gradients = []
    for solve in (solve_regularised, lambda A, c, r: A.resolvent(c, r)):
        r = image().requires_grad_()
        c = torch.tensor([0.7, 30.0], dtype=REAL, requires_grad=True)
        (solve(operator, c, r) * image(4)).sum().backward()
        gradients.append((r.grad, c.grad))
    for implicit, explicit in zip(*gradients, strict=True):
        assert torch.allclose(implicit, explicit, rtol=1e-9, atol=1e-12)
