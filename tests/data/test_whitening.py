import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from molrecon import CartesianMRI, Scan, simulate_coil_maps
from molrecon.data.whitening import noise_covariance, whiten, whitening_matrix
from molrecon.errors import InputError


def correlated(coils, samples, seed=0):
    """Noise of unequal, correlated coils, and the matrix that mixes white noise to it."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(coils, coils, dtype=torch.complex64, generator=generator)
    mixing = mixing * torch.logspace(0, 1.5, coils)[:, None]
    return mixing @ torch.randn(coils, samples, dtype=torch.complex64, generator=generator), mixing


@given(coils=st.integers(1, 8), seed=st.integers(0, 100))
def test_whitened_noise_has_the_identity_as_covariance(coils, seed):
    noise, _ = correlated(coils, 200, seed)
    W = whitening_matrix(noise)
    covariance = noise_covariance(W @ noise)
    level = noise_covariance(noise).diagonal().real.mean()
    torch.testing.assert_close(
        (covariance / level).to(torch.complex64), torch.eye(coils) + 0j, rtol=0, atol=2e-3
    )
    torch.testing.assert_close(W, W.mH, rtol=1e-4, atol=1e-5)


def test_noise_that_is_white_changes_nothing():
    noise = torch.from_numpy(np.linalg.qr(np.random.default_rng(0).normal(size=(60, 4)))[0].T)
    torch.testing.assert_close(
        whitening_matrix(noise.to(torch.complex64)), torch.eye(4) + 0j, rtol=0, atol=1e-5
    )


def test_the_measurements_stay_those_of_the_maps():
    """Combining the coils of k-space and maps alike leaves the image as it was."""
    generator = torch.Generator().manual_seed(0)
    maps = simulate_coil_maps((16, 14), 4, generator=generator)[None]
    image = torch.randn(1, 1, 16, 14, dtype=torch.complex64, generator=generator)
    mask = torch.rand(1, 1, 16, 14, generator=generator) < 0.6
    noise, _ = correlated(4, 400)
    y = CartesianMRI(maps, mask)(image)
    scan = whiten(Scan(y, mask, maps, calibration=y[..., 4:12, 3:11] + 1, noise=noise))
    torch.testing.assert_close(CartesianMRI(scan.coil_maps, mask)(image), scan.kspace)
    W = whitening_matrix(noise)
    torch.testing.assert_close(scan.noise, W @ noise)
    expected = torch.einsum("dc,bcyx->bdyx", W, y[..., 4:12, 3:11] + 1)
    torch.testing.assert_close(scan.calibration, expected)


def test_whitening_is_the_best_weighting():
    """Least squares on whitened data is the estimate of least variance (Gauss-Markov)."""
    noise, mixing = correlated(3, 100_000, seed=3)
    maps = torch.tensor([1.0, 0.7j, 0.4 - 0.2j], dtype=torch.complex64)

    def variance(estimator):
        weights = estimator.conj() / (estimator.conj() @ maps)
        return float((weights @ noise).abs().square().mean())

    inverse = torch.linalg.inv(mixing @ mixing.mH)
    W = whitening_matrix(noise)
    white = variance(W.mH @ (W @ maps))
    assert white < 0.5 * variance(maps)
    assert white == pytest.approx(variance(inverse @ maps), rel=0.02)


def test_too_little_noise_is_refused():
    with pytest.raises(InputError, match="at least 40"):
        whitening_matrix(torch.ones(4, 39, dtype=torch.complex64))
    noise = torch.randn(2, 100, dtype=torch.complex64)
    with pytest.raises(InputError, match="no noise in some combination"):
        whitening_matrix(torch.cat([noise, noise[:1]]))
