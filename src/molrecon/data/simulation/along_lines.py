"""Simulated multi-coil MRI along spokes, spirals or any other lines through k-space."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from molrecon.data.simulation.batch import Batch
from molrecon.data.simulation.noise import add_noise
from molrecon.operators.base import per_sample
from molrecon.operators.non_cartesian_mri import NonCartesianMRI


@dataclass(frozen=True)
class NonCartesianAcquisition(Batch):
    """A batch of scans along the same lines, and the images they came from.

    Attributes
    ----------
    image
        complex64 ``(batch, 1, y, x)``, the truth, zero where all maps are.
    sigma
        float32 ``(batch,)``, noise per complex sample, in the units of ``image``.
    samples
        complex64 ``(batch, coil, lines, samples)``, noisy.
    coil_maps
        complex64 ``(batch or 1, coil, y, x)``.
    trajectory
        float64 ``(lines, samples, 2)``, as `NonCartesianMRI` takes it.

    Examples
    --------
    >>> from molrecon import radial_trajectory, simulate_coil_maps
    >>> generator = torch.Generator().manual_seed(0)
    >>> maps = simulate_coil_maps((16, 16), 4, generator=generator)[None]
    >>> image, sigma = torch.ones(1, 1, 16, 16) + 0j, torch.tensor([0.01])
    >>> spokes = radial_trajectory((16, 16), 8)
    >>> scan = acquire_along(image, maps, spokes, sigma, generator=generator)
    >>> scan.y.shape, scan.A.shape_in
    (torch.Size([1, 4, 8, 32]), (1, 16, 16))
    """

    samples: Tensor
    coil_maps: Tensor
    trajectory: Tensor

    @property
    def y(self) -> Tensor:
        """The samples."""
        return self.samples

    @property
    def A(self) -> NonCartesianMRI:  # noqa: N802 - the field's name
        """The operator of maps and lines."""
        return NonCartesianMRI(self.coil_maps, self.trajectory)


def acquire_along(
    image: Tensor,
    coil_maps: Tensor,
    trajectory: Tensor,
    sigma: Tensor,
    *,
    generator: torch.Generator,
    support: Tensor | None = None,
) -> NonCartesianAcquisition:
    """Measure images with given maps along given lines: ``A image + noise``.

    Parameters
    ----------
    image
        complex64 ``(batch, 1, y, x)``.
    coil_maps
        complex64 ``(batch or 1, coil, y, x)``.
    trajectory
        Real ``(lines, samples, 2)`` in cycles per field of view, of all images.
    sigma
        float32 ``(batch,)``, noise per complex sample, in the units of ``image``.
    generator
        Source of the noise.
    support
        Boolean ``(batch, 1, y, x)``, where the maps are known to a reconstruction; what lies
        outside is measured nevertheless. By default everywhere.

    Raises
    ------
    InputError
        If the shapes do not fit, or finufft is not installed.
    """
    clean = NonCartesianMRI(coil_maps, trajectory)(image)
    samples = add_noise(clean, per_sample(sigma, clean), generator=generator)
    if support is not None:
        coil_maps, image = coil_maps * support, image * support
    return NonCartesianAcquisition(image, sigma, samples, coil_maps, trajectory)
