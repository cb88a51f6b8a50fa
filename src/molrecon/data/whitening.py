"""Prewhitening: combinations of the coils in which noise is uncorrelated and equally strong."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from molrecon.data.scan import Scan
from molrecon.errors import InputError

SAMPLES_PER_COIL = 10
"""Fewest noise samples per coil: with n per coil, whitened levels are off by about 1/√n."""
_SMALLEST = 1e-8
"""Eigenvalue of the covariance, over the largest, below which a coil measures nothing."""


def noise_covariance(noise: Tensor) -> Tensor:
    """Return the covariance ``E[n nᴴ]`` of the noise of the coils, complex128 ``(coil, coil)``.

    The noise is complex ``(coil, samples)``, measured without signal.
    """
    samples = noise.to(torch.complex128)
    return samples @ samples.mH / samples.shape[1]


def whitening_matrix(noise: Tensor) -> Tensor:
    """Return W such that ``W n`` has the covariance ``s² I``, s² being the mean variance of n.

    ``W = s C^(−1/2)`` is Hermitian: of all whitening matrices the one that changes the coils least.
    The mean variance stays, so that k-space keeps its unit.

    Parameters
    ----------
    noise
        Complex ``(coil, samples)``, measured without signal.

    Returns
    -------
    Tensor
        complex64 ``(coil, coil)``.

    Raises
    ------
    InputError
        If there are too few samples, or some combination of the coils has no noise.

    Examples
    --------
    >>> noise = torch.randn(3, 500, dtype=torch.complex64)
    >>> noise[1] += noise[0]
    >>> covariance = noise_covariance(whitening_matrix(noise) @ noise)
    >>> mean = covariance.diagonal().real.mean()
    >>> bool((covariance / mean - torch.eye(3)).abs().max() < 1e-5)
    True
    """
    coils, samples = noise.shape
    if samples < SAMPLES_PER_COIL * coils:
        raise InputError(
            f"The noise scan has {samples} samples of {coils} coils, expected at least "
            f"{SAMPLES_PER_COIL * coils}; go without prewhitening (whiten)."
        )
    covariance = noise_covariance(noise)
    values, vectors = torch.linalg.eigh(covariance)
    if not bool(values[0] > _SMALLEST * values[-1]):
        raise InputError(
            "The noise scan has no noise in some combination of the coils, expected some in each; "
            "leave out coils that measure nothing, or go without prewhitening (whiten)."
        )
    root = (vectors / values.sqrt()) @ vectors.mH
    level = covariance.diagonal().real.mean().sqrt()
    matrix: Tensor = (level * root).to(torch.complex64)
    return matrix


def with_mixed_coils(scan: Scan, matrix: Tensor) -> Scan:
    """Return the scan with other combinations of its coils, by a matrix ``(new coil, coil)``.

    K-space, coil maps, calibration data and noise samples are combined alike.
    """

    def mixed(value: Tensor | None, axis: int) -> Tensor | None:
        if value is None:
            return None
        moved = torch.tensordot(matrix.to(value.dtype), value, dims=([1], [axis]))
        result: Tensor = moved.movedim(0, axis).contiguous()
        return result

    kspace = mixed(scan.kspace, 1)
    assert kspace is not None
    return replace(
        scan,
        kspace=kspace,
        coil_maps=mixed(scan.coil_maps, scan.coil_axis),
        calibration=mixed(scan.calibration, 1),
        noise=mixed(scan.noise, 0),
    )


def intensity_text(scan: Scan, matrix: Tensor) -> str:
    """Return what mixing the coils by a matrix makes of the intensity of the image, a clause.

    The root sum of squares of the coils changes in every pixel by a factor between the smallest
    and the largest singular value of the matrix, and so does an image whose maps have a root sum
    of squares of 1 in the mixed coils.

    Parameters
    ----------
    scan
        The scan before.
    matrix
        Complex ``(coil, coil)``, invertible.
    """
    values = torch.linalg.svdvals(matrix.to(torch.complex128))
    size = torch.linalg.vector_norm
    after = size(torch.tensordot(matrix.to(scan.kspace.dtype), scan.kspace, dims=([1], [1])))
    mean = float(after / size(scan.kspace).clamp_min(torch.finfo(after.dtype).tiny))
    return (
        f"the image has {mean:.3g} times the intensity of the coils as stored, in each pixel from "
        f"{float(values[-1]):.3g} to {float(values[0]):.3g} times"
    )


def whiten(scan: Scan) -> Scan:
    """Return the scan with prewhitened coils, by its noise samples.

    Parameters
    ----------
    scan
        The scan, with noise samples.

    Raises
    ------
    InputError
        As `whitening_matrix`.

    References
    ----------
    P. B. Roemer et al., "The NMR phased array", Magn. Reson. Med. 16 (1990) 192.

    Examples
    --------
    >>> kspace = torch.ones(1, 2, 8, 8, dtype=torch.complex64)
    >>> noise = torch.tensor([[1.0], [3.0]]) * torch.randn(2, 400, dtype=torch.complex64)
    >>> level = whiten(Scan(kspace, noise=noise)).noise.abs().square().mean(1).sqrt()
    >>> bool(abs(level[0] / level[1] - 1) < 1e-4)
    True
    """
    assert scan.noise is not None
    return with_mixed_coils(scan, whitening_matrix(scan.noise))
