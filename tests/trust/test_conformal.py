"""Conformal bands: their coverage where it is known, and where their premise fails."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from molrecon.errors import InputError
from molrecon.trust.conformal import ConformalBand, calibrate, local_scale, score


def errors_of(number, generator, size=64):
    """Errors whose size varies from scan to scan, correlated within a scan."""
    level = torch.rand(number, 1, generator=generator) + 0.2
    common = torch.randn(number, 1, generator=generator)
    return level * (torch.randn(number, size, generator=generator) + common)


def as_list(values):
    return [one.reshape(1, 1, 8, 8) for one in values]


@pytest.mark.parametrize(("scans", "number"), [(0.9, 19), (0.8, 9), (0.5, 4)])
def test_scans_are_covered_as_often_as_stated(scans, number):
    """And not much more often: by exchangeability the rate is ``⌈(n + 1)(1 − α)⌉ / (n + 1)``."""
    g = torch.Generator().manual_seed(0)
    scale = torch.ones(1, 1, 8, 8)
    covered, trials = 0, 1500
    for _ in range(trials):
        *held_out, new = as_list(errors_of(number + 1, g))
        band = calibrate(held_out, [scale] * number, pixels=0.9, scans=scans)
        covered += band.coverage(new, scale) >= 0.9
    rate = -(-round((number + 1) * scans, 6) // 1) / (number + 1)
    assert covered / trials == pytest.approx(rate, abs=4 * (rate * (1 - rate) / trials) ** 0.5)


def test_a_scan_that_is_not_like_the_others_is_not_covered():
    g = torch.Generator().manual_seed(1)
    scale = torch.ones(1, 1, 8, 8)
    band = calibrate(as_list(errors_of(19, g)), [scale] * 19)
    wider = as_list(5 * errors_of(50, g))
    assert sum(band.coverage(one, scale) >= 0.9 for one in wider) < 40


@settings(deadline=None, max_examples=30)
@given(
    factor=st.floats(1e-6, 1e6),
    pixels=st.floats(0.05, 1),
    seed=st.integers(0, 99),
)
def test_the_score_covers_its_share_and_no_more(factor, pixels, seed):
    g = torch.Generator().manual_seed(seed)
    error = torch.randn(1, 1, 8, 8, generator=g).double()
    scale = torch.rand(1, 1, 8, 8, generator=g).double() + 0.1
    found = score(error, scale, pixels)
    assert score(factor * error, scale, pixels) == pytest.approx(factor * found)
    share = ConformalBand(found, pixels, 0.9, 1).coverage(error, scale)
    assert pixels <= share < pixels + 1 / 64 + 1e-9


def test_a_better_scale_makes_a_narrower_band():
    """Errors of known standard deviation: divided by it, the mean half-width is smaller."""
    g = torch.Generator().manual_seed(2)
    std = torch.linspace(0.02, 2, 64).reshape(1, 1, 8, 8)
    errors = [std * one for one in as_list(torch.randn(19, 64, generator=g))]
    known, flat = std, torch.ones_like(std)
    widths = [
        calibrate(errors, [scale] * 19).factor * float(scale.mean()) for scale in (known, flat)
    ]
    assert widths[0] < 0.9 * widths[1]


def test_the_band_is_around_the_magnitude():
    image = torch.tensor([[[[3 + 4j, 0.1j]]]])
    low, high = ConformalBand(2.0, 0.9, 0.9, 9).around(image, torch.tensor([[[[0.5, 0.5]]]]))
    assert torch.allclose(low, torch.tensor([[[[4.0, 0.0]]]]))
    assert torch.allclose(high, torch.tensor([[[[6.0, 1.1]]]]))


def test_only_the_pixels_that_count_do():
    error = torch.tensor([[[[1.0, 100.0]]]])
    where = torch.tensor([[[[True, False]]]])
    band = calibrate([error] * 9, [torch.ones_like(error)] * 9, where=[where] * 9)
    assert band.factor == 1
    assert band.coverage(error, torch.ones_like(error), where) == 1
    assert band.coverage(error, torch.ones_like(error)) == 0.5


def test_a_scale_has_a_floor():
    scale = local_scale(torch.tensor([[[[0.0, 2.0]]]]))
    assert torch.allclose(scale, torch.tensor([[[[0.1, 2.0]]]]))


def test_refuses_what_states_nothing():
    one = torch.ones(1, 1, 4, 4)
    with pytest.raises(InputError, match="errors are of 8 scans, expected at least 9"):
        calibrate([one] * 8, [one] * 8, scans=0.9)
    with pytest.raises(InputError, match="pixels is 0 and"):
        calibrate([one] * 9, [one] * 9, pixels=0.0)
    with pytest.raises(InputError, match="scales are 3"):
        calibrate([one] * 9, [one] * 3)
    with pytest.raises(InputError, match="scale has the shape"):
        calibrate([one] * 9, [0 * one] * 9)
    with pytest.raises(InputError, match="error has no pixels"):
        calibrate([one / 0] * 9, [one] * 9)
