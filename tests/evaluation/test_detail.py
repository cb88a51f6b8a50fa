"""The contrast of details against closed forms."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from molrecon.errors import InputError
from molrecon.evaluation.detail import detail_contrast


def wave(periods: int, size: int = 32) -> torch.Tensor:
    x = torch.arange(size, dtype=torch.float64)
    return torch.cos(2 * math.pi * periods * x / size).expand(1, 1, 24, size)


@given(st.integers(1, 12), st.floats(0.0, 1.5), st.floats(0.5, 4.0), st.floats(0.1, 10.0))
@settings(max_examples=25, deadline=None)
def test_a_wave_of_less_contrast(periods, contrast, width, unit):
    reference = 2 + wave(periods)
    image = unit * (2 + contrast * wave(periods))
    found = detail_contrast(image, unit * reference, width=width)
    assert found.item() == pytest.approx(contrast, abs=1e-9)


def test_coarse_structures_count_by_what_the_gaussian_takes_from_them():
    width, (slow, fast) = 1.5, (1, 8)
    kept = [1 - math.exp(-0.5 * (2 * math.pi * n * width / 32) ** 2) for n in (slow, fast)]
    reference, image = 4 + wave(slow) + wave(fast), 4 + wave(slow)
    expected = kept[0] ** 2 / (kept[0] ** 2 + kept[1] ** 2)
    assert detail_contrast(image, reference, width=width).item() == pytest.approx(expected)


def test_noise_is_no_detail():
    generator = torch.Generator().manual_seed(0)
    reference = (10 + torch.randn(1, 1, 64, 64, generator=generator)).expand(200, 1, 64, 64)
    noisy = reference + 0.5 * torch.randn(200, 1, 64, 64, generator=generator)
    found = detail_contrast(noisy, reference)
    # The slope of one image has a standard deviation of about 0.5 / 64.
    assert abs(float(found.mean()) - 1) < 4 * 0.5 / 64 / math.sqrt(200)


def test_phase_does_not_count_and_every_sample_has_its_own():
    reference = (2 + wave(5)).repeat(2, 1, 1, 1)
    image = reference.clone()
    image[1] = 2 + 0.25 * wave(5)[0]
    turned = image * torch.exp(1j * 3 * wave(2))
    assert detail_contrast(turned, reference).tolist() == pytest.approx([1.0, 0.25])


def test_refusals():
    image = 2 + wave(3)
    for bad, width, sentence in (
        (image[..., 1:], 1.5, "same shape"),
        (image, 0.0, "width is 0.0"),
        (image, math.inf, "width is inf"),
    ):
        with pytest.raises(InputError, match=sentence):
            detail_contrast(image, bad, width=width)
    with pytest.raises(InputError, match="constant"):
        detail_contrast(image, torch.full_like(image, 3.7))
