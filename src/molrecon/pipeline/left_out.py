"""Measured samples that are left out, for a reconstruction of the others to predict."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from molrecon.data.randomness import make_generator
from molrecon.data.scan import Scan
from molrecon.errors import InputError
from molrecon.operators.fourier import centred_slices

FEWEST = 64
"""Fewer left-out samples than this tell nothing."""
WINDOW = 7
"""Width in samples of the neighbourhood whose sampled share is the density of a sampling."""
FARTHEST = 16
"""Distance in samples beyond which it does not count how far the next sample is."""
MOST_LIKELY = 0.9
"""Largest probability with which a sample is left out."""


def left_out_samples(part: Scan, share: float) -> Tensor:
    """Return which samples of one item are left out, bool ``(1, 1, *spatial)``.

    Along axes that are sampled alike throughout, all samples are left out together. The choice is
    random, with a seed that follows from the mask.

    Parameters
    ----------
    part
        The scan of one item.
    share
        Share of the samples outside the calibration region, in (0, 1).

    Raises
    ------
    InputError
        If too few samples lie outside the calibration region.
    """
    mask = part.mask[0, 0]
    _, free = _free(part)
    number = _number(part, free, share)
    places = free.nonzero()
    chosen = places[torch.randperm(len(places), generator=make_generator(*_seed(mask)))[:number]]
    left_out = torch.zeros_like(free)
    left_out[tuple(chosen.T)] = True
    return (left_out.expand_as(mask) & mask)[None, None]


def distance_ratio(part: Scan, left_out: Tensor) -> float:
    """Return how much farther left-out samples lie from the others than missing samples do.

    It is the mean distance of the first to the nearest sample that is kept, over that of the second
    to the nearest that was measured: about 1 for random sampling, and 2 or more for a lattice,
    where to leave out a sample makes a hole that the scan does not have. 0 where nothing is
    missing.

    Parameters
    ----------
    part
        The scan of one item.
    left_out
        Which samples are left out, bool ``(1, 1, *spatial)``.
    """
    if bool(part.mask.all()):
        return 0.0
    fourier = part.axes.fourier
    holes = _distances(part.mask & ~left_out, fourier)[left_out].mean()
    return float(holes / _distances(part.mask, fourier)[~part.mask].mean())


def _distances(known: Tensor, fourier: int) -> Tensor:
    """Return the distance of every sample to the nearest known one, the largest along an axis.

    Only along Fourier axes, and no more than `FARTHEST`.
    """
    flat = known.reshape(-1, 1, *known.shape[-fourier:]).float()
    pool = torch.nn.functional.max_pool2d if fourier == 2 else torch.nn.functional.max_pool3d
    distances = torch.zeros_like(flat)
    for _ in range(FARTHEST):
        distances += 1 - flat
        if bool(flat.all()):
            break
        flat = pool(flat, 3, stride=1, padding=1)
    return distances.reshape(known.shape)


def missing_like(part: Scan, share: float, draw: int) -> Tensor:
    """Return weights of left-out samples of one item, ``(1, 1, *spatial)``, 0 for those kept.

    They are left out where samples are missing: with ρ the local density of the sampling, a sample
    is left out with a probability p in proportion to 1 − ρ, and counts (1 − ρ) / (ρ p). So a
    weighted sum over them is, in the mean over draws, a sum over what was not measured, and what is
    dense, as low frequencies are, need not be predicted here either.

    Parameters
    ----------
    part
        The scan of one item.
    share
        Share of the samples outside the calibration region, in (0, 1).
    draw
        Number of the choice, from 0; each leaves out others.

    Raises
    ------
    InputError
        If too few samples lie outside the calibration region.
    """
    mask = part.mask[0, 0]
    units, free = _free(part)
    _number(part, free, share)
    density = density_of(units, part.axes.fourier)
    sparse = (1 - density).clamp_min(0)
    likely = (share * sparse / sparse[free].mean().clamp_min(1e-6)).clamp_max(MOST_LIKELY)
    likely = likely.where(free, 0)
    if float(likely.sum()) < 1:
        raise _too_few(part, free)
    left_out = _drawn(likely, make_generator(*_seed(mask), draw))
    weights = left_out * sparse / (density * likely).clamp_min(1e-6)
    return (weights.expand_as(mask) * mask)[None, None]


def _drawn(likely: Tensor, generator: torch.Generator) -> Tensor:
    """Draw places, each with its probability, as many as the sum of all to the last one.

    (Systematic sampling.) Drawn independently, of few lines none may be left out.
    """
    places = likely.nonzero()
    places = places[torch.randperm(len(places), generator=generator)]
    ends = likely[tuple(places.T)].double().cumsum(0)
    ends = (ends + torch.rand(1, generator=generator, dtype=torch.float64)).floor()
    drawn = torch.zeros_like(likely, dtype=torch.bool)
    drawn[tuple(places.T)] = ends.diff(prepend=ends.new_zeros(1)) > 0
    return drawn


def _free(part: Scan) -> tuple[Tensor, Tensor]:
    """Return what is sampled, one for all along axes sampled alike, and what of it may go."""
    mask = part.mask[0, 0]
    units = mask
    for axis in range(mask.ndim):
        if part.is_sampled_along(axis):
            units = units.narrow(axis, mask.shape[axis] // 2, 1)
    return units, units & ~_centre(units, part)


def _number(part: Scan, free: Tensor, share: float) -> int:
    """Return how many of the free samples are left out; too few are refused."""
    number = math.floor(share * int(free.sum()))
    samples = number * part.mask[0, 0].numel() // max(free.numel(), 1)
    if number < 2 or samples < FEWEST:
        raise _too_few(part, free)
    return number


def _too_few(part: Scan, free: Tensor) -> InputError:
    what = "samples" if free.shape == part.mask[0, 0].shape else "sampled lines"
    return InputError(
        f"{part.source} has {int(free.sum())} {what} outside its calibration region, too few to "
        "leave some out and predict them"
    )


def _seed(mask: Tensor) -> tuple[int, int]:
    packed = np.packbits(mask.cpu().numpy()).view(np.uint8)
    return int(np.bitwise_xor.reduce(packed)), int(packed.sum(dtype=np.int64))


def density_of(units: Tensor, fourier: int) -> Tensor:
    """Return the sampled share of the neighbourhood of every sample along the Fourier axes.

    Parameters
    ----------
    units
        Whether it was sampled, bool ``(…, *fourier axes)``.
    fourier
        Number of Fourier axes.
    """
    density = units.float()
    for axis in range(units.ndim - fourier, units.ndim):
        lines = density.movedim(axis, -1)
        smooth = torch.nn.functional.avg_pool1d(
            lines.reshape(-1, 1, lines.shape[-1]),
            WINDOW,
            stride=1,
            padding=WINDOW // 2,
            count_include_pad=False,
        )
        density = smooth.reshape(lines.shape).movedim(-1, axis)
    return density


def _centre(units: Tensor, part: Scan) -> Tensor:
    """Return the largest centred box of the units, of equal width on all axes, that is sampled."""
    first = units.ndim - part.axes.fourier
    measured = units.flatten(0, first - 1).all(0) if first else units
    best = torch.zeros_like(measured)
    for width in range(max(measured.shape), 0, -1):
        box = centred_slices(measured.shape, [min(width, n) for n in measured.shape])
        if bool(measured[box].all()):
            best[box] = True
            break
    return best.expand_as(units)
