"""Random smooth receive sensitivities of a coil array around the field of view."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from molrecon.data.randomness import uniform
from molrecon.errors import InputError


def simulate_coil_maps(
    shape: Sequence[int],
    coils: int,
    *,
    generator: torch.Generator,
    distance: tuple[float, float] = (1.05, 1.6),
    loop_size: tuple[float, float] = (0.35, 0.75),
) -> Tensor:
    """Draw receive sensitivities of loops placed on an elliptic cylinder around the image.

    Each loop is a smeared magnetic dipole that points at the axis of the bore: its field is the
    curl of ``m × r / (|r|² + a²)^{3/2}`` for a loop of radius ``a``, and its sensitivity is the
    transverse component ``B_x - i B_y``, by reciprocity (Hoult & Richards, J Magn Reson 1976).
    So neighbours overlap and phases vary as those of real loops do. Positions, tilts, sizes,
    gains and cable phases are random. A slowly varying phase is added to each coil.

    Parameters
    ----------
    shape
        Image shape, ``(y, x)`` or ``(z, y, x)``; loops surround the last two axes and, in three
        dimensions, stand in up to three rows along the first.
    coils
        Number of coils, at least 1.
    generator
        Source of randomness; the global one is never used.
    distance
        Smallest and largest semi-axis of the ring, in units of half the field of view.
    loop_size
        Smallest and largest loop radius in units of half the longer transverse axis, for eight
        coils; it shrinks slowly with more coils, as those of real arrays do.

    Returns
    -------
    Tensor
        complex64 ``(coils, *shape)`` whose root sum of squares over coils is 1 at every pixel, so
        that the norm of the masked multi-coil Fourier operator is at most 1.

    Raises
    ------
    InputError
        If ``shape`` has not two or three positive entries or ``coils`` is below 1.

    Examples
    --------
    >>> maps = simulate_coil_maps((32, 32), 8, generator=torch.Generator().manual_seed(0))
    >>> torch.allclose(maps.abs().square().sum(0), torch.ones(32, 32))
    True
    """
    if len(shape) not in (2, 3) or min(shape) < 1:
        raise InputError(
            f"coil maps: the image shape is {tuple(shape)}; give two or three positive sizes."
        )
    if coils < 1:
        raise InputError(f"coil maps: {coils} coils were asked for; give at least 1.")
    loops = _drawn_loops(shape, coils, distance, loop_size, generator)
    y, x, z = _coordinates(shape)

    def per_coil(values: Tensor) -> Tensor:
        return values.reshape(-1, *[1] * len(shape))

    offset_y = y - per_coil(loops.y) - loops.centre[0]
    offset_x = x - per_coil(loops.x) - loops.centre[1]
    offset_z = z - per_coil(loops.z)
    m_y, m_x = per_coil(torch.sin(loops.normal)), per_coil(torch.cos(loops.normal))
    a2 = per_coil(loops.radius.square())
    r2 = offset_y.square() + offset_x.square() + offset_z.square()
    along = 3 * (m_y * offset_y + m_x * offset_x)
    own = 2 * a2 - r2
    field = torch.complex(along * offset_x + own * m_x, -(along * offset_y + own * m_y))

    gain = torch.exp(0.15 * torch.randn(coils, generator=generator))
    smeared = r2 + a2
    strength = per_coil(gain) / (smeared * smeared * smeared.sqrt())
    cable = 2 * math.pi * torch.rand(coils, generator=generator)
    slopes = 0.3 * torch.randn(2, coils, generator=generator)
    phase = per_coil(cable) + per_coil(slopes[0]) * y + per_coil(slopes[1]) * x
    return _of_unit_sum_of_squares(field * torch.polar(strength, phase))


class _Loops(NamedTuple):
    """Places, directions and radii of loops, ``(coil,)``, in units of half the longest side.

    ``centre`` is y and x of the point that the places are relative to.
    """

    centre: Tensor
    y: Tensor
    x: Tensor
    z: Tensor
    normal: Tensor
    radius: Tensor


def _drawn_loops(
    shape: Sequence[int],
    coils: int,
    distance: tuple[float, float],
    loop_size: tuple[float, float],
    generator: torch.Generator,
) -> _Loops:
    longest = max(shape[-2:])
    # A slice of unknown orientation still lies at some height within the array.
    half_z = shape[0] / longest if len(shape) == 3 else 0.5
    angle, height = _ring_positions(coils, half_z, generator)
    semi_y = uniform(distance, generator) * shape[-2] / longest
    semi_x = uniform(distance, generator) * shape[-1] / longest
    radius_jitter = 1 + 0.08 * torch.randn(coils, generator=generator).clamp(-2, 2)
    centre = 0.1 * torch.randn(2, generator=generator).clamp(-2, 2)
    normal = angle + 0.15 * torch.randn(coils, generator=generator)
    size = uniform(loop_size, generator) * (8 / max(coils, 4)) ** 0.5
    radius = size * (1 + 0.15 * torch.randn(coils, generator=generator).clamp(-2, 2))
    y = semi_y * radius_jitter * torch.sin(angle)
    x = semi_x * radius_jitter * torch.cos(angle)
    return _Loops(centre, y, x, height, normal, radius)


def _coordinates(shape: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
    """Return y, x and z of the pixels, to be broadcast, in units of half the longest side."""
    longest = max(shape[-2:])
    axes = [
        ((torch.arange(n, dtype=torch.float32) - (n - 1) / 2) * (2 / longest)).reshape(
            [-1 if axis == here else 1 for here in range(len(shape))]
        )
        for axis, n in enumerate(shape)
    ]
    return axes[-2], axes[-1], axes[0] if len(shape) == 3 else torch.zeros(1, 1)


def _of_unit_sum_of_squares(maps: Tensor) -> Tensor:
    total = torch.view_as_real(maps).square().sum(0).sum(-1).sqrt()
    # The floor matters only where the fields of all loops vanish at once (one coil, its null).
    floor = torch.finfo(torch.float32).tiny
    return torch.where(total > floor, maps / total.clamp_min(floor), len(maps) ** -0.5)


def _ring_positions(coils: int, half_z: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Angles and heights of the loops: equal steps with jitter, rows staggered by half a step."""
    rows = min(3, max(1, coils // 6)) if half_z > 0.5 else 1
    row = torch.arange(coils) % rows
    per_row = torch.bincount(row, minlength=rows)[row]
    step = 2 * math.pi / per_row
    turn = 2 * math.pi * torch.rand(1, generator=generator)
    jitter = 0.2 * torch.randn(coils, generator=generator).clamp(-2, 2)
    angle = turn + step * (torch.arange(coils) // rows + 0.5 * row + jitter)
    height = half_z * ((2 * row + 1) / rows - 1)
    height = height + 0.2 * half_z * torch.randn(coils, generator=generator)
    return angle, height
