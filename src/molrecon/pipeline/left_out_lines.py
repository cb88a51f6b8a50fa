"""Lines of a scan that are left out, for a reconstruction of the others to predict."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from molrecon.data.non_cartesian_scan import NonCartesianScan
from molrecon.data.randomness import make_generator
from molrecon.errors import InputError
from molrecon.pipeline.left_out import FEWEST, density_of


def left_out_lines(scan: NonCartesianScan, share: float, draw: int) -> Tensor:
    """Return which lines are left out, bool ``(*lines)``; of every frame as many.

    The samples of a line lie close together, so that a part of them would be predicted by the rest
    of the line; therefore whole lines go.

    Parameters
    ----------
    scan
        One slice, volume or series.
    share
        Share of its lines, in (0, 1).
    draw
        Number of the choice, from 0; each leaves out others.

    Raises
    ------
    InputError
        If it has too few lines.
    """
    *lines, samples = scan.trajectory.shape[:-1]
    count = lines[-1] if lines else 1
    frames = math.prod(lines) // count
    number = math.floor(share * count)
    if frames * number < 2 or frames * number * samples < FEWEST:
        found = f"{count} a frame" if scan.axes.time else str(math.prod(lines))
        raise InputError(
            f"{scan.source} is too short to leave some lines out and predict them: it has {found}, "
            f"of which a share of {share:g} was to go; give a scan of more lines."
        )
    order = torch.rand(lines, generator=make_generator(math.prod(lines), draw)).argsort(-1)
    return order.argsort(-1) < number


def line_weights(scan: NonCartesianScan) -> tuple[Tensor, Tensor]:
    """Return of every sample how much of k-space it shows, and how much it stands for beside.

    Both are in points of the grid, ``(*samples)``. The first is the area that a sample has to
    itself, at most about one point. With ρ the share of the points near it that were sampled the
    second is (1 − ρ) / ρ times as large: summed over all samples it is, about, what was not
    measured. At the centre of k-space, where lines lie denser than points, it is zero.

    Parameters
    ----------
    scan
        One slice, volume or series, with coil maps.
    """
    trajectory, axes = scan.trajectory, scan.trajectory.shape[-1]
    shape = scan.shape[-axes:]
    areas = scan.operator().points.areas.reshape(trajectory.shape[:-1])
    planes = trajectory if scan.axes.time else trajectory[None]
    sampled = torch.stack([_density(one.reshape(-1, axes), shape) for one in planes])
    density = sampled.reshape(trajectory.shape[:-1])
    return areas, areas * (1 - density) / density


def _density(positions: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return the sampled share of the grid around each of some positions, ``(samples,)``."""
    sizes = torch.tensor(shape)
    points = (positions.round().long() + sizes // 2).clamp_min(0).minimum(sizes - 1)
    places = tuple(points.T)
    sampled = torch.zeros(shape, dtype=torch.bool)
    sampled[places] = True
    return density_of(sampled, len(shape))[places].double()
