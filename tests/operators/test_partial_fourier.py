"""The operator of partial Fourier sampling."""

import pytest
import torch

from molrecon import CartesianMRI, PartialFourierMRI
from molrecon.operators.fourier import fft_centred
from molrecon.operators.partial_fourier import mirrored

from ..support import cartesian_mri, normal


@pytest.mark.parametrize("shape", [(6,), (5,), (4, 7), (3, 4, 6)])
def test_mirrored_frequencies_are_those_of_the_conjugate(shape):
    """F(x̄) at k is the conjugate of F(x) at −k."""
    x = normal(2, *shape, dtype=torch.complex128)
    ndim = len(shape)
    expected = fft_centred(x.conj(), ndim)
    torch.testing.assert_close(mirrored(fft_centred(x, ndim).conj(), ndim), expected)


def problem(n=(6, 8), coils=3):
    maps = normal(1, coils, *n, dtype=torch.complex128)
    mask = (torch.arange(n[1]) >= n[1] // 2 - 1).expand(1, 1, *n)
    phase = torch.polar(torch.ones(n), torch.linspace(0, 2, n[1]).expand(n)).to(torch.complex128)
    return CartesianMRI(maps, mask), phase[None, None]


def test_an_image_of_that_phase_explains_its_own_measurements():
    measured, phase = problem()
    A = PartialFourierMRI(measured, phase, ~measured.mask)
    x = phase * normal(1, 1, 6, 8, dtype=torch.float64)
    torch.testing.assert_close(A(x), A.measurements(measured(x)))
    other = 1j * x
    assert not torch.allclose(A(other), A.measurements(measured(other)))


def test_the_edge_is_determined_by_what_was_measured():
    """One coil: least squares alone leaves the edge free, and this operator gives the image."""
    _, phase = problem((6, 7))
    mask = (torch.arange(7) >= 2).expand(1, 1, 6, 7)
    measured = CartesianMRI(torch.ones(1, 1, 6, 7, dtype=torch.complex128), mask)
    A = PartialFourierMRI(measured, phase, ~mask)
    x = phase * normal(1, 1, 6, 7, dtype=torch.float64)
    columns = torch.eye(42, dtype=torch.complex128).reshape(42, 1, 6, 7)
    matrix = torch.stack([A(column[None]).flatten() for column in columns], dim=1)
    y = A.measurements(measured(x))
    found = torch.linalg.lstsq(matrix, y.reshape(-1, 1), driver="gelsd").solution.reshape(x.shape)
    torch.testing.assert_close(found, x, rtol=0, atol=1e-5)
    assert float((measured.adjoint(measured(x)) - x).norm() / x.norm()) > 0.3


def test_bounds_are_those_of_both_parts():
    measured, phase = problem()
    A = PartialFourierMRI(measured, phase, ~measured.mask, weight=0.5)
    assert float(A.norm()) <= float(A.norm_bound)
    limit = (1 + 0.25) ** 0.5 * float(measured.norm_bound)
    assert float(A.norm_bound) == pytest.approx(limit)


def test_only_what_was_measured_is_kept_and_tells_the_noise():
    measured = cartesian_mri((24, 24), coils=4)
    edge = (torch.arange(24) < 6).expand(1, 1, 24, 24)
    A = PartialFourierMRI(measured, torch.ones(1, 1, 24, 24) + 0j, edge)
    x = normal(1, 1, 24, 24, dtype=torch.complex128)
    k = measured(normal(1, 1, 24, 24, dtype=torch.complex128, seed=1))
    y = A.measurements(k)
    torch.testing.assert_close(A.completed(x, y), measured.completed(x, k))
    torch.testing.assert_close(A.estimate_sigma(y), measured.estimate_sigma(k))
    torch.testing.assert_close(A.completion_gain, measured.completion_gain)


def test_noise_is_mirrored_with_the_samples():
    measured, phase = problem()
    A = PartialFourierMRI(measured, phase, ~measured.mask)
    white = normal(1, 6, 6, 8, dtype=torch.complex128)
    first = white[:, :3] * measured.mask
    torch.testing.assert_close(A.noise(white), A.measurements(first))
    torch.testing.assert_close(measured.noise(white[:, :3]), first)
