"""The centre of k-space on a grid, from samples that lie anywhere, to estimate coil maps from."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from molrecon.errors import InputError
from molrecon.linear.conjugate_gradient import ConjugateGradient
from molrecon.operators.base import magnitude
from molrecon.operators.fourier import centred_slices, fft_centred
from molrecon.operators.non_cartesian_mri import NonCartesianMRI

WIDTH, NARROWEST = 24, 8
"""Widths of the calibration region, at most and at least, in cycles per field of view."""
FARTHEST = 0.8
"""Distance of a point of the grid from the nearest sample, in cycles per field of view, up to which
the samples show it: half the diagonal of a cell and a little more."""
BEYOND = 4
"""Cycles per field of view by which the samples that are fitted reach beyond the region: k-space of
an object that fills the field of view spreads so far."""
REGULARISATION, ITERATIONS, RTOL = 1e-3, 50, 1e-4
MOST_SAMPLES = 2**17
"""Samples that are fitted, at most: of more, evenly spaced ones."""


def central_width(trajectory: Tensor, shape: Sequence[int]) -> int:
    """Return the width of the block about the centre of k-space that samples show completely.

    Parameters
    ----------
    trajectory
        Real ``(samples, axes)``, cycles per field of view.
    shape
        Pixels along these axes, which the width does not exceed.

    Raises
    ------
    InputError
        If it is less than 8 and less than the image.
    """
    most = min(WIDTH, *shape)
    axes = trajectory.shape[-1]
    offsets = torch.arange(-(most // 2), most - most // 2, dtype=torch.float64)
    grid = torch.cartesian_prod(*[offsets] * axes).reshape(-1, axes)
    near = trajectory[(trajectory.abs() <= most / 2 + 1).all(-1)]
    # One of a quarter of a cycle is enough to tell whether there is any.
    near = torch.unique((4 * near).round(), dim=0) / 4
    shown = torch.zeros(len(grid), dtype=torch.bool)
    for chunk in near.split(2**12):
        shown |= torch.cdist(grid, chunk).amin(1) <= FARTHEST
    holes = grid[~shown]
    reach = torch.where(holes < 0, -2 * holes, 2 * holes + 1).amax(1) if len(holes) else None
    width = most if reach is None else min(most, int(reach.min()) - 1)
    if width < min(NARROWEST, *shape):
        raise InputError(
            f"The trajectory shows the centre of k-space over {max(width, 0)} cycles per field of "
            f"view only, expected at least {NARROWEST} to estimate coil maps; give the coil maps "
            "(coil_maps), or correct the unit of the trajectory."
        )
    return width


@torch.no_grad()
def gridded_centre(kspace: Tensor, trajectory: Tensor, shape: Sequence[int]) -> Tensor:
    """Return the centre of k-space on the grid, complex64 ``(batch, coil, *widths)``.

    It is the least-squares fit of small images, one for each coil, to the samples near the centre,
    their density compensated: gridding alone would smear what lies between sparse lines.
    Its unit is the power of two below the largest sample: coil maps have none.

    Parameters
    ----------
    kspace
        complex64 ``(batch, coil, samples)``.
    trajectory
        Real ``(samples, axes)``, cycles per field of view.
    shape
        Pixels along these axes.

    Raises
    ------
    InputError
        As `central_width`.
    """
    width = central_width(trajectory, shape)
    axes = trajectory.shape[-1]
    size = [min(n, 2 * math.ceil((width + 2 * BEYOND) / 2)) for n in shape]
    inside = (trajectory.abs() <= torch.tensor(size) / 2).all(-1).nonzero().flatten()
    inside = inside[:: max(1, -(-len(inside) // MOST_SAMPLES))]
    # The squares of what a scanner writes need not fit into single precision.
    largest = magnitude(kspace.flatten()[None])
    places, values = trajectory[inside], kspace[..., inside] / largest
    # The density falls with the distance from the centre about as for spokes, and is never zero.
    weights = places.norm(dim=-1).clamp_min(0.5) ** (axes - 1)
    ones = torch.ones(1, 1, *size, dtype=kspace.dtype)
    A = NonCartesianMRI(ones, places, weights / weights.mean())
    rows = values.flatten(0, 1).unsqueeze(1)
    lam = 1 / (REGULARISATION * float(A.norm(tol=1e-2)) ** 2)
    solver = ConjugateGradient(rtol=RTOL, max_iterations=ITERATIONS)
    images = solver(A, lam, lam * A.H(A.weighted(rows))).value
    whole = fft_centred(images, axes).reshape(*kspace.shape[:2], *size)
    every: tuple[slice, ...] = (slice(None), slice(None))
    return whole[every + centred_slices(size, [width] * axes)]


def on_grid(centre: Tensor, shape: Sequence[int]) -> Tensor:
    """Return k-space of a shape, zero but for its centre ``(batch, coil, *widths)``."""
    kspace = centre.new_zeros((*centre.shape[:2], *shape))
    region: tuple[slice, ...] = centred_slices(shape, centre.shape[2:])
    kspace[(slice(None), slice(None), *region)] = centre
    return kspace
