r"""The noise level of a scan, measured in the noise subspace of its calibration matrix.

The calibration matrix has as its rows all blocks of the fully sampled centre of k-space of the
width of a kernel, with all coils. Signal fills few of its dimensions, because coil maps are smooth
and the object is smaller than the field of view (Uecker et al., Magn. Reson. Med. 71 (2014) 990),
so that its smallest singular values are those of noise alone. The mean square of the lowest sixth
of them is compared with that of pure noise, in a matrix of the same shape from which as many
dimensions were taken as signal fills: blocks overlap, so that no closed form holds, and pure noise
is drawn once for every shape.

Signal fills a dimension as far as its singular value exceeds the largest of noise: around that
edge the count passes from 0 to 1 linearly, so that the estimate is a continuous function of
k-space.

Coils of different noise are scaled to equal noise first. With G the Gram matrix and τ the edge,
``P = (I + G/τ)⁻²`` is nearly the projection on the noise subspace, and ``tr_c(PG) / tr_c(P)`` over
the entries of a coil is its noise power, up to a factor common to all.

Dimensions into which signal leaks raise the upper half of that sixth above the lower one. The
difference of what both say is the measure of what is not known, with the share of dimensions that
signal fills: where it leaves few, these are hardly free of it.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

UNCERTAIN = 0.3
"""Relative standard error from which on a noise level counts as uncertain."""
WIDEST = {2: 40, 3: 16}
"""Samples per axis that are looked at, at most, by number of axes."""
NARROWEST = 12
"""Narrowest region in which a noise subspace is looked for."""
LARGEST = 256
"""Columns of the calibration matrix, at most."""
LOWEST = 1 / 6
"""Share of the singular values, the smallest, that the level rests on."""
EDGE = 1.1
"""Allowance on the largest singular value of noise, squared."""
RAMP = 0.4
"""Relative range of squared singular values over which one passes from noise to signal."""
FULL = (0.6, 0.8)
"""Share of dimensions with signal from which on what is left is doubted, and at which it says
little."""
ROUNDS = 4
"""Refinements of the number of dimensions of the signal and of the noise of the coils."""
RANKS = 16
"""Numbers of dimensions of the signal for which pure noise is drawn; between them the result is
interpolated."""
DRAWS = 2
"""Draws of pure noise that are averaged."""


class SubspaceNoise(NamedTuple):
    """What the noise subspace says, in double precision.

    ``sigma`` is the noise level of one complex sample, the root mean square over coils,
    ``uncertainty`` its relative standard error, and ``levels`` are the noise levels of the coils
    ``(coil,)``, relative to that root mean square.
    """

    sigma: Tensor
    uncertainty: Tensor
    levels: Tensor


def subspace_noise(calibration: Tensor, levels: Tensor) -> SubspaceNoise | None:
    """Estimate the noise from a fully sampled centre of k-space; None where it is too narrow.

    Parameters
    ----------
    calibration
        complex128 ``(coil, *widths)``, no coil of zeros alone.
    levels
        Positive ``(coil,)``, first guesses of the noise levels of the coils.
    """
    width = kernel_width(calibration.shape)
    if width is None:
        return None
    shape = (*calibration.shape, width)
    coils = len(calibration)
    levels = levels / levels.square().mean().sqrt()
    gram = _gram(calibration, width)
    size = len(gram) // coils
    identity = torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    rank = levels.new_zeros(())
    for number in range(ROUNDS):
        # Rows and columns belong to coils, one block of kernel positions after the other.
        scale = 1 / levels.repeat_interleave(size)
        scaled = gram * scale[:, None] * scale
        values = torch.linalg.eigvalsh(scaled)
        noise = _of_pure_noise(shape, rank)
        edge = EDGE * noise[-1] * _lowest(values).mean() / _lowest(noise).mean()
        rank = ((values / edge - 0.95) / RAMP).clamp(0, 1).sum()
        if coils > 1 and number + 1 < ROUNDS:
            inverse = torch.linalg.inv(identity + scaled / edge)
            weights = inverse @ inverse
            held, share = (
                matrix.diagonal().real.reshape(coils, size).sum(1)
                for matrix in (weights @ scaled, weights)
            )
            levels = levels * (held / share).sqrt()
            levels = levels / levels.square().mean().sqrt()
    found, expected = _lowest(values), _lowest(_of_pure_noise(shape, rank))
    variance = found.mean() / expected.mean()
    half = len(found) // 2
    lower, upper = (
        found[part].mean() / expected[part].mean() for part in (slice(half), slice(half, None))
    )
    spread = (upper / lower).log() / 2
    chance = 1 / (LOWEST * calibration.numel())
    low, high = FULL
    full = UNCERTAIN * ((rank / len(values) - low) / (high - low)).clamp_min(0)
    uncertainty = (chance + spread.square() + full.square()).sqrt()
    return SubspaceNoise(variance.sqrt(), uncertainty, levels)


def kernel_width(shape: Sequence[int]) -> int | None:
    """Return the width of the kernels for calibration data ``(coil, *widths)``; None for none.

    It is the largest whose matrix has at most `LARGEST` columns, and no more of them than rows.
    """
    coils, *widths = shape
    if min(widths) < NARROWEST:
        return None
    fitting = [
        width
        for width in range(2, min(widths))
        if coils * width ** len(widths) <= min(LARGEST, math.prod(n - width + 1 for n in widths))
    ]
    return max(fitting, default=None)


def _blocks(calibration: Tensor, width: int) -> Tensor:
    """Return the calibration matrix, ``(position, coil · kernel)``."""
    ndim = calibration.ndim - 1
    blocks = calibration
    for axis in range(1, ndim + 1):
        blocks = blocks.unfold(axis, width, 1)
    return blocks.flatten(1, ndim).movedim(1, 0).flatten(1)


def _gram(calibration: Tensor, width: int) -> Tensor:
    matrix = _blocks(calibration, width)
    return matrix.mH @ matrix / matrix.shape[0]


def _lowest(values: Tensor) -> Tensor:
    return values[: max(2, int(LOWEST * len(values)))]


def _of_pure_noise(shape: tuple[int, ...], rank: Tensor) -> Tensor:
    """Return the eigenvalues that are left of pure noise, ascending, at a number of dimensions."""
    columns = shape[0] * shape[-1] ** (len(shape) - 2)
    step = columns / RANKS
    # So many dimensions at most that those which the estimate rests on are left twice over.
    place = (rank / step).clamp(0, 0.75 * RANKS - 1e-6)
    below = int(place)
    lower, upper = (_drawn(shape, round((below + more) * step)).to(rank.device) for more in (0, 1))
    return torch.lerp(lower, upper, place - below)


@functools.lru_cache(maxsize=256)
def _drawn(shape: tuple[int, ...], rank: int) -> Tensor:
    """Draw noise, take ``rank`` random dimensions from rows and columns, return eigenvalues.

    They ascend, and the largest is repeated in place of those that were taken.
    """
    *size, width = shape
    generator = torch.Generator().manual_seed(0)

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, dtype=torch.complex128, generator=generator)

    found = []
    for _ in range(DRAWS):
        matrix = _blocks(normal(*size), width)
        rows, columns = matrix.shape
        if rank:
            right = torch.linalg.qr(normal(columns, rank)).Q
            left = torch.linalg.qr(normal(rows, rank)).Q
            matrix = matrix - (matrix @ right) @ right.mH
            matrix = matrix - left @ (left.mH @ matrix)
        values = torch.linalg.eigvalsh(matrix.mH @ matrix / rows)[rank:]
        found.append(torch.cat([values, values[-1:].expand(rank)]))
    return torch.stack(found).mean(0)
