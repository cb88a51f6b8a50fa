import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from molrecon.lipschitz.barrier import log_barrier

settings_of_the_barrier = st.tuples(st.floats(0.1, 0.99), st.floats(1e-4, 0.05))


def value_and_slope(x, threshold, margin):
    value = torch.tensor([x], dtype=torch.float64, requires_grad=True)
    barrier = log_barrier(value, threshold, margin)
    (slope,) = torch.autograd.grad(barrier.sum(), value)
    return barrier.item(), slope.item()


@settings(deadline=None, max_examples=50)
@given(settings_of_the_barrier, st.floats(0, 3))
def test_values_and_slopes(arguments, x):
    threshold, margin = arguments
    value, slope = value_and_slope(x, threshold, margin)
    knee = threshold - margin
    if x <= knee:
        assert value == pytest.approx(-math.log(threshold - x), rel=1e-6, abs=1e-9)
        assert slope == pytest.approx(1 / (threshold - x), rel=1e-6)
    else:
        assert value == pytest.approx(-math.log(margin) + (x - knee) / margin)
        assert slope == pytest.approx(1 / margin)


@settings(deadline=None, max_examples=50)
@given(settings_of_the_barrier)
def test_continuous_with_a_continuous_slope(arguments):
    threshold, margin = arguments
    knee = threshold - margin
    step = 1e-9 * margin
    below, above = (value_and_slope(knee + s, threshold, margin) for s in (-step, step))
    assert below[0] == pytest.approx(above[0], rel=1e-6)
    assert below[1] == pytest.approx(above[1], rel=1e-6)


def test_published_setting():
    values = torch.tensor([0.5, 0.979, 1.5], dtype=torch.float64)
    expected = [-math.log(0.48), -math.log(1e-3), -math.log(1e-3) + 521]
    assert log_barrier(values, 0.98, 1e-3).tolist() == pytest.approx(expected, rel=1e-9)


def test_infinite_or_missing_values_do_not_pass_unseen():
    assert log_barrier(torch.tensor([math.inf]), 0.98).item() == math.inf
    assert math.isnan(log_barrier(torch.tensor([math.nan]), 0.98).item())
