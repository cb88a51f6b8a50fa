"""What a reconstruction needs of a scan: coil maps, the operator, the noise."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from molrecon.data.calibration import calibration_region
from molrecon.data.coil_maps import estimate_coil_maps, estimate_shared_maps
from molrecon.data.scan import Scan
from molrecon.operators.cartesian_mri import CartesianMRI
from molrecon.operators.dynamic_mri import DynamicMRI
from molrecon.operators.multi_coil import MultiCoilMRI
from molrecon.operators.noise import estimate_frames_sigma, estimate_sigma


def require_coil_maps(scan: Scan) -> None:
    """Refuse a scan of several coils without maps and without a calibration region.

    Raises
    ------
    InputError
        If it is one.
    """
    if scan.coil_maps is None and scan.kspace.shape[1] > 1:
        calibration_region(scan.calibration_mask)


def with_coil_maps(scan: Scan) -> Scan:
    """Return the scan with coil maps, estimated where it has none.

    Raises
    ------
    InputError
        As `estimate_coil_maps`.
    """
    if scan.coil_maps is not None:
        return scan
    estimate = estimate_shared_maps if scan.axes.time else estimate_coil_maps
    return replace(scan, coil_maps=estimate(scan.kspace, scan.mask))


def operator_of(scan: Scan) -> MultiCoilMRI:
    """Return the forward operator of a scan with coil maps."""
    assert scan.coil_maps is not None
    kind = DynamicMRI if scan.axes.time else CartesianMRI
    return kind(scan.coil_maps, scan.mask)


def estimated_noise(scan: Scan) -> Tensor:
    """Estimate the noise per sample, ``(batch,)``.

    Raises
    ------
    InputError
        As `estimate_sigma`.
    """
    estimate = estimate_frames_sigma if scan.axes.time else estimate_sigma
    return estimate(scan.kspace, scan.mask)
