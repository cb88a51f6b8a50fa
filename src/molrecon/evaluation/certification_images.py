"""The images at which a model is measured when it is certified."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from molrecon.data.axes import Axes
from molrecon.data.formats import scan_items
from molrecon.data.sample_image import sample_image
from molrecon.data.scan import Scan
from molrecon.data.simulation import simulate_acquisition
from molrecon.data.simulation.super_resolution import decimate
from molrecon.errors import InputError
from molrecon.evaluation.scan_slice import prepared_item, problem_of
from molrecon.operators.base import LinearOperator
from molrecon.operators.cartesian_mri import CartesianMRI
from molrecon.pipeline.match import match_whole, require_complex
from molrecon.pipeline.measurements import require_coil_maps
from molrecon.progress import Progress

SIMULATED = ((2.0, 0.002), (4.0, 0.01), (6.0, 0.04))
"""Acceleration, and noise relative to the peak, of the images measured when none are given."""

FACTOR = 3
"""Decimation of the picture."""


@dataclass(frozen=True, eq=False)
class CertificationImage:
    """A slice or volume, by its measurements."""

    name: str  # what reports call it
    y: Tensor  # ``(1, *A.shape_out)``
    A: LinearOperator
    # noise per measured sample, in the units of y; None to have it estimated
    sigma: float | None = None


def simulated_images(ndim: int, channels: int = 2) -> Iterator[CertificationImage]:
    """Simulate measurements of the sample image for a network of so many axes and real channels.

    Complex images (2 channels) are scans of 128 × 128 pixels, or of 8 × 32 × 32 in three
    dimensions; real ones (1) are pictures of 126 × 126 pixels of which a ninth is measured
    (`SuperResolution`).
    """
    if channels == 1 and ndim == 2:
        yield from _pictures()
        return
    if channels != 2:
        raise InputError(
            f"The network takes {channels} channels, expected 1 or 2 (with 2 spatial axes) for the "
            "sample images; give scans of your own."
        )
    if ndim not in (2, 3):
        raise InputError(
            f"The model has {ndim} spatial axes, expected 2 or 3 for the sample images; give scans "
            "of your own."
        )
    image = sample_image()[::2, ::2]
    if ndim == 3:
        window = torch.hann_window(8, periodic=False).clamp_min(0.1)
        image = window[:, None, None] * image[::4, ::4]
    for number, (acceleration, sigma) in enumerate(SIMULATED):
        scan = simulate_acquisition(
            image,
            coils=4,
            acceleration=acceleration,
            mask_kind="variable-density",
            calibration=16 if ndim == 2 else 6,
            sigma=sigma,
            seed=number,
        )
        yield CertificationImage(
            f"simulated head, {acceleration:g}×, σ = {sigma:g}",
            scan.kspace,
            CartesianMRI(scan.coil_maps, scan.mask),
            sigma,
        )


def _pictures() -> Iterator[CertificationImage]:
    image = sample_image()[None, None, ::2, ::2][..., 1:-1, 1:-1]
    for number, (_, sigma) in enumerate(SIMULATED):
        generator = torch.Generator().manual_seed(number)
        small = decimate(image, FACTOR, torch.tensor([sigma]), generator=generator)
        yield CertificationImage(
            f"simulated picture, {FACTOR}×, σ = {sigma:g}", small.y, small.A, sigma
        )


def read_scans(files: Sequence[str], axes: Axes, channels: int, model: str) -> dict[str, Scan]:
    """Return every slice or volume of files in the axes of a model of MRI, by name.

    They are checked and prepared as `reconstruct` does.
    """
    if files:
        require_complex(channels, model)
    found = {}
    for file in files:
        items = scan_items(file)
        for number in range(len(items)):
            scan = match_whole(prepared_item(items, number), axes, model)
            require_coil_maps(scan)
            name = f"{items.source}, {scan.axes.item} {number}"
            found[name if len(items) > 1 else items.source] = scan
    return found


def images_of(
    scans: Mapping[str, Scan], device: str, progress: Progress
) -> Iterator[CertificationImage]:
    """Return measurements of scans of one item; coil maps are estimated where there are none."""
    for number, (name, scan) in enumerate(scans.items()):
        if scan.coil_maps is None:
            progress(f"{name}: coil maps", number, len(scans))
        yield CertificationImage(name, *problem_of(scan, device), scan.sigma)
