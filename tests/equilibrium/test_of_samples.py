"""Samples that are solved leave the batch: what it costs, and that nothing changes for others."""

from dataclasses import replace

import pytest
import torch

from molrecon.equilibrium.explicit import ExplicitEquation, left_side
from molrecon.equilibrium.fixed_point import Equation
from molrecon.equilibrium.forward_backward import ForwardBackward
from molrecon.equilibrium.inclusion import Inclusion
from molrecon.equilibrium.of_samples import OfSamples, TransposedJacobian
from molrecon.linear.conjugate_gradient import ConjugateGradient
from molrecon.linear.status import Status
from molrecon.operators.base import norm, per_sample

from ..support import cartesian_mri, normal

EXACT = ConjugateGradient(rtol=1e-13, relative_to="start")
GAINS = torch.tensor([0.1, 0.9, 0.5, 0.7], dtype=torch.float64)
COUNT = len(GAINS)
START = torch.zeros(COUNT, 1, 4, 3, dtype=torch.complex128)


def network(gains, applied):
    """Return ``gain · tanh(x) + 1`` of real and imaginary part, which notes its batches."""

    def apply(x):
        applied.append(len(x))
        bounded = torch.complex(x.real.tanh(), x.imag.tanh())
        return per_sample(gains, x) * bounded + 1

    return OfSamples(apply, lambda samples: network(gains[samples], applied))


def inclusion(applied=None, which=slice(None)):
    A = cartesian_mri((4, 3), maps_batch=COUNT, mask_batch=COUNT)
    A = A.for_samples(torch.arange(COUNT)[which])
    y = A(normal(COUNT, 1, 4, 3, seed=3)[which])
    lam = torch.tensor([0.1, 2.0, 9.0, 30.0], dtype=torch.float64)[which]
    H = network(GAINS[which], [] if applied is None else applied)
    return Inclusion(H, A, lam, y, monotonicity=0.1)


def explicit(applied=None, which=slice(None)):
    one = inclusion(applied, which)
    rhs = one.A.H(one.y)
    left = left_side(one.A, torch.ones_like(one.lam), torch.ones_like(one.lam), one.H)
    return ExplicitEquation(left, rhs, length=0.5, monotonicity=0.1, lam=one.lam)


@pytest.mark.parametrize("equation", [inclusion, explicit])
@pytest.mark.parametrize(("memory", "stopping"), [(0, "residual"), (3, "residual"), (3, "bound")])
def test_no_image_is_worked_on_once_it_is_solved(equation, memory, stopping):
    applied = []
    solver = ForwardBackward(
        tol=1e-8, memory=memory, stopping=stopping, inner=EXACT, max_iterations=2000
    )
    together = solver(equation(applied), START)
    assert together.converged
    assert len(set(together.iterations.tolist())) >= COUNT - 1
    if stopping == "residual":  # a bound may take one more, in double precision
        assert sum(applied) == together.iterations.sum()
        assert together.network_evaluations == len(applied) == together.iterations.max()
    for n in range(COUNT):
        alone = solver(equation(which=slice(n, n + 1)), START[:1])
        assert torch.equal(alone.iterations, together.iterations[n : n + 1])
        assert torch.allclose(alone.value[0], together.value[n], rtol=1e-11, atol=1e-11)
        assert torch.allclose(alone.error_bound, together.error_bound[n : n + 1], rtol=1e-3)
        own = together.trace[:, : int(alone.iterations), n]
        assert torch.allclose(own, alone.trace[:, :, 0], rtol=1e-3, atol=1e-12)


def test_samples_that_fail_leave_with_their_status_and_spare_the_others():
    applied = []
    one = inclusion(applied)
    broken = one.y.clone()
    broken[2] = torch.nan
    solver = ForwardBackward(tol=1e-8, stopping="residual", inner=EXACT)
    found = solver(replace(one, y=broken), START)
    assert found.status[2] is Status.NON_FINITE
    whole = solver(inclusion(), START)
    for n in (0, 1, 3):
        assert found.status[n] is Status.CONVERGED
        assert torch.allclose(found.value[n], whole.value[n], rtol=1e-11, atol=1e-11)
    assert sum(applied) == found.iterations.sum()


@pytest.mark.parametrize("equation", [inclusion, explicit])
def test_adjoint_solves_leave_too_and_end_where_they_would(equation):
    applied, point, g = [], normal(COUNT, 1, 4, 3, seed=5), normal(COUNT, 1, 4, 3, seed=6)
    solver = ForwardBackward(tol=1e-10, stopping="residual", inner=EXACT, max_iterations=2000)
    whole: Equation = equation(applied)
    adjoint = whole.adjoint(point, g)
    together = solver(adjoint, START)
    assert together.converged
    # One application for the batch at first, and one for the rest whenever a sample leaves.
    assert applied[0] == COUNT
    assert sum(applied) < COUNT + together.iterations.sum()
    for n in range(COUNT):
        alone = solver(
            equation(which=slice(n, n + 1)).adjoint(point[n : n + 1], g[n : n + 1]), START[:1]
        )
        assert torch.allclose(alone.value[0], together.value[n], rtol=1e-8, atol=1e-8)
    # What was let go before is there again if it is asked for.
    again = solver(adjoint, START)
    assert torch.equal(again.value, together.value)


def test_the_transposed_jacobian_of_some_samples():
    x, w = normal(COUNT, 1, 4, 3, seed=1), normal(COUNT, 1, 4, 3, seed=2)
    H = network(GAINS, [])
    whole, samples = TransposedJacobian(H, x), torch.tensor([3, 1])
    part = whole.for_samples(samples)
    assert torch.allclose(part(w[samples]), whole(w)[samples])
    assert TransposedJacobian(lambda z: 2 * z, x).for_samples(samples) is None


def test_a_network_that_is_known_for_the_batch_alone_goes_on_with_all():
    applied = []
    known = inclusion(applied)
    together = ForwardBackward(tol=1e-8, stopping="residual", inner=EXACT)(
        replace(known, H=lambda x: known.H(x)), START
    )
    assert set(applied) == {COUNT}
    leaving = ForwardBackward(tol=1e-8, stopping="residual", inner=EXACT)(inclusion(), START)
    assert bool((norm(together.value - leaving.value) <= 1e-11 * norm(leaving.value)).all())
