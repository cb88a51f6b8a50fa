"""Measurements with the image that a reconstruction of them is compared with."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from molrecon.data.coil_maps import combine_coils, estimate_coil_maps
from molrecon.data.non_cartesian_scan import NonCartesianScan
from molrecon.data.scan import Scan
from molrecon.data.simulation.acquisition import Acquisition
from molrecon.data.simulation.along_lines import NonCartesianAcquisition
from molrecon.data.simulation.retrospective import undersample
from molrecon.operators.base import LinearOperator
from molrecon.operators.cartesian_mri import CartesianMRI
from molrecon.pipeline.preparation import Preparation
from molrecon.pipeline.prepared_samples import samples_noise, with_estimated_maps


@dataclass(frozen=True, eq=False)
class ReferenceProblem:
    """Measurements, forward operator and the image to be compared with."""

    y: Tensor  # ``(batch, *A.shape_out)``
    A: LinearOperator
    reference: Tensor  # ``(batch, 1, *spatial)``, in the units of y
    # noise per measured sample that methods are told; None to have it estimated
    sigma: float | None = None
    scan: Scan | None = None  # that y and A are made of, with coil maps; None without k-space

    @property
    def mask(self) -> Tensor | None:
        """Where k-space was sampled, ``(batch or 1, 1, *spatial)``; None without k-space."""
        return None if self.scan is None else self.scan.mask


def retrospective_problem(
    full: Scan, acceleration: float, *, mask_kind: str, calibration: int, seed: int
) -> ReferenceProblem:
    """Undersample a full scan, see `make_mask`; the reference is the full scan combined.

    Coil maps are estimated from the calibration region alone, whether or not the scan has some, and
    the reference is combined with the same maps. Partial Fourier sampling is completed as
    `reconstruct` does.
    """
    scan = undersample(full, acceleration, mask_kind=mask_kind, calibration=calibration, seed=seed)
    maps = estimate_coil_maps(scan.kspace, scan.mask)
    reference = combine_coils(full.kspace, maps)
    scan = replace(scan, coil_maps=maps)
    y, A, _ = Preparation().problem(scan)
    return ReferenceProblem(y, A, reference, scan=scan)


def simulated_problem(
    acquisition: Acquisition, *, estimate_maps: bool = True, reference: str = "noise-free"
) -> ReferenceProblem:
    """Make a problem of a simulated acquisition; the noise is left to be estimated.

    Parameters
    ----------
    acquisition
        The simulated measurement.
    estimate_maps
        Estimate the maps from the calibration region, as for a real scan, or use the true ones.
        The phase of an image on estimated maps is its own: compare magnitudes.
    reference
        ``"noise-free"``, the image simulated from, or ``"full-scan"``, what a full scan of the
        same noise would have shown.
    """
    maps = acquisition.coil_maps
    if estimate_maps:
        maps = estimate_coil_maps(acquisition.kspace, acquisition.mask)
    scan = Scan(acquisition.kspace, acquisition.mask, maps)
    A = CartesianMRI(maps, acquisition.mask)
    return ReferenceProblem(scan.kspace, A, acquisition.target(reference), scan=scan)


def problem_along_lines(
    acquisition: NonCartesianAcquisition, *, estimate_maps: bool = True
) -> ReferenceProblem:
    """Make a problem of a simulated scan along lines, as `reconstruct` takes a measured one.

    The noise is measured along the lines; the reference is the image simulated from.

    Parameters
    ----------
    acquisition
        The simulated measurement.
    estimate_maps
        Estimate the maps from the centre of k-space, as for a real scan, or use the true ones. The
        phase of an image on estimated maps is its own: compare magnitudes.
    """
    scan = NonCartesianScan(
        acquisition.samples,
        acquisition.trajectory,
        tuple(acquisition.image.shape[2:]),
        coil_maps=None if estimate_maps else acquisition.coil_maps,
        source="the simulated scan",
    )
    scan, noise = with_estimated_maps(scan), samples_noise(scan)
    sigma = None if noise is None else float(noise.sigma[0])
    return ReferenceProblem(scan.kspace, scan.operator(), acquisition.image, sigma=sigma)
