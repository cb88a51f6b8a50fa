"""Coil sensitivity maps from the calibration region, and the image combined with them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from molrecon.data.calibration import crop_calibration
from molrecon.data.espirit import espirit, working_memory
from molrecon.errors import InputError, shape_text
from molrecon.operators.checks import check_tensor
from molrecon.operators.fourier import ifft_centred

MOST_COLUMNS = 4096
"""Coils times kernel size from which on the kernel is made smaller: of volumes, from 19 coils."""
SMALLEST_KERNEL = 3
KERNEL_WIDTH, CALIBRATION_WIDTH = 6, 24
"""Of kernels and, at most, of the calibration region, in samples."""


def estimate_coil_maps(
    kspace: Tensor,
    mask: Tensor,
    *,
    kernel_width: int = KERNEL_WIDTH,
    calibration_width: int = CALIBRATION_WIDTH,
    threshold: float = 0.02,
    crop: float = 0.8,
    sets: int = 1,
) -> Tensor:
    """Estimate coil maps by ESPIRiT from the calibration region alone.

    Where the maps are supported their root sum of squares over the coils is 1; elsewhere they are
    0. Their common phase, which the data do not determine, is chosen so that the first principal
    combination of the coils is real and positive everywhere: unlike a single coil it seldom
    vanishes inside the object, so the maps stay smooth. One coil needs no estimate and gets ones.

    Parameters
    ----------
    kspace
        Complex ``(batch, coil, *spatial)``; all spatial axes are Fourier axes.
    mask
        Boolean ``(batch or 1, 1, *spatial)``.
    kernel_width
        Width of the k-space kernels along every axis; at most half the width of the calibration
        region is used, and less for many coils of a volume.
    calibration_width
        Largest width of the calibration region used.
    threshold
        Singular values of the calibration matrix below this fraction of the largest are noise.
    crop
        Support is where the ESPIRiT eigenvalue exceeds this, in ``[0, 1)``; 0.8 is the default of
        the BART toolbox and keeps a margin of background around the object.
    sets
        Number of sets of maps, 1 or 2. An object larger than the field of view folds, and where it
        does two sets describe what the coils see; elsewhere the second one is zero.

    Returns
    -------
    Tensor
        complex64 ``(batch, coil, *spatial)`` on the device of ``kspace``; of two sets
        ``(batch, set, coil, *spatial)``.

    Raises
    ------
    InputError
        If k-space has no calibration region or only zeros in it, or ``sets`` is another number.

    References
    ----------
    M. Uecker et al., "ESPIRiT: an eigenvalue approach to autocalibrating parallel MRI",
    Magn. Reson. Med. 71 (2014) 990.

    Examples
    --------
    >>> from molrecon import simulate_acquisition
    >>> scan = simulate_acquisition(
    ...     torch.hann_window(32)[:, None] * torch.hann_window(32),
    ...     coils=4,
    ...     acceleration=2,
    ...     mask_kind="variable-density",
    ...     calibration=12,
    ...     sigma=0.001,
    ...     seed=0,
    ... )
    >>> maps = estimate_coil_maps(scan.kspace, scan.mask)
    >>> error = maps.abs() - scan.coil_maps.abs()
    >>> maps.shape, bool(error[..., 12:20, 12:20].abs().max() < 0.05)
    (torch.Size([1, 4, 32, 32]), True)
    """
    if sets not in (1, 2):
        raise InputError(f"sets is {sets}, expected 1 or 2; choose one of them.")
    check_tensor("kspace", kspace)
    if kspace.shape[1] == 1:
        ones = torch.ones_like(kspace, dtype=torch.complex64)
        return ones if sets == 1 else torch.stack([ones, torch.zeros_like(ones)], dim=1)
    calibration = crop_calibration(kspace, mask, calibration_width)
    coils, *spatial = kspace.shape[1:]
    widths = calibration.shape[2:]
    if max(widths) < 2:
        raise InputError(
            f"The k-space is {shape_text(spatial)} samples, too few to estimate "
            "coil maps; check the order of its axes, or give the coil maps."
        )
    kernel = _kernel(coils, widths, kernel_width)
    maps = []
    for index, item in enumerate(calibration.detach().to(torch.complex64)):
        if not bool(item.any()):
            raise InputError(
                f"The k-space of item {index} is zero throughout its calibration region, where "
                "the strongest signal was expected; check the file or give the coil maps."
            )
        estimate = espirit(item, spatial, kernel=kernel, threshold=threshold, crop=crop, sets=sets)
        for one in estimate:
            _reference_phase(one, item)
        maps.append(estimate if sets > 1 else estimate[0])
    # Stacking would copy, and the maps of a volume are large.
    return maps[0][None] if len(maps) == 1 else torch.stack(maps)


def espirit_memory(coils: int, spatial: Sequence[int]) -> tuple[int, int]:
    """Estimate the bytes that `estimate_coil_maps` holds at once beside k-space and maps.

    The second result is those of the largest array among them.

    Parameters
    ----------
    coils
        Number of coils.
    spatial
        Shape of the maps; the calibration region is taken for as large as is ever used.
    """
    widths = [min(n, CALIBRATION_WIDTH) for n in spatial]
    kernel = _kernel(coils, widths, KERNEL_WIDTH)
    return working_memory(coils, spatial, widths, kernel)


def _kernel(coils: int, widths: Sequence[int], widest: int) -> list[int]:
    """Return the shape of the kernels for a calibration region of so many samples."""
    kernel = [max(1, min(widest, width // 2)) for width in widths]
    while coils * math.prod(kernel) > MOST_COLUMNS and max(kernel) > SMALLEST_KERNEL:
        kernel[kernel.index(max(kernel))] -= 1
    return kernel


def estimate_shared_maps(kspace: Tensor, mask: Tensor, *, sets: int = 1) -> Tensor:
    """Estimate the coil maps that the frames of a series share, from their average.

    Every point of k-space is averaged over the frames in which it was sampled; the maps are those
    of that one frame (as in TSENSE, Kellman et al., Magn. Reson. Med. 45 (2001) 846).

    Parameters
    ----------
    kspace
        Complex ``(batch, coil, t, y, x)``.
    mask
        Boolean ``(batch or 1, 1, t, y, x)``.
    sets
        Number of sets of maps, 1 or 2, see `estimate_coil_maps`.

    Returns
    -------
    Tensor
        complex64 ``(batch, coil, 1, y, x)``; of two sets ``(batch, set, coil, 1, y, x)``.

    Raises
    ------
    InputError
        If the frames together have no calibration region, or only zeros in it.

    Examples
    --------
    >>> kspace = torch.randn(1, 2, 3, 16, 16, dtype=torch.complex64)
    >>> estimate_shared_maps(kspace, torch.ones(1, 1, 3, 16, 16, dtype=torch.bool)).shape
    torch.Size([1, 2, 1, 16, 16])
    """
    times = mask.sum(2)
    average = (kspace * mask).sum(2) / times.clamp_min(1)
    return estimate_coil_maps(average, times > 0, sets=sets).unsqueeze(-3)


def combine_coils(kspace: Tensor, coil_maps: Tensor, *, transformed: int | None = None) -> Tensor:
    """Combine fully sampled k-space to one image: the least-squares image on the given maps.

    ``sum_c conj(S_c) x_c / sum_c |S_c|²`` with ``x_c`` the coil images, and 0 where all maps are.

    Parameters
    ----------
    kspace
        Complex ``(batch, coil, *spatial)``.
    coil_maps
        Complex ``(batch or 1, coil, *spatial)``; length 1 in time serves all frames.
    transformed
        Number of Fourier axes, the last ones; all spatial axes if not given, 2 for frames.

    Returns
    -------
    Tensor
        Complex ``(batch, 1, *spatial)``.

    Raises
    ------
    InputError
        If the shapes do not fit.

    References
    ----------
    P. B. Roemer et al., "The NMR phased array", Magn. Reson. Med. 16 (1990) 192.

    Examples
    --------
    >>> from molrecon import CartesianMRI, simulate_coil_maps
    >>> maps = simulate_coil_maps((8, 8), 4, generator=torch.Generator().manual_seed(0))[None]
    >>> image = torch.ones(1, 1, 8, 8, dtype=torch.complex64)
    >>> kspace = CartesianMRI(maps, torch.ones(1, 1, 8, 8, dtype=torch.bool))(image)
    >>> torch.allclose(combine_coils(kspace, maps), image, atol=1e-5)
    True
    """
    ndim = kspace.ndim - 2 if transformed is None else transformed
    shared = [n if n == 1 else m for n, m in zip(coil_maps.shape, kspace.shape, strict=False)]
    expected = (kspace.shape[1], *shared[2 : kspace.ndim - ndim], *kspace.shape[-ndim:])
    if tuple(coil_maps.shape[1:]) != expected:
        raise InputError(
            f"coil maps: found shape {tuple(coil_maps.shape)}, expected (coil, *spatial) = "
            f"{tuple(kspace.shape[1:])} as the k-space has; give maps of the same scan."
        )
    images = ifft_centred(kspace, ndim)
    combined = (coil_maps.conj() * images).sum(dim=1, keepdim=True)
    power = coil_maps.abs().square().sum(dim=1, keepdim=True)
    return torch.where(power > 0, combined / power.where(power > 0, 1), 0)


def _reference_phase(maps: Tensor, calibration: Tensor) -> None:
    """Make the strongest combination of coils in the calibration data real, in place."""
    samples = calibration.flatten(1).to(torch.complex128)
    principal = torch.linalg.eigh(samples @ samples.mH).eigenvectors[:, -1]
    # An eigenvector's own phase is arbitrary: pin it, or the maps' phase depends on the library.
    largest = principal[principal.abs().argmax()]
    weights = (principal.conj() * largest / largest.abs()).to(maps.dtype)
    combined = torch.tensordot(weights, maps, dims=1)
    maps.mul_(torch.polar(torch.ones_like(combined.real), -combined.angle()))
