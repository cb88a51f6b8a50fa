"""The scale that every learned method computes in."""

import itertools

import pytest
import torch

from molrecon.operators.base import norm
from molrecon.reconstructors.start import START_RTOL, sense_start

from ..support import cartesian_mri, normal, solve_shifted


def scan(t: float):
    """Measurements that turn from those of one image into those of another."""
    A = cartesian_mri((10, 9), fraction=0.4)
    first, second = normal(2, 1, 10, 9), 3 * torch.ones(2, 1, 10, 9, dtype=torch.complex128)
    return A((1 - t) * first + t * second), A


def test_start_is_a_solution_to_its_tolerance_and_no_more():
    y, A = scan(0.3)
    start, _ = sense_start(y, A)
    exact = solve_shifted(A, 100.0, 100 * A.H(y))
    residual = norm(100 * A.H(y - A(start)) - start)
    assert (residual <= START_RTOL * norm(100 * A.H(y))).all()
    assert (norm(start - exact) <= residual).all()
    assert not torch.allclose(start, exact, rtol=1e-4)


def test_scale_does_not_jump_where_an_iteration_is_added():
    """The start does; bisected towards where either changes most."""

    def steepest(value):
        low, high, worst = 0.0, 1.0, 0.0
        while high - low > 1e-7:
            places = [low + (high - low) * i / 32 for i in range(33)]
            values = [value(sense_start(*scan(t))) for t in places]
            changes = [float((b - a).norm()) for a, b in itertools.pairwise(values)]
            index = changes.index(max(changes))
            worst = max(worst, changes[index] * 32 / (high - low))
            low, high = places[index], places[index + 1]
        return worst

    assert steepest(lambda result: result[0]) > 1e4
    assert steepest(lambda result: result[1]) < 30


@pytest.mark.parametrize("t", [0.0, 0.3, 1.0])
def test_derivative_of_start_and_scale(t):
    y, A = scan(t)
    for index in (0, 1):
        leaf = y.clone().requires_grad_()
        value = sense_start(y, A)[index]
        weights = normal(*value.shape, seed=3, dtype=value.dtype)
        (sense_start(leaf, A)[index].conj() * weights).real.sum().backward()
        direction = normal(*y.shape, seed=4) * A.mask
        ahead, behind = (sense_start(y + s * 1e-6 * direction, A)[index] for s in (1, -1))
        found = ((ahead - behind).conj() * weights).real.sum() / 2e-6
        assert found.item() == pytest.approx((leaf.grad.conj() * direction).real.sum().item(), 1e-5)
