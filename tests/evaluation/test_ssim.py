"""SSIM against scikit-image."""

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity as of_skimage

from molrecon.errors import InputError
from molrecon.evaluation.ssim import structural_similarity

WINDOWS = {
    "uniform": {},
    "gaussian": {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False},
}


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("shape", [(40, 33), (12, 14, 13)])
@pytest.mark.parametrize("noise", [0.01, 0.3])
def test_agrees_with_scikit_image(window, shape, noise):
    rng = np.random.default_rng(0)
    reference = np.cumsum(rng.standard_normal((2, *shape)), axis=-1)
    image = reference + noise * reference.std() * rng.standard_normal(reference.shape)
    ranges = np.ptp(reference.reshape(2, -1), axis=1)
    found = structural_similarity(
        torch.from_numpy(image),
        torch.from_numpy(reference),
        torch.from_numpy(ranges),
        window=window,
    )
    expected = [
        of_skimage(x, y, data_range=r, **WINDOWS[window])
        for x, y, r in zip(image, reference, ranges, strict=True)
    ]
    assert found.tolist() == pytest.approx(expected, abs=1e-9)


def test_equal_images():
    x = torch.rand(2, 9, 11, generator=torch.Generator().manual_seed(0))
    assert structural_similarity(x, x, torch.ones(2)).tolist() == pytest.approx([1, 1])


def test_refusals():
    x = torch.ones(1, 6, 20)
    with pytest.raises(InputError, match="window needs at least 7"):
        structural_similarity(x, x, torch.ones(1))
    with pytest.raises(InputError, match="uniform, gaussian"):
        structural_similarity(x, x, torch.ones(1), window="square")
