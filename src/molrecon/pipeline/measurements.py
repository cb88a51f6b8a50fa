"""What a reconstruction needs of a scan: coil maps, the forward operator, the noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from molrecon.data.calibration import calibration_region
from molrecon.data.coil_maps import estimate_coil_maps, estimate_shared_maps
from molrecon.data.gridded_centre import on_grid
from molrecon.data.scan import Scan, sampled
from molrecon.errors import InputError
from molrecon.operators.cartesian_mri import CartesianMRI
from molrecon.operators.dynamic_mri import DynamicMRI
from molrecon.operators.multi_coil import MultiCoilMRI
from molrecon.operators.noise import (
    GIVEN,
    NOISE_SCAN,
    NoiseEstimate,
    estimate_frames_noise,
    estimate_noise,
)
from molrecon.operators.soft_sense import SoftSense


def require_coil_maps(scan: Scan) -> None:
    """Refuse a scan of several coils without maps and without a calibration region."""
    if scan.coil_maps is None and scan.kspace.shape[1] > 1:
        for item in scan.calibration if scan.calibration is not None else ():
            calibration_region((item != 0).any(0)[None, None])
        if scan.calibration is None:
            calibration_region(scan.calibration_mask)


def ensure_coil_maps(scan: Scan, *, sets: int = 1) -> Scan:
    """Return the scan with coil maps, estimated where it has none.

    Sets of maps that are zero everywhere are left out.
    """
    if scan.coil_maps is not None:
        return _without_empty_sets(scan)
    if scan.calibration is not None:
        maps = maps_of_calibration(scan.calibration, scan.kspace.shape[-scan.axes.fourier :], sets)
        maps = maps.unsqueeze(-3) if scan.axes.time else maps
    else:
        estimate = estimate_shared_maps if scan.axes.time else estimate_coil_maps
        maps = estimate(scan.kspace, scan.mask, sets=sets)
    return _without_empty_sets(replace(scan, coil_maps=maps))


def _without_empty_sets(scan: Scan) -> Scan:
    """Return the scan without sets of maps that are zero everywhere, as where nothing folds."""
    maps = scan.coil_maps
    if maps is None or scan.coil_axis == 1:
        return scan
    used = maps.any(0).flatten(1).any(1)
    maps = maps[:, used]
    return replace(scan, coil_maps=maps if maps.shape[1] > 1 else maps[:, 0])


def maps_of_calibration(calibration: Tensor, shape: Sequence[int], sets: int) -> Tensor:
    """Return coil maps of a shape from the centre of k-space, which was measured by itself."""
    kspace = on_grid(calibration, shape)
    return estimate_coil_maps(kspace, sampled(kspace), sets=sets)


def operator_of(scan: Scan) -> MultiCoilMRI:
    """Return the forward operator of a scan with coil maps."""
    assert scan.coil_maps is not None
    if scan.coil_axis == 2:
        return SoftSense(scan.coil_maps, scan.mask, frames=scan.axes.time)
    kind = DynamicMRI if scan.axes.time else CartesianMRI
    return kind(scan.coil_maps, scan.mask)


def estimated_noise(scan: Scan) -> NoiseEstimate:
    """Return the noise level per complex k-space sample, and its uncertainty, from the k-space."""
    estimate = estimate_frames_noise if scan.axes.time else estimate_noise
    return estimate(scan.kspace, scan.mask)


def known_noise(scan: Scan) -> NoiseEstimate | None:
    """Return the noise level of a scan as given, by its noise scan, or else estimated.

    None where nothing shows it.
    """
    if scan.sigma is not None:
        return _sure(scan, scan.sigma, 0.0, GIVEN)
    if scan.noise is not None:
        level = float(scan.noise.abs().square().mean(dtype=torch.float64).sqrt())
        if level > 0:
            return _sure(scan, level, 0.5 / scan.noise.numel() ** 0.5, NOISE_SCAN)
    try:
        return estimated_noise(scan)
    except InputError:
        return None


def _sure(scan: Scan, sigma: float, uncertainty: float, source: str) -> NoiseEstimate:
    batch = len(scan.kspace)
    return NoiseEstimate(torch.full((batch,), sigma), torch.full((batch,), uncertainty), source)
