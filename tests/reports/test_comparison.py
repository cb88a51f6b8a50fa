"""The facts of a comparison's results, as its report tells them."""

import pytest

from molrecon.reports.comparison import _fact


@pytest.mark.parametrize("bound", [1.2341e-3, 9.9951e-4, 0.5551])
def test_a_bound_is_not_told_smaller_than_it_is(bound):
    name, text = _fact("error_bound", bound)
    assert name == "Error bound"
    assert bound <= float(text) <= 1.01 * bound


def test_other_facts():
    assert [_fact("x", value)[1] for value in (True, None, 3, "converged")] == [
        *("yes", "none", "3", "converged")
    ]
