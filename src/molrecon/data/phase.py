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
    phase = simulate_smooth_field(shape, generator, modes=modes)
    constant = 2 * math.pi * torch.rand(1, generator=generator)
    return torch.polar(torch.ones_like(phase), strength * phase + constant)


def simulate_shading(
    shape: Sequence[int], *, generator: torch.Generator, strength: float = 1.0
) -> Tensor:
    """Draw the smooth shading of an image whose surface coils were not corrected for.

    It is float32 of ``shape``, from ``e^-strength`` to 1, its logarithm a smooth field.
    """
    field = simulate_smooth_field(shape, generator)
    low, high = field.aminmax()
    return torch.exp(strength * (field - high) / (high - low).clamp_min(1e-6))


def rough_phase(
    shape: Sequence[int], *, generator: torch.Generator, strength: float, detail: float
) -> Tensor:
    """Draw a phase with detail, as flow, susceptibility and estimated coil maps leave it.

    It is complex64 of ``shape``, of unit modulus; ``strength`` is its standard deviation in
    radians, ``detail`` its smallest wavelength in pixels, at least 2.
    """
    noise = torch.fft.fftn(torch.randn(tuple(shape), generator=generator))
    for axis, n in enumerate(shape):
        low = torch.exp(-0.5 * (torch.fft.fftfreq(n) * detail).square())
        noise = noise * low.reshape(-1, *[1] * (len(shape) - 1 - axis))
    field = torch.fft.ifftn(noise).real
    field = strength * field / field.std().clamp_min(1e-12)
    return torch.polar(torch.ones_like(field), field)


def sign_jumps(image: Tensor, *, generator: torch.Generator) -> Tensor:
    """Draw signs that jump at the borders of tissues, as after an inversion or out of phase.

    Where the values of the real image, its peak about 1, lie in a random interval it is −1, else 1;
    float32.
    """
    ends, _ = (1.2 * torch.rand(2, generator=generator)).sort()
    inside = (image > ends[0]) & (image < ends[1])
    return 1 - 2 * inside.float()


def simulate_smooth_field(
    shape: Sequence[int], generator: torch.Generator, *, modes: int = 4, periods: float = 1.5
) -> Tensor:
    """Draw a real smooth field: a random quadratic polynomial plus a few slow Fourier modes.

    It is float32 of ``shape``, of a standard deviation of about 1; modes have at most so many
    periods over the image.
    """
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
    frequency = periods * math.pi * (2 * torch.rand(modes, ndim, generator=generator) - 1)
    amplitude = (0.8 / max(modes, 1) ** 0.5) * torch.randn(modes, generator=generator)
    shift = 2 * math.pi * torch.rand(modes, generator=generator)
    for mode in range(modes):
        argument = sum((frequency[mode, i] * u for i, u in enumerate(axes)), start=shift[mode])
        phase += amplitude[mode] * torch.cos(argument)
    return phase
