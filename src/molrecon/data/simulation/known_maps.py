"""Coil maps as a reconstruction knows them: rough, cut off, or estimated from few noisy samples."""

from __future__ import annotations

import torch
from torch import Tensor

from molrecon.data.phase import simulate_smooth_field
from molrecon.data.randomness import uniform
from molrecon.data.simulation.growth import grown
from molrecon.operators.fourier import centred_slices, ifft_centred

_FAINT = (0.02, 0.12)
"""Share of the largest value below which a calibration image counts as background."""
_RIPPLE = 0.5
"""Largest standard deviation of the logarithm of a rough map's magnitude, and of its phase."""


def roughened_maps(maps: Tensor, generator: torch.Generator) -> Tensor:
    """Give smooth maps ``(coil, y, x)`` ripples of a few periods over the image, each its own.

    Conductors, loading and shielding make the fields of real coils rougher than those of loops in
    empty space. The root sum of squares is 1 again.
    """
    shape = tuple(maps.shape[1:])
    strength = uniform((0.1, _RIPPLE), generator)
    ripples = []
    for _ in maps:
        size = simulate_smooth_field(shape, generator, modes=6, periods=3.0)
        angle = simulate_smooth_field(shape, generator, modes=6, periods=3.0)
        ripples.append(torch.polar(torch.exp(strength * size), strength * angle))
    return _unit(maps * torch.stack(ripples))


def calibrated_maps(kspace: Tensor, width: int, margin: int, generator: torch.Generator) -> Tensor:
    """Estimate maps from the centre of k-space, with the faults that such estimates have.

    Low-resolution images of the coils divided by their root sum of squares, their common phase that
    of the strongest combination of coils, zero where the object is faint. It stands for ESPIRiT,
    which takes longer than a training step: the same noise, smoothing at edges, holes and steps of
    the phase, if not the same at every pixel. K-space is ``(coil, y, x)``, its centre ``width``
    samples wide; maps reach ``margin`` pixels beyond what is not faint, and the threshold of that
    is drawn.
    """
    shape = kspace.shape[1:]
    part = centred_slices(shape, [min(width, n) for n in shape])
    block = kspace[(slice(None), *part)]
    for axis, n in enumerate(block.shape[1:]):
        window = torch.hann_window(n + 2, periodic=False)[1:-1]
        block = block * window.reshape(-1, *[1] * (block.ndim - 2 - axis))
    low = torch.zeros_like(kspace)
    low[(slice(None), *part)] = block
    images = ifft_centred(low, len(shape))
    size = torch.linalg.vector_norm(images, dim=0)
    samples = block.flatten(1)
    principal = torch.linalg.eigh(samples @ samples.mH).eigenvectors[:, -1]
    combined = torch.tensordot(principal.conj(), images, dims=1)
    maps = _unit(images * torch.polar(torch.ones_like(size), -combined.angle()))
    return maps * grown(size > uniform(_FAINT, generator) * size.max(), margin)


def _unit(maps: Tensor) -> Tensor:
    size = torch.linalg.vector_norm(maps, dim=0, keepdim=True)
    unit: Tensor = maps / size.clamp_min(torch.finfo(torch.float32).tiny)
    return unit
