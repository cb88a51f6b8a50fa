import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from molrecon.data.contrast import STEEPEST, random_bias_field, random_contrast
from molrecon.data.randomness import make_generator
from molrecon.data.slices import peak_value

RAMP = torch.linspace(0, 1, 1001)


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000), monotone=st.booleans())
def test_air_stays_dark_values_stay_in_range_and_the_curve_is_continuous(seed, monotone):
    bent = random_contrast(RAMP, make_generator(seed), monotone=monotone)
    assert bent[0] == 0
    assert bent.min() >= 0
    assert abs(peak_value(bent) - 1) < 1e-5
    # Before its peak became 1 the curve rose by at most STEEPEST times the step.
    unscaled = STEEPEST * 1e-3 * bent.max() / min(1.0, float(bent.max()))
    assert bent.diff().abs().max() < 40 * unscaled


@settings(max_examples=20)
@given(seed=st.integers(0, 10_000))
def test_a_monotone_curve_keeps_the_order_of_tissues(seed):
    bent = random_contrast(RAMP, make_generator(seed), monotone=True)
    assert bent.diff().min() >= -1e-6


def test_some_curves_that_may_do_all_turn_the_order_round():
    bent = [random_contrast(RAMP, make_generator(seed), monotone=False) for seed in range(20)]
    assert sum(bool((curve.diff() < -1e-4).any()) for curve in bent) > 10


def test_bias_field_is_smooth_and_never_brightens():
    image = torch.ones(48, 40)
    for seed in range(10):
        shaded = random_bias_field(image, make_generator(seed))
        assert 0 < shaded.min() <= shaded.max() <= 1 + 1e-6
        assert shaded.log().diff(dim=0).abs().max() < 0.25
