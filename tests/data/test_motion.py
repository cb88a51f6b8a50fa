"""Images that are set in motion."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from molrecon.data import motion
from molrecon.data.motion import MARGIN, moving
from molrecon.data.randomness import make_generator

FRAMES, SIZE = 8, (30, 26)


def picture():
    y, x = torch.meshgrid(torch.arange(46.0), torch.arange(42.0), indexing="ij")
    return 1 + 0.5 * torch.sin(y / 3) * torch.cos(x / 4)


def drawn(seed, image=None):
    return moving(picture() if image is None else image, FRAMES, make_generator(seed))


@settings(max_examples=20)
@given(st.integers(0, 10**6))
def test_a_series_is_smooth_periodic_and_never_negative(seed):
    series = drawn(seed)
    assert series.shape == (FRAMES, *SIZE)
    assert bool((series >= 0).all())
    assert torch.equal(series, drawn(seed))
    # Three harmonics in eight frames: what moves is no noise, and the last leads to the first.
    spectrum = torch.fft.fft(series - series.mean(0), dim=0).abs().square().sum((1, 2))
    assert spectrum[4] <= 0.2 * spectrum[1:4].sum() + 1e-9


def test_something_moves_in_most_series_and_nothing_in_some():
    changes = torch.stack([drawn(seed).std(0).max() for seed in range(200)])
    still = (changes < 1e-6).float().mean().item()
    assert still == pytest.approx(motion.STILL, abs=0.06)
    assert (changes > 0.02).float().mean().item() > 0.7


def test_what_stands_still_is_the_image_without_its_margin(monkeypatch):
    monkeypatch.setattr(motion, "STILL", 1.0)
    inside = picture()[MARGIN:-MARGIN, MARGIN:-MARGIN]
    torch.testing.assert_close(drawn(3), inside.expand(FRAMES, *SIZE), atol=1e-5, rtol=0)


def test_a_shift_of_the_whole_is_a_shift(monkeypatch):
    """Of a ramp, by cubic interpolation, exactly; regions and brightness are switched off."""
    monkeypatch.setattr(motion, "STILL", 0.0)
    monkeypatch.setattr(motion, "WHOLE", 1.0)
    monkeypatch.setattr(motion, "REGIONS", (0, 0))
    ramp = torch.arange(46.0)[:, None].expand(46, 42) + 10
    series = drawn(1, ramp)
    shifts = series - ramp[MARGIN:-MARGIN, MARGIN:-MARGIN]
    by_frame = shifts.mean((1, 2))
    assert shifts.std((1, 2)).max() < 1e-3
    assert 0.3 <= by_frame.abs().max() <= 3.0


def test_blood_changes_its_brightness_in_place(monkeypatch):
    """Of a constant image nothing else is seen."""
    series = drawn(5, torch.ones(46, 42))
    assert series.max() <= (1 + motion.BRIGHTNESS) ** motion.REGIONS[1]
    assert series.min() >= (1 - motion.BRIGHTNESS) ** motion.REGIONS[1]
