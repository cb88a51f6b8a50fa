"""Random smooth fields: image phase and shading, as the magnet and receive chains leave them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from molrecon.errors import InputError


def simulate_phase(
    shape: Sequence[int],
    *,
    generator: torch.Generator,
    strength: float = 1.0,
    modes: int = 4,
) -> Tensor:
    """Draw a smooth phase: a random quadratic polynomial plus a few slow Fourier modes.

    Parameters
    ----------
    shape
        Image shape, any number of axes.
    generator
        Source of randomness.
    strength
        Scale of the variation: at 1 the phase spans about 3 to 6 radians over the image, at 0 it
        is one random constant.
    modes
        Number of Fourier modes, of at most 1.5 periods over the image along each axis.

    Returns
    -------
    Tensor
        complex64 of ``shape``, of unit modulus.

    Raises
    ------
    InputError
        If ``strength`` is negative.

    Examples
    --------
    >>> phase = simulate_phase((16, 16), generator=torch.Generator().manual_seed(0))
    >>> torch.allclose(phase.abs(), torch.ones(16, 16))
    True
    """
    if strength < 0:
        raise InputError(f"phase: the strength is {strength}; give a number of at least 0.")
    phase = _smooth_field(shape, generator, modes)
    constant = 2 * math.pi * torch.rand(1, generator=generator)
    return torch.polar(torch.ones_like(phase), strength * phase + constant)


def simulate_shading(
    shape: Sequence[int], *, generator: torch.Generator, strength: float = 1.0
) -> Tensor:
    """Draw the smooth shading of an image whose surface coils were not corrected for.

    Parameters
    ----------
    shape
        Image shape, any number of axes.
    generator
        Source of randomness.
    strength
        Natural logarithm of the ratio of the largest to the smallest value.

    Returns
    -------
    Tensor
        float32 of ``shape``, from ``e^-strength`` to 1, its logarithm a smooth field.
    """
    field = _smooth_field(shape, generator, 4)
    low, high = field.aminmax()
    return torch.exp(strength * (field - high) / (high - low).clamp_min(1e-6))


def _smooth_field(shape: Sequence[int], generator: torch.Generator, modes: int) -> Tensor:
    axes = [
        torch.linspace(-1, 1, n).reshape([-1 if axis == here else 1 for here in range(len(shape))])
        for axis, n in enumerate(shape)
    ]
    ndim = len(shape)
    linear = 0.6 * torch.randn(ndim, generator=generator)
    quadratic = 0.6 * torch.randn(ndim, ndim, generator=generator)
    phase = torch.zeros(tuple(shape))
    for i, u in enumerate(axes):
        phase += linear[i] * u
        for j in range(i, ndim):
            phase += quadratic[i, j] * (u * axes[j])
    frequency = 1.5 * math.pi * (2 * torch.rand(modes, ndim, generator=generator) - 1)
    amplitude = (0.8 / max(modes, 1) ** 0.5) * torch.randn(modes, generator=generator)
    shift = 2 * math.pi * torch.rand(modes, generator=generator)
    for mode in range(modes):
        argument = sum((frequency[mode, i] * u for i, u in enumerate(axes)), start=shift[mode])
        phase += amplitude[mode] * torch.cos(argument)
    return phase
