"""An undersampled scan, made from the file of a full one or of an image."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from molrecon.arguments import require_positive
from molrecon.data.axial import axial_slices, slice_geometry
from molrecon.data.calibration import calibration_region
from molrecon.data.check import check
from molrecon.data.formats import ImageData, kind_of, read_image, read_scan
from molrecon.data.formats.reading import PathLike
from molrecon.data.gridded_centre import central_width
from molrecon.data.non_cartesian_scan import NonCartesianScan
from molrecon.data.oversampling import without_oversampling
from molrecon.data.randomness import make_generator
from molrecon.data.scan import Scan
from molrecon.data.simulation import (
    simulate_acquisition,
    simulate_coil_maps,
    simulate_phase,
)
from molrecon.data.simulation.along_lines import acquire_along
from molrecon.data.simulation.retrospective import reference_image, undersample
from molrecon.data.trajectories import make_trajectory, most_acceleration
from molrecon.errors import InputError
from molrecon.pipeline.free_memory import available_memory
from molrecon.pipeline.memory_limit import GIB
from molrecon.pipeline.preparation import Preparation

COILS = 8
COPIES = 6
"""Images of all coils that simulating a scan holds at once: coil maps, k-space, noise, …."""
RELATIVE_SIGMA = 0.01


@dataclass(frozen=True)
class MaskDraw:
    """How k-space is sampled, see `make_mask`."""

    mask_kind: str = "variable-density"
    acceleration: float = 4.0
    calibration: int = 24
    seed: int = 0


@dataclass(frozen=True, eq=False)
class SimulatedScan:
    """A scan to try reconstructions on."""

    scan: Scan | NonCartesianScan  # undersampled
    reference: Tensor | None  # ``(batch, 1, *spatial)``; None if it was not asked for
    kind: str  # made from a ``"scan"`` or an ``"image"``
    number: int | None  # the slice taken; None for all
    sigma: float | None  # the noise that was added; None where the noise is that of a real scan
    doubt: str = ""  # a sentence, where the file may hold something else than what it was taken for


def simulate_scan(
    source: PathLike,
    sampling: MaskDraw,
    *,
    number: int | None = None,
    coils: int | None = None,
    sigma: float | None = None,
    include_maps: bool = False,
    with_reference: bool = True,
    preparation: Preparation | None = None,
    force: bool = False,
    max_memory: float | None = None,
    trajectory: str | None = None,
) -> SimulatedScan:
    """Make an undersampled scan from a file.

    A fully sampled scan is undersampled as it is; its reference is the full scan combined with the
    coil maps of the calibration region that is left. Of an image, a scan with smooth random coil
    maps, a smooth phase and noise is simulated; its reference is the complex image. A scan is
    checked as `reconstruct` does.

    Parameters
    ----------
    source
        A fully sampled scan, an image or a volume: ``FILE`` or ``FILE::KEY``.
    sampling
        How k-space is sampled.
    number
        Slice to take, from 0; by default the middle axial one of a volume, else all.
    coils
        Of an image: number of receive coils, 8 by default.
    sigma
        Of an image: standard deviation of the noise per complex k-space sample, in the units of
        the image, 1 % of its peak by default.
    include_maps
        Of an image: keep the true coil maps in the scan, to be used in place of an estimate.
    with_reference
        Whether the reference of a scan is computed.
    preparation
        What is settled of a scan before it is undersampled: spikes and centre.
    force
        Whether to go on with a scan that the data contradict.
    max_memory
        Memory in GiB that an array of the file may take, beyond 200 MB and four times the size of
        the file.
    trajectory
        Of an image: sample along ``"radial"`` or ``"golden-angle"`` spokes or a ``"spiral"`` in
        place of a grid, see `make_trajectory`.
    """
    require_positive("sigma", sigma)
    if kind_of(source, max_memory=max_memory) == "image":
        stored = read_image(source, max_memory=max_memory)
        if trajectory is not None:
            _require_no_mask(sampling, trajectory)
            made = _along_lines(stored, sampling, number, coils, sigma, include_maps, trajectory)
        else:
            made = _of_image(stored, sampling, number, coils, sigma, include_maps)
        return replace(made, doubt=_doubt(stored))
    if trajectory is not None:
        raise InputError(
            f"trajectory is {trajectory}, but {source} is a scan, whose noise would be the same in "
            "neighbouring samples, expected an image; give one."
        )
    if coils is not None or sigma is not None or include_maps:
        raise InputError(
            f"{source} is a scan, with coils and noise of its own, but the number of coils "
            "(coils), their noise (sigma) and true maps (include_maps) are of images; leave them "
            "out."
        )
    chosen = None if number is None else (number, number + 1)
    stored_scan = read_scan(source, slice_range=chosen, max_memory=max_memory)
    settled = (preparation or Preparation()).settled(stored_scan)
    if not force:
        check(settled).require_none(str(source))
    full = without_oversampling(settled)
    scan = undersample(full, **vars(sampling))
    reference = _reference(full, scan, sampling) if with_reference else None
    return SimulatedScan(scan, reference, "scan", number, None)


def _require_no_mask(sampling: MaskDraw, trajectory: str) -> None:
    """Refuse what says how a mask is drawn, which lines have not."""
    for name in ("mask_kind", "calibration"):
        value = getattr(sampling, name)
        if value != getattr(MaskDraw, name):
            raise InputError(
                f"{name} is {value}, which is for scans on a grid, but samples along lines "
                f"(trajectory {trajectory}) were asked for; leave it out."
            )


def _doubt(stored: ImageData) -> str:
    """Return a sentence where an image holds zeros and ones alone, as a mask does, else nothing.

    It is not refused: a phantom of one value does, too.
    """
    if np.isin(stored.array, (0, 1)).all():
        return (
            f"{stored.source} holds zeros and ones alone and was taken for an image; if it is the "
            "mask of a scan, simulate from an image or a full scan, whose mask is drawn."
        )
    return ""


def _reference(full: Scan, scan: Scan, sampling: MaskDraw) -> Tensor:
    if scan.coil_maps is None and scan.kspace.shape[1] > 1:
        try:
            calibration_region(scan.mask)
        except InputError:
            raise InputError(
                f"calibration is {sampling.calibration}, a calibration region too narrow for coil "
                f"maps, which the image to compare with (reference) needs and {full.source} has "
                "not; give a larger one or leave the reference out."
            ) from None
    return reference_image(full, scan)


def _of_image(
    stored: ImageData,
    sampling: MaskDraw,
    number: int | None,
    coils: int | None,
    sigma: float | None,
    include_maps: bool,
) -> SimulatedScan:
    image, number, coils, sigma = _settled(stored, number, coils, sigma)
    acquisition = simulate_acquisition(image, coils=coils, sigma=sigma, **vars(sampling))
    scan = Scan(
        kspace=acquisition.kspace,
        mask=acquisition.mask,
        coil_maps=acquisition.coil_maps if include_maps else None,
        source=stored.source,
        geometry=slice_geometry(stored, number),
    )
    return SimulatedScan(scan, acquisition.image, "image", number, sigma)


def _along_lines(
    stored: ImageData,
    sampling: MaskDraw,
    number: int | None,
    coils: int | None,
    sigma: float | None,
    include_maps: bool,
    trajectory: str,
) -> SimulatedScan:
    """Simulate a scan along lines of the slices of an image, which share maps and trajectory."""
    image, number, coils, sigma = _settled(stored, number, coils, sigma)
    if image.ndim != 4:
        raise InputError(
            f"{stored.source} is a volume, expected slices (y, x) to be sampled along lines; "
            "choose a slice (number)."
        )
    shape = tuple(image.shape[2:])
    generator = make_generator(sampling.seed)
    truth = (image * simulate_phase(shape, generator=generator)).to(torch.complex64)
    maps = simulate_coil_maps(shape, coils, generator=generator)[None]
    lines = make_trajectory(trajectory, shape, sampling.acceleration)
    if coils > 1 and not include_maps:
        _require_centre(lines, shape, sampling.acceleration)
    most = most_acceleration(trajectory, shape)
    if sampling.acceleration > most:
        raise InputError(
            f"acceleration is {sampling.acceleration:g}, expected at most {most:.3g} for "
            f"trajectory {trajectory} and {max(shape)} pixels, beyond which its {len(lines)} "
            "lines would stay the same; choose a lower one."
        )
    made = acquire_along(
        truth,
        maps,
        lines,
        torch.full((len(truth),), sigma),
        generator=generator,
    )
    scan = NonCartesianScan(
        made.samples,
        made.trajectory,
        shape,
        coil_maps=maps if include_maps else None,
        source=stored.source,
    )
    return SimulatedScan(scan, truth, "image", number, sigma)


def _require_centre(lines: Tensor, shape: tuple[int, ...], acceleration: float) -> None:
    """Refuse so few lines that no coil maps can be estimated, which the file would not hold."""
    try:
        central_width(lines.reshape(-1, 2), shape)
    except InputError:
        raise InputError(
            f"acceleration is {acceleration:g}, which leaves {len(lines)} lines, too few to show "
            "the centre of k-space that coil maps are estimated from; choose a lower one, one "
            "coil (coils), or to write the coil maps (include_maps)."
        ) from None


def _settled(
    stored: ImageData, number: int | None, coils: int | None, sigma: float | None
) -> tuple[Tensor, int | None, int, float]:
    """Return the slices that are simulated, their number, the coils and the noise level."""
    image, number = axial_slices(stored, number)
    coils = COILS if coils is None else coils
    _require_memory(image, coils)
    sigma = RELATIVE_SIGMA * float(image.abs().max()) if sigma is None else sigma
    return image, number, coils, sigma


def _require_memory(image: Tensor, coils: int) -> None:
    """Refuse so many coils that their images do not fit the memory that is free."""
    needed = COPIES * coils * image.numel() * torch.complex64.itemsize
    free = available_memory("cpu")
    if free is not None and needed > free:
        raise InputError(
            f"coils is {coils}, which takes about {needed / GIB:.3g} GiB of memory, but "
            f"{free / GIB:.3g} GiB are free; simulate fewer."
        )
