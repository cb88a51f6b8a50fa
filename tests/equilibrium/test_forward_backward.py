"""The iteration, on inclusions whose solution is known from a dense solve."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from molrecon.equilibrium.forward_backward import ForwardBackward
from molrecon.equilibrium.inclusion import Inclusion
from molrecon.errors import InputError
from molrecon.linear.conjugate_gradient import ConjugateGradient
from molrecon.linear.status import Status
from molrecon.operators.base import norm, per_sample

from ..support import cartesian_mri, contraction, normal, solve_real_linear

EXACT = ConjugateGradient(rtol=1e-13, relative_to="start")
SPATIAL = (4, 3)


def affine_inclusion(*, m=0.3, lam=(0.5, 20.0), shift=0.0, seed=0):
    """Affine H of norm 1 − m; masks, maps and λ per sample. Returns the solution, too."""
    A = cartesian_mri(SPATIAL, maps_batch=2, mask_batch=2, seed=seed)
    linear, offset = contraction(12, 1 - m, seed=seed), normal(1, 1, *SPATIAL, seed=seed + 1)
    weights = torch.tensor(lam, dtype=torch.float64)
    rhs = per_sample(weights, offset) * A.H(A(normal(2, 1, *SPATIAL, seed=seed + 2)))
    inclusion = Inclusion(
        H=lambda x: linear(x) + offset, A=A, lam=weights, rhs=rhs, monotonicity=m, shift=shift
    )
    homogeneous = replace(inclusion, H=linear, rhs=torch.zeros_like(rhs))
    return inclusion, solve_real_linear(homogeneous.residual, rhs + offset)


def start(seed=7):
    return normal(2, 1, *SPATIAL, seed=seed)


@settings(deadline=None, max_examples=25)
@given(
    alpha=st.floats(0.1, 1.0),
    m=st.floats(0.1, 0.9),
    lam=st.tuples(st.floats(0, 100), st.floats(0, 100)),
    memory=st.integers(0, 6),
    shift=st.sampled_from([0.0, 0.1, 2.0]),
    seed=st.integers(0, 999),
)
def test_finds_the_dense_solution(alpha, m, lam, memory, shift, seed):
    inclusion, exact = affine_inclusion(m=m, lam=lam, shift=shift, seed=seed)
    solver = ForwardBackward(alpha=alpha, tol=1e-9, memory=memory, max_iterations=9000)
    solution = solver(inclusion, torch.zeros_like(exact))
    assert solution.converged
    assert (norm(solution.value - exact) <= 1e-9 * norm(exact) * (1 + 1e-3)).all()


def test_step_start_and_memory_change_the_work_and_not_the_answer():
    inclusion, exact = affine_inclusion(m=0.1)
    evaluations = set()
    for alpha, memory, seed in ((1.0, 0, 1), (1.0, 5, 2), (0.4, 0, 3), (0.4, 3, 4), (0.05, 8, 5)):
        solver = ForwardBackward(alpha=alpha, tol=1e-10, memory=memory, max_iterations=5000)
        solution = solver(inclusion, 10 * start(seed))
        assert torch.allclose(solution.value, exact, rtol=1e-8, atol=1e-8)
        evaluations.add(solution.network_evaluations)
    assert len(evaluations) == 5


@pytest.mark.parametrize(("alpha", "shift"), [(1.0, 0.0), (0.3, 0.0), (0.5, 0.4)])
def test_plain_iteration_contracts_as_proved(alpha, shift):
    m = 0.2
    inclusion, exact = affine_inclusion(m=m, shift=shift)
    distances = [norm(start() - exact)]
    for count in range(1, 9):
        solver = ForwardBackward(
            alpha=alpha, tol=1e-15, memory=0, max_iterations=count, inner=EXACT
        )
        distances.append(norm(solver(inclusion, start()).value - exact))
    rates = torch.stack(distances[1:]) / torch.stack(distances[:-1])
    assert (rates <= (1 - alpha * m) / (1 + alpha * shift) + 1e-9).all()


def test_one_iteration_is_the_formula():
    inclusion, _ = affine_inclusion(shift=0.1)
    alpha, x = 0.01, start()
    solver = ForwardBackward(alpha=alpha, memory=0, max_iterations=1, inner=EXACT)
    right = (1 - alpha) * x + alpha * (inclusion.H(x) + inclusion.rhs)
    data = per_sample(alpha * inclusion.lam, x)
    # The published matrix: αλAᴴA + 1.001·I.
    expected = solve_real_linear(lambda z: 1.001 * z + data * inclusion.A.normal(z), right)
    assert torch.allclose(solver(inclusion, x).value, expected, rtol=1e-10)


def test_acceleration_saves_applications():
    inclusion, _ = affine_inclusion(m=0.02, lam=(0.1, 1.0))
    factors = torch.linspace(0.5, 0.98, 12).double().reshape(1, 1, *SPATIAL)
    inclusion = replace(inclusion, H=lambda x: factors * x)
    plain, accelerated = (
        ForwardBackward(tol=1e-6, memory=memory, max_iterations=5000)(inclusion, start())
        for memory in (0, 5)
    )
    assert plain.converged
    assert accelerated.converged
    assert accelerated.network_evaluations < 0.5 * plain.network_evaluations


def test_an_iteration_in_one_batch_equals_those_of_its_samples():
    inclusion, _ = affine_inclusion(lam=(0.05, 60.0))
    A, solver = inclusion.A, ForwardBackward(tol=1e-6)
    together = solver(inclusion, start())
    assert together.iterations[0] != together.iterations[1]
    for i in (0, 1):
        part = slice(i, i + 1)
        single = replace(
            inclusion,
            A=type(A)(A.coil_maps[part], A.mask[part]),
            lam=inclusion.lam[part],
            rhs=inclusion.rhs[part],
        )
        alone = solver(single, start()[part])
        assert torch.allclose(together.value[part], alone.value, rtol=1e-9)
        assert together.iterations[i] == alone.iterations[0]
        assert together.error_bound[i].item() == pytest.approx(alone.error_bound.item(), rel=1e-6)
        assert together.status[i] is alone.status[0] is Status.CONVERGED


def test_applications_are_counted():
    inclusion, _ = affine_inclusion()
    seen = []

    def counted(x):
        seen.append(x)
        return inclusion.H(x)

    solution = ForwardBackward(tol=1e-6)(replace(inclusion, H=counted), start())
    # Each sample is confirmed with its rounding when it is done, by one evaluation more; the step
    # that is expected to be the last has it in common with that.
    assert len(seen) == solution.network_evaluations
    assert solution.iterations.max() + 1 <= len(seen) <= solution.iterations.max() + 2
    assert solution.normal_evaluations > solution.network_evaluations


@pytest.mark.parametrize("stopping", ["bound", "residual", "relative-change"])
def test_stops_at_its_tolerance(stopping):
    inclusion, exact = affine_inclusion()
    found = []
    for tol in (1e-2, 1e-5):
        solution = ForwardBackward(tol=tol, stopping=stopping, memory=0)(inclusion, start())
        assert solution.converged
        assert (solution.relative_residual <= tol * 1.01).all()
        if stopping == "bound":
            assert (solution.error_bound <= tol).all()
        found.append((norm(solution.value - exact) / norm(exact)).max().item())
    assert found[1] < 0.01 * found[0]


def test_relative_change_stops_far_from_the_solution_when_the_step_is_small():
    inclusion, exact = affine_inclusion(m=0.05)
    solver = ForwardBackward(
        alpha=0.01, tol=1e-3, stopping="relative-change", memory=0, max_iterations=2000
    )
    solution = solver(inclusion, torch.zeros_like(exact))
    error = norm(solution.value - exact) / norm(solution.value)
    assert solution.converged
    assert error.max() > 10 * solver.tol
    assert (solution.error_bound >= error).all()


def test_zero_is_the_solution_of_the_homogeneous_equation():
    inclusion, _ = affine_inclusion()
    homogeneous = replace(inclusion, H=contraction(12, 0.7), rhs=torch.zeros_like(inclusion.rhs))
    solution = ForwardBackward()(homogeneous, torch.zeros_like(inclusion.rhs))
    assert solution.status == (Status.CONVERGED,) * 2
    assert solution.iterations.tolist() == [1, 1]
    assert solution.value.abs().max() == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"alpha": 0.0}, "alpha is 0.0"),
        ({"alpha": 1.2}, "alpha is 1.2"),
        ({"tol": 0.0}, "tol is 0, expected a positive number"),
        ({"tol": 2.0}, "tol is 2, expected a positive number of at most 1"),
        ({"tol": float("nan")}, "tol is nan"),
        ({"max_iterations": 0}, "max_iterations is 0"),
        ({"memory": -1}, "memory -1"),
        ({"stopping": "soon"}, "stopping is 'soon', expected one of bound, residual"),
    ],
)
def test_settings_out_of_range_are_refused(arguments, sentence):
    with pytest.raises(InputError, match=sentence):
        ForwardBackward(**arguments)


def test_the_trace_bounds_the_distance_at_every_iteration():
    inclusion, exact = affine_inclusion(m=0.3)
    longest = ForwardBackward(tol=1e-9, inner=EXACT)(inclusion, start())
    residuals, bounds = longest.trace
    assert residuals.shape == bounds.shape == (int(longest.iterations.max()), 2)
    for count in range(1, 6):
        solver = ForwardBackward(tol=1e-9, inner=EXACT, max_iterations=count)
        found = solver(inclusion, start())
        assert torch.equal(found.trace, longest.trace[:, :count])
        distance = norm(found.value - exact) / norm(found.value)
        assert bool((distance <= bounds[:count].amin(0) * (1 + 1e-9)).all())
        assert bool((found.relative_residual == residuals[:count].amin(0)).all())
