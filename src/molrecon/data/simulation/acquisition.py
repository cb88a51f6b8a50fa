"""Simulated undersampled multi-coil acquisitions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from molrecon.data.coil_maps import combine_coils
from molrecon.data.masks import make_mask
from molrecon.data.phase import simulate_phase
from molrecon.data.randomness import integer, make_generator
from molrecon.data.simulation.batch import Batch
from molrecon.data.simulation.coil_maps import simulate_coil_maps
from molrecon.data.simulation.noise import add_noise
from molrecon.errors import InputError
from molrecon.operators.cartesian_mri import CartesianMRI
from molrecon.operators.fourier import fft_centred
from molrecon.operators.multi_coil import MultiCoilMRI

_MASK_SEEDS = (0, 2**31 - 1)


@dataclass(frozen=True)
class Acquisition(Batch):
    """A batch of scans and the images they came from.

    Attributes
    ----------
    image
        complex64 ``(batch, 1, *spatial)``, the truth, zero where all maps are.
    sigma
        float32 ``(batch,)``, noise per complex k-space sample, in the units of ``image``.
    full_scan
        complex64 ``(batch, 1, *spatial)``, what a full scan with the same noise would have given:
        all samples combined with the maps.
    kspace
        complex64 ``(batch, coil, *spatial)``, noisy, zero where not sampled.
    coil_maps
        complex64 ``(batch, coil, *spatial)``, root sum of squares 1, or 0 outside the support.
    mask
        bool ``(batch, 1, *spatial)``, true where sampled.
    transformed
        Number of Fourier axes, the last ones; None for all.

    Examples
    --------
    >>> from molrecon import simulate_acquisition
    >>> image = torch.hann_window(16)[:, None] * torch.hann_window(16)
    >>> how = {"acceleration": 2, "mask_kind": "variable-density", "calibration": 6}
    >>> scan = simulate_acquisition(image, coils=4, sigma=0.01, seed=0, **how)
    >>> scan.y.shape, scan.A.shape_in, (scan.y != 0).float().mean().item()
    (torch.Size([1, 4, 16, 16]), (1, 16, 16), 0.5)
    """

    full_scan: Tensor
    kspace: Tensor
    coil_maps: Tensor
    mask: Tensor
    transformed: ClassVar[int | None] = None
    targets: ClassVar[Mapping[str, str]] = {**Batch.targets, "full-scan": "full_scan"}

    @property
    def y(self) -> Tensor:
        """The k-space."""
        return self.kspace

    @property
    def A(self) -> MultiCoilMRI:  # noqa: N802 - the field's name
        """The operator of maps and mask."""
        return CartesianMRI(self.coil_maps, self.mask)


def acquire(
    image: Tensor,
    coil_maps: Tensor,
    mask: Tensor,
    sigma: Tensor,
    *,
    generator: torch.Generator,
    support: Tensor | None = None,
    kind: type[Acquisition] = Acquisition,
) -> Acquisition:
    """Measure images with given maps and masks: ``mask · (FFT(maps · image) + noise)``.

    Parameters
    ----------
    image
        complex64 ``(batch, 1, *spatial)``.
    coil_maps
        complex64 ``(batch, coil, *spatial)``.
    mask
        Boolean ``(batch, 1, *spatial)``, true where k-space is sampled.
    sigma
        float32 ``(batch,)``, noise per complex k-space sample, in the units of ``image``.
    generator
        Source of the noise.
    support
        Boolean ``(batch, 1, *spatial)``, where the maps are known to a reconstruction; what lies
        outside is measured nevertheless. By default everywhere.
    kind
        The class that is returned; it says which axes are Fourier axes.

    Examples
    --------
    >>> from molrecon import make_mask, simulate_coil_maps
    >>> generator = torch.Generator().manual_seed(0)
    >>> maps = simulate_coil_maps((16, 16), 4, generator=generator)[None]
    >>> mask = make_mask("random", (16, 16), 2, calibration=4)[None, None]
    >>> image = torch.ones(1, 1, 16, 16, dtype=torch.complex64)
    >>> scan = acquire(image, maps, mask, torch.tensor([0.01]), generator=generator)
    >>> round((scan.y - scan.A(image)).abs().square().mean().sqrt().item(), 3)
    0.007
    """
    ndim = kind.transformed or image.ndim - 2
    per_sample = sigma.reshape(-1, *[1] * (image.ndim - 1))
    full = add_noise(fft_centred(coil_maps * image, ndim), per_sample, generator=generator)
    if support is not None:
        coil_maps, image = coil_maps * support, image * support
    return kind(
        image=image,
        sigma=sigma,
        full_scan=combine_coils(full, coil_maps, transformed=ndim),
        kspace=full * mask,
        coil_maps=coil_maps,
        mask=mask,
    )


def simulate_acquisition(
    image: Tensor,
    *,
    coils: int,
    acceleration: float,
    mask_kind: str,
    calibration: int,
    sigma: float,
    seed: int,
    phase: bool = True,
) -> Acquisition:
    """Simulate an undersampled multi-coil scan of an image.

    Parameters
    ----------
    image
        Real or complex, in any units: ``(y, x)``, ``(z, y, x)`` or a batch
        ``(batch, 1, *spatial)``. Each image of a batch has maps, phase and mask of its own.
    coils
        Number of receive coils, at least 1.
    acceleration
        Size of k-space over the number of its sampled points, at least 1.
    mask_kind
        One of `molrecon.data.masks.MASK_KINDS`.
    calibration
        Width of the fully sampled centre of k-space, in samples.
    sigma
        Noise per complex k-space sample, ``sqrt(E|n|²)``, in the units of ``image``.
    seed
        Non-negative; the same seed gives the same acquisition.
    phase
        Whether to multiply the image by a random smooth phase.

    Returns
    -------
    Acquisition
        Its ``image`` includes the simulated phase.

    Raises
    ------
    InputError
        If the image has not two or three spatial axes or holds NaN or infinite values, or an
        option is out of its range.

    Examples
    --------
    >>> image = torch.hann_window(32)[:, None] * torch.hann_window(32)
    >>> how = {"acceleration": 4, "mask_kind": "variable-density", "calibration": 8}
    >>> scan = simulate_acquisition(image, coils=8, sigma=0.01, seed=0, **how)
    >>> scan.kspace.shape, scan.mask.float().mean().item()
    (torch.Size([1, 8, 32, 32]), 0.25)
    """
    image = _checked(image)
    generator = make_generator(seed)
    batch, spatial = image.shape[0], tuple(image.shape[2:])
    truth = image.to(torch.complex64)
    if phase:
        phases = [simulate_phase(spatial, generator=generator) for _ in range(batch)]
        truth = truth * torch.stack(phases).unsqueeze(1)
    maps = [simulate_coil_maps(spatial, coils, generator=generator) for _ in range(batch)]
    seeds = [integer(_MASK_SEEDS, generator) for _ in range(batch)]
    masks = [
        make_mask(mask_kind, spatial, acceleration, calibration=calibration, seed=own)
        for own in seeds
    ]
    return acquire(
        truth,
        torch.stack(maps),
        torch.stack(masks).unsqueeze(1),
        torch.full((batch,), float(sigma)),
        generator=generator,
    )


def _checked(image: Tensor) -> Tensor:
    """Return an image as ``(batch, 1, *spatial)``, or refuse it."""
    if image.ndim in (2, 3):
        image = image[None, None]
    if image.ndim not in (4, 5) or image.shape[1] != 1:
        raise InputError(
            f"simulation: the image has shape {tuple(image.shape)}; give (y, x), (z, y, x) or "
            "(batch, 1, *spatial)."
        )
    if not bool(torch.isfinite(torch.view_as_real(image) if image.is_complex() else image).all()):
        raise InputError("simulation: the image holds NaN or infinite values; remove them first.")
    return image
