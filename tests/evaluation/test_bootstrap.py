"""Confidence intervals of paired differences."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from molrecon.errors import InputError
from molrecon.evaluation.bootstrap import paired_interval


def coverage(rng: np.random.Generator, groups: int, per_group: int, spread: float) -> float:
    """Share of experiments whose interval holds the true difference, 0.7."""
    names = [f"g{g}" for g in range(groups) for _ in range(per_group)]
    held = 0
    for trial in range(200):
        shared = np.repeat(spread * rng.standard_normal(groups), per_group)
        values = 0.7 + shared + 0.3 * rng.standard_normal(groups * per_group)
        found = paired_interval(values.tolist(), names, resamples=400, seed=trial)
        held += found.low <= 0.7 <= found.high
    return held / 200


@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_covers_a_known_difference(spread):
    # Percentile intervals of few units are slightly short.
    assert 0.89 <= coverage(np.random.default_rng(0), 30, 3, spread) <= 0.99


def test_ignoring_the_groups_would_be_too_sure():
    rng = np.random.default_rng(1)
    shared = np.repeat(rng.standard_normal(20), 5)
    values = (0.1 * rng.standard_normal(100) + shared).tolist()
    whole = paired_interval(values, [f"g{n // 5}" for n in range(100)])
    single = paired_interval(values, [f"g{n}" for n in range(100)])
    assert whole.units == 20
    assert whole.high - whole.low > 1.7 * (single.high - single.low)


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=12), st.randoms(), st.integers(1, 4))
@settings(max_examples=30)
def test_the_order_plays_no_part(values, random, count):
    groups = [f"scan {n % count}" for n in range(len(values))]
    pairs = list(zip(values, groups, strict=True))
    before = paired_interval(values, groups, resamples=200)
    random.shuffle(pairs)
    after = paired_interval(*map(list, zip(*pairs, strict=True)), resamples=200)
    assert str(before) == str(after)
    assert before.mean == pytest.approx(np.mean(values), abs=1e-12)


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=12), st.floats(-3, 3), st.floats(0.1, 10))
@settings(max_examples=30)
def test_shift_and_scale(values, shift, scale):
    groups = list(map(str, range(len(values))))
    plain = paired_interval(values, groups, resamples=200)
    moved = paired_interval([scale * v + shift for v in values], groups, resamples=200)
    for name in ("mean", "low", "high"):
        expected = scale * getattr(plain, name) + shift
        assert getattr(moved, name) == pytest.approx(expected, abs=1e-9)


def test_the_interval_is_that_of_the_exact_distribution():
    # Two images: the mean is one of them or their mean, with probabilities 1/4, 1/4 and 1/2.
    found = paired_interval([0.0, 1.0], ["a", "b"], resamples=20_000, confidence=0.9)
    assert (found.low, found.high) == (0.0, 1.0)
    found = paired_interval([0.0, 1.0], ["a", "b"], resamples=20_000, confidence=0.4)
    assert (found.low, found.high) == (0.5, 0.5)


def test_one_group_and_one_image():
    found = paired_interval([1.0, 2.0, 3.0], ["scan"] * 3)
    assert (found.unit, found.units, found.images) == ("image", 3, 3)
    assert found.low < 2 < found.high
    alone = paired_interval([1.0], ["scan"])
    assert alone.mean == 1
    assert math.isnan(alone.low)


def test_seeded():
    values, groups = np.random.default_rng(0).random(9).tolist(), list("abcdefghi")
    assert paired_interval(values, groups, seed=1) == paired_interval(values, groups, seed=1)
    assert paired_interval(values, groups, seed=1) != paired_interval(values, groups, seed=2)


def test_refusals():
    with pytest.raises(InputError, match="at least one"):
        paired_interval([], [])
    with pytest.raises(InputError, match="equal numbers"):
        paired_interval([1.0], ["a", "b"])
    with pytest.raises(InputError, match="not finite"):
        paired_interval([math.inf], ["a"])
