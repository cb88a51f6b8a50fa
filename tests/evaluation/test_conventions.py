"""Scores against scikit-image on random images, and the published way of counting."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import peak_signal_noise_ratio
from skimage.metrics import structural_similarity as of_skimage
from skimage.util.dtype import dtype_range

from molrecon.evaluation.conventions import CONVENTIONS, published_scores, standard_scores
from molrecon.evaluation.metrics import psnr, ssim

sizes = st.integers(7, 24)


def images(seed: int, slices: int, rows: int, columns: int, unit: float, noise: float):
    rng = np.random.default_rng(seed)
    reference = rng.random((slices, 1, rows, columns)) * unit
    return np.abs(reference + noise * unit * rng.standard_normal(reference.shape)), reference


@given(
    st.integers(0, 1000),
    st.integers(1, 3),
    sizes,
    sizes,
    st.floats(1e-3, 1e4),
    st.floats(1e-3, 1),
    st.floats(0.5, 3),
)
@settings(max_examples=40)
def test_equal_to_scikit_image_given_the_same_range(seed, n, rows, columns, unit, noise, factor):
    image, reference = images(seed, n, rows, columns, unit, noise)
    data_range = factor * float(reference.max())
    pair = torch.from_numpy(image), torch.from_numpy(reference)
    of_slices = list(zip(image[:, 0], reference[:, 0], strict=True))
    found = psnr(*pair, data_range=data_range)
    expected = [peak_signal_noise_ratio(y, x, data_range=data_range) for x, y in of_slices]
    assert found.each == pytest.approx(expected, abs=1e-4)
    found = ssim(*pair, data_range=data_range)
    expected = [of_skimage(x, y, data_range=data_range) for x, y in of_slices]
    assert found.each == pytest.approx(expected, abs=1e-4)
    if min(rows, columns) > 10:
        found = ssim(*pair, data_range=data_range, window="gaussian")
        options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
        expected = [of_skimage(x, y, data_range=data_range, **options) for x, y in of_slices]
        assert found.each == pytest.approx(expected, abs=1e-4)


@given(st.integers(0, 1000), st.integers(1, 3), sizes, sizes, st.floats(0.01, 0.5))
@settings(max_examples=20)
def test_published_counting(seed, n, rows, columns, noise):
    image, reference = images(seed, n, rows, columns, 1.0, noise)
    found = published_scores(torch.from_numpy(image), torch.from_numpy(reference))
    of_slices = list(zip(image[:, 0], reference[:, 0], strict=True))
    expected = np.mean([peak_signal_noise_ratio(y, x, data_range=y.max()) for x, y in of_slices])
    assert found["psnr"].value == pytest.approx(expected, abs=1e-4)
    low, high = dtype_range[np.float64]
    expected = np.mean([of_skimage(x, y, data_range=high - low) for x, y in of_slices])
    assert found["ssim"].value == pytest.approx(expected, abs=1e-4)


def test_the_missing_range_inflates_and_is_stated():
    reference = torch.linspace(0, 1, 30 * 24, dtype=torch.float64).reshape(1, 1, 30, 24)
    noise = torch.randn(reference.shape, generator=torch.Generator().manual_seed(0))
    image = (reference + 0.05 * noise).abs()
    published, ours = published_scores(image, reference), standard_scores(image, reference)
    assert published["ssim"].value > ours["ssim"].value + 0.02
    assert published["psnr"].value == pytest.approx(ours["psnr"].value)
    assert "scikit-image" in published["ssim"].range_rule
    assert published["ssim"].data_range == (2.0,)


@pytest.mark.parametrize("name", CONVENTIONS)
def test_a_comparison_does_not_depend_on_the_unit(name):
    image, reference = (torch.from_numpy(x) for x in images(1, 1, 20, 18, 1.0, 0.1))
    scores = CONVENTIONS[name].scores
    small, large = scores(image, reference), scores(1e4 * image, 1e4 * reference)
    for metric, score in small.items():
        assert large[metric].value == pytest.approx(score.value)
        assert score.averaging
        assert score.range_rule
    assert "range" in CONVENTIONS[name].summary
