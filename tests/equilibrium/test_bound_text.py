"""Bounds as they are told."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from molrecon.equilibrium.bound_text import bound_text


@given(st.floats(1e-12, 1e12), st.integers(2, 6))
def test_what_is_told_is_a_bound_and_close(bound, digits):
    told = float(bound_text(bound, digits))
    assert bound * (1 - 1e-11) <= told <= bound * (1 + 10.0 ** (1 - digits))


@pytest.mark.parametrize(
    ("bound", "text"),
    [(0.98, "0.98"), (0.1, "0.1"), (3.0, "3"), (13.01, "13.1"), (math.inf, "inf")],
)
def test_what_is_exact_stays(bound, text):
    assert bound_text(bound) == text
