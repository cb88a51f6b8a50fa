"""Metrics against closed forms and scikit-image."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import peak_signal_noise_ratio
from skimage.metrics import structural_similarity as of_skimage

from molrecon.errors import InputError
from molrecon.evaluation.metrics import nmse, psnr, ssim


def pair(*shape: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    reference = torch.randn(shape, dtype=torch.complex128, generator=generator)
    noise = torch.randn(shape, dtype=torch.complex128, generator=generator)
    return reference + 0.1 * noise, reference


def test_agrees_with_scikit_image_slice_by_slice():
    image, reference = pair(3, 1, 20, 24)
    x, y = (a.abs().numpy()[:, 0] for a in (image, reference))
    ranges = y.max(axis=(1, 2))
    expected = [
        peak_signal_noise_ratio(b, a, data_range=r) for a, b, r in zip(x, y, ranges, strict=True)
    ]
    found = psnr(image, reference)
    assert found.each == pytest.approx(expected)
    assert found.value == pytest.approx(np.mean(expected))
    assert found.data_range == pytest.approx(ranges.tolist())
    assert found.averaging == "mean over 3 slices"
    expected = [of_skimage(a, b, data_range=r) for a, b, r in zip(x, y, ranges, strict=True)]
    assert ssim(image, reference).each == pytest.approx(expected, abs=1e-9)


@given(st.floats(1e-6, 1e6), st.floats(1e-3, 0.5))
@settings(max_examples=30, deadline=None)
def test_closed_forms_in_any_unit(unit, error):
    reference = unit * torch.rand(2, 1, 8, 9, dtype=torch.float64).clamp_min(0.1)
    peak = reference.amax((1, 2, 3), keepdim=True)
    assert psnr(reference + error * peak, reference).value == pytest.approx(-20 * math.log10(error))
    assert nmse((1 + error) * reference, reference).value == pytest.approx(error**2)
    scaled = ssim((1 + error) * reference, reference).value
    assert scaled == pytest.approx(
        ssim((1 + error) * reference / unit, reference / unit).value, abs=1e-9
    )


def test_slices_of_a_volume_are_a_stack():
    image, reference = pair(1, 1, 5, 12, 13)
    stacked = [x.reshape(5, 1, 12, 13) for x in (image, reference)]
    for metric in (psnr, ssim, nmse):
        assert metric(image, reference).each == metric(*stacked).each


def test_whole_volumes():
    image, reference = pair(2, 1, 8, 12, 13)
    found = psnr(image, reference, over="volume")
    x, y = image.abs().numpy()[:, 0], reference.abs().numpy()[:, 0]
    assert found.each == pytest.approx(
        [peak_signal_noise_ratio(b, a, data_range=b.max()) for a, b in zip(x, y, strict=True)]
    )
    assert found.averaging == "mean over 2 volumes"
    expected = [of_skimage(a, b, data_range=b.max()) for a, b in zip(x, y, strict=True)]
    assert ssim(image, reference, over="volume").each == pytest.approx(expected, abs=1e-9)


def test_slices_on_the_range_of_their_volume():
    image, reference = pair(2, 1, 3, 12, 13)
    found = psnr(image, reference, data_range="volume")
    peaks = reference.abs().flatten(1).amax(1)
    assert found.data_range == pytest.approx(peaks.repeat_interleave(3).tolist())
    assert "volume" in found.range_rule
    given_range = psnr(image, reference, data_range=2.0)
    assert set(given_range.data_range) == {2.0}
    assert given_range.range_rule == "given"


def test_magnitudes_forget_the_phase_and_complex_values_do_not():
    _, reference = pair(1, 1, 8, 8)
    turned = 1j * reference
    assert math.isinf(psnr(turned, reference).value) or psnr(turned, reference).value > 250
    assert nmse(turned, reference, complex_values=True).value == pytest.approx(2)
    error = float((turned - reference).abs().square().mean())
    peak = float(reference.abs().max())
    assert psnr(turned, reference, complex_values=True).value == pytest.approx(
        10 * math.log10(peak**2 / error)
    )


def test_equal_images():
    _, reference = pair(2, 1, 8, 8)
    assert psnr(reference, reference).value == math.inf
    assert ssim(reference, reference).value == pytest.approx(1)
    assert nmse(reference, reference).value == 0


def test_refusals():
    image, reference = pair(2, 1, 8, 8)
    with pytest.raises(InputError, match="same shape"):
        psnr(image[:1], reference)
    with pytest.raises(InputError, match=r"\(batch, 1, y, x\)"):
        psnr(image[0, 0], reference[0, 0])
    with pytest.raises(InputError, match="image holds NaN"):
        psnr(image * math.nan, reference)
    with pytest.raises(InputError, match="expected 'slice' or 'volume'"):
        psnr(image, reference, over="head")
    with pytest.raises(InputError, match="data range"):
        psnr(image, reference, over="volume", data_range="slice")
    for bad in (0.0, -1.0, math.nan):
        with pytest.raises(InputError, match="data range"):
            ssim(image, reference, data_range=bad)
    empty = reference.clone()
    empty[1] = 0
    with pytest.raises(InputError, match="NMSE of slice 1 does not exist"):
        nmse(image, empty)
    with pytest.raises(InputError, match="range of the volume"):
        psnr(image, empty)
