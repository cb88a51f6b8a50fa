"""A scan along spokes, spirals or other lines, made ready: noise, coil maps, frames."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from molrecon.data.axes import Axes
from molrecon.data.check.samples import check_samples
from molrecon.data.gridded_centre import central_width, gridded_centre
from molrecon.data.non_cartesian_scan import NonCartesianScan
from molrecon.data.sampling import Sampling
from molrecon.data.whitening import whitening_matrix
from molrecon.errors import InputError
from molrecon.operators.line_noise import estimate_lines_noise
from molrecon.operators.noise import GIVEN, NOISE_SCAN, NoiseEstimate
from molrecon.pipeline.measurements import maps_of_calibration
from molrecon.pipeline.preparation import Preparation, Step


def require_no_grid(
    scan: NonCartesianScan, preparation: Preparation | None, *, intensity: bool = False
) -> None:
    """Refuse what was asked for of a scan along lines and is done on a grid alone."""
    steps, usual = preparation or Preparation(), Preparation()
    names = ("coils", "map_sets", "centre", "despike")
    asked = [name for name in names if getattr(steps, name) != getattr(usual, name)]
    asked += ["intensity"] if intensity else []
    if asked:
        raise InputError(
            f"{asked[0]} is given, but {scan.source} is not Cartesian, expected samples on a grid "
            "for it; leave it out."
        )


def is_split(scan: NonCartesianScan, axes: Axes | None, label: str) -> bool:
    """Return whether a method of some axes takes frames by themselves; refuse other axes."""
    if axes is None or axes == scan.axes:
        return False
    if scan.axes.time and axes.letters == "yx":
        return True
    raise InputError(
        f"The scan {scan.source} has the axes {scan.axes.names}, but {label} reconstructs "
        f"{axes.items} ({axes.names}); give a scan or a model of the same axes."
    )


def whitened(scan: NonCartesianScan, wanted: bool) -> tuple[NonCartesianScan, Step]:
    """Return a scan of uncorrelated and equal noise, by its noise samples, and what was done.

    Parameters
    ----------
    scan
        The scan.
    wanted
        Whether to.
    """
    name = "prewhitening"
    if scan.noise is None or scan.kspace.shape[1] == 1 or not wanted:
        text = "turned off" if scan.noise is not None else "the scan comes without noise samples"
        return scan, Step(name, False, text)
    matrix = whitening_matrix(scan.noise)

    def mixed(value: Tensor, axis: int) -> Tensor:
        moved: Tensor = torch.tensordot(matrix, value, dims=([1], [axis])).movedim(0, axis)
        return moved.contiguous()

    maps = scan.coil_maps
    scan = replace(
        scan,
        kspace=mixed(scan.kspace, 1),
        noise=mixed(scan.noise, 0),
        coil_maps=None if maps is None else mixed(maps, 1),
    )
    text = "noise of the coils made uncorrelated and equal, by the noise samples"
    return scan, Step(name, True, text)


def frames_of(
    scan: NonCartesianScan, name: str, split: bool
) -> Iterator[tuple[NonCartesianScan, str]]:
    """Return what is solved for by itself, and where it belongs in words."""
    if not split:
        yield scan, name
        return
    for number in range(scan.shape[0]):
        yield scan.frame(number), f"{name}, frame {number}"


def sampling_of_samples(scan: NonCartesianScan) -> Sampling:
    """Return how a scan was sampled, in numbers.

    The share of k-space is that of the points of the grid which have a sample nearest to them.

    Parameters
    ----------
    scan
        The scan.
    """
    batch, coils = scan.kspace.shape[:2]
    axes = scan.trajectory.shape[-1]
    try:
        width = central_width(scan.trajectory.reshape(-1, axes), scan.shape[-axes:])
    except InputError:
        region = None
    else:
        region = (width,) * axes
    return Sampling(batch, coils, scan.shape, scan.share, region, scan.axes, scan.lines_text)


def samples_noise(scan: NonCartesianScan) -> NoiseEstimate | None:
    """Return the noise level as given, by noise samples, or else measured along the lines.

    None where nothing shows it.

    Parameters
    ----------
    scan
        The scan.
    """
    batch = len(scan.kspace)

    def known(sigma: float, error: float, source: str) -> NoiseEstimate:
        return NoiseEstimate(torch.full((batch,), sigma), torch.full((batch,), error), source)

    if scan.sigma is not None:
        return known(scan.sigma, 0.0, GIVEN)
    if scan.noise is not None and bool(scan.noise.any()):
        level = float(scan.noise.abs().square().mean(dtype=torch.float64).sqrt())
        return known(level, 0.5 / scan.noise.numel() ** 0.5, NOISE_SCAN)
    try:
        return estimate_lines_noise(scan.kspace, scan.trajectory.norm(dim=-1))
    except InputError:
        return None


def with_estimated_maps(scan: NonCartesianScan) -> NonCartesianScan:
    """Return a scan with coil maps, estimated from the centre of k-space where it has none.

    Frames share them, from the samples of all.

    Parameters
    ----------
    scan
        The scan.

    Raises
    ------
    InputError
        If the trajectory does not show the centre.
    """
    if scan.coil_maps is not None:
        return scan
    coils, axes = scan.kspace.shape[1], scan.trajectory.shape[-1]
    plane = scan.shape[-axes:]
    if coils == 1:
        maps = torch.ones(1, 1, *plane, dtype=torch.complex64)
    else:
        centre = gridded_centre(scan.kspace.flatten(2), scan.trajectory.reshape(-1, axes), plane)
        maps = maps_of_calibration(centre, plane, 1)
    return replace(scan, coil_maps=maps.unsqueeze(2) if scan.axes.time else maps)


def checked_samples(
    scan: NonCartesianScan, preparation: Preparation, force: bool
) -> NonCartesianScan:
    """Return a scan whose noise is white; one that the data contradict is refused.

    Parameters
    ----------
    scan
        The scan.
    preparation
        What is to be done; steps that take a grid are refused.
    force
        Whether to go on in spite of contradictions.
    """
    require_no_grid(scan, preparation)
    found = check_samples(scan)
    if not force:
        found.require_none(scan.source)
    return whitened(scan, preparation.whiten)[0]


def with_noise_and_maps(scan: NonCartesianScan) -> NonCartesianScan:
    """Return a scan with its noise level, where anything shows it, and coil maps.

    Parameters
    ----------
    scan
        One item.
    """
    noise = samples_noise(scan)
    known = scan if noise is None else replace(scan, sigma=float(noise.sigma[0]))
    return with_estimated_maps(known)
