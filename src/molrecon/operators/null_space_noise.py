r"""The noise level of a scan, as what linear relations between samples leave of its k-space.

Coil maps are smooth and the object is smaller than the field of view, so that neighbouring samples
of all coils obey linear relations everywhere in k-space (Uecker et al., Magn. Reson. Med. 71 (2014)
990; Zhang et al., Magn. Reson. Med. 66 (2011) 1241). They are learned in the calibration region,
where signal is strongest, and applied to windows outside it, where signal is weaker by orders of
magnitude, and what is left of it by orders less. The noise of these windows was not seen when the
relations were learned, so that the mean power that is left is that of noise without a correction.

With ``G`` the Gram matrix of the samples of a window, over all places of it in the calibration
region, and ``w`` a window elsewhere, ``‖G⁻¹w‖² / ‖G⁻¹‖²`` has the expectation σ² for white noise,
and of signal the directions alone that the calibration region does not show. A window is what was
measured of a box; of all boxes those are taken whose samples outnumber most the unknowns of the
image that they depend on.

Windows are taken at several distances from the centre: signal leaks into each differently, noise
alike. How much leaks is judged twice: by what the calibration region leaves of itself, as much less
as the windows are weaker than it, and by how much more the windows differ than noise lets them.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import torch
from torch import Tensor

from molrecon.operators.fourier import centred_slices

WIDEST = {2: 28, 3: 14}
"""Samples per axis that relations are learned from, at most, by number of axes."""
NARROWEST = 12
"""Narrowest region that relations are learned from."""
SHARE = 0.6
"""Share of k-space, per axis, that relations are learned from, at most."""
LARGEST = 208
"""Samples of all coils in one window, at most."""
FILL = 0.75
"""Samples in a window, as a share of its places in the calibration region, at most."""
MOST_COLUMNS = 640
"""Samples of all coils in one box, at most."""
RINGS = (0.0, 0.25, 0.45, 0.65, 0.85, 1.1, 2.0)
"""Distances from the centre of k-space, in half-widths, between which windows are put together."""
WINDOWS, FEWEST = 32, 16
"""Windows of a ring, at most and at least."""
ROUNDING = 1e-13
"""Eigenvalues below this share of their mean are rounding."""
LEAK, LEAK_OF_ONE = 4.0, 10.0
"""Error of the logarithm of a level per leak that the calibration region lets expect; of one coil
the relations rest on the background of the image alone."""
LEAST_ERROR = 0.02
"""Error of a level at least."""
ROUNDS = 8
"""Refinements of the share of every coil in the noise; more would fit the chance in it."""


class RingNoise(NamedTuple):
    """What is left of the windows of every ring, in double precision.

    ``variance`` ``(ring,)`` is the noise power of a sample, if all coils have the same. ``chance``
    and ``leak`` ``(ring,)`` are errors of the logarithm of its root, by the number of samples and
    by the signal that may be in it. ``held`` ``(ring, coil)`` is the power that is left of each
    coil, and ``mixing`` ``(ring, coil, coil)`` the share of the power of every coil, the last axis,
    in it.
    """

    variance: Tensor
    chance: Tensor
    leak: Tensor
    mixing: Tensor
    held: Tensor


def ring_noise(kspace: Tensor, measured: Tensor) -> RingNoise | None:
    """Measure what linear relations leave of windows of k-space; None where they cannot be learned.

    Parameters
    ----------
    kspace
        complex128 ``(coil, *spatial)``, no coil of zeros alone.
    measured
        Boolean ``(*spatial)``.
    """
    region = calibration_cube(measured)
    if region is None:
        return None
    calibration = kspace[(slice(None), *region)]
    found = [
        _of_windows(kspace, measured, calibration, width, places)
        for width, places in _windows(measured, region, len(kspace))
    ]
    return RingNoise(*(torch.stack(part) for part in zip(*found, strict=True))) if found else None


def calibration_cube(measured: Tensor) -> tuple[slice, ...] | None:
    """Return the largest centred cube that was sampled throughout; None where it is narrow."""
    allowed = max(NARROWEST, int(SHARE * min(measured.shape)))
    widest = min(WIDEST.get(measured.ndim, 0), allowed, *measured.shape)
    for width in range(widest, NARROWEST - 1, -1):
        block = centred_slices(measured.shape, [width] * measured.ndim)
        if bool(measured[block].all()):
            return block
    return None


def coil_powers(rings: RingNoise, weights: Tensor) -> Tensor:
    """Return the noise power of every coil, ``(coil,)``.

    What is left of each coil is a mixture of the noise of all, with entries that are not negative.
    It is inverted by a few multiplicative steps towards the likeliest powers (Richardson, J. Opt.
    Soc. Am. 62 (1972) 55).

    Parameters
    ----------
    rings
        What was measured.
    weights
        How far each ring counts, ``(ring,)``.
    """
    mixing = (weights[:, None, None] * rings.mixing).sum(0)
    held = (weights[:, None] * rings.held).sum(0)
    powers = held / mixing.sum(1)
    for _ in range(ROUNDS):
        powers = powers * (mixing.T @ (held / (mixing @ powers))) / mixing.sum(0)
    return powers


def _windows(measured: Tensor, region: tuple[slice, ...], coils: int) -> list[tuple[int, Tensor]]:
    """Return for every ring the width of its windows and where they start, ``(window, axis)``.

    Windows share few samples with the calibration region. The choice depends on the mask alone.
    """
    ndim, width = measured.ndim, region[0].stop - region[0].start
    sampled = measured.float()[None, None]
    # Coil maps join samples to unknowns of the image at neighbouring frequencies.
    unknown = getattr(torch.nn.functional, f"max_pool{ndim}d")(sampled, 3, 1, 1)
    best: dict[int, tuple[float, int, Tensor]] = {}
    generator = torch.Generator().manual_seed(0)
    for size in range(1, width // 2 + 1):
        if coils * size**ndim > MOST_COLUMNS:
            break
        number = _sums(sampled, size, 0)
        fitting = (number > 0) & (coils * number <= min(LARGEST, FILL * (width - size + 1) ** ndim))
        score = coils * number / _sums(unknown, size + 2, 1).clamp_min(1)
        inner, radius = torch.ones_like(fitting), torch.zeros_like(score)
        for axis, n in enumerate(measured.shape):
            middle = torch.arange(n - size + 1, device=measured.device) + (size - 1) / 2 - n // 2
            middle = middle.reshape(-1, *[1] * (ndim - 1 - axis))
            inner = inner & (middle.abs() < width / 2 + size / 4)
            radius = radius + (2 * middle / n).square()
        for ring, (low, high) in enumerate(itertools.pairwise(RINGS)):
            inside = (radius >= low**2) & (radius < high**2)
            places = (fitting & ~inner & inside).nonzero()
            if len(places) < FEWEST:
                continue
            mixed = torch.randperm(len(places), generator=generator).to(places.device)
            places = places[mixed]
            scores = score[tuple(places.T)]
            order = scores.argsort(descending=True, stable=True)[:WINDOWS]
            mean = float(scores[order].mean())
            if ring not in best or mean > best[ring][0]:
                best[ring] = mean, size, places[order]
    return [best[ring][1:] for ring in sorted(best)]


def _sums(values: Tensor, size: int, padding: int) -> Tensor:
    """Return the sum in every box of ``(1, 1, *spatial)``, with a margin of zeros."""
    ndim = values.ndim - 2
    padded = torch.nn.functional.pad(values, [padding] * (2 * ndim))
    means = getattr(torch.nn.functional, f"avg_pool{ndim}d")(padded, size, 1)
    return Tensor(means * size**ndim).round()[0, 0]


def _of_windows(
    kspace: Tensor, measured: Tensor, calibration: Tensor, width: int, places: Tensor
) -> tuple[Tensor, ...]:
    """Measure the windows of one ring; see `RingNoise`."""
    coils, ndim, index = len(kspace), measured.ndim, tuple(places.T)
    matrix = _boxes(calibration, width).flatten(1, ndim).flatten(2).transpose(0, 1).flatten(1)
    rows = len(matrix)
    total = (matrix.T @ matrix.conj() / rows).reshape(coils, -1, coils, width**ndim)
    boxes = _boxes(kspace, width)[(slice(None), *index)].flatten(2)
    sampled = _boxes(measured[None], width)[0][index].flatten(1)
    patterns, which = torch.unique(sampled, dim=0, return_inverse=True)
    left, power, expected, freedom = [], [], [], []
    mixing, held = kspace.real.new_zeros(coils, coils), kspace.real.new_zeros(coils)
    for number, pattern in enumerate(patterns):
        windows = boxes[:, which == number][:, :, pattern].transpose(0, 1).flatten(1)
        count, size = windows.shape
        gram = total[:, pattern][..., pattern].reshape(size, size)
        ridge = ROUNDING * gram.diagonal().real.mean()
        inverse = torch.linalg.inv(gram + ridge * torch.eye(size, device=gram.device))
        squares = inverse.abs().square()
        norm = squares.sum()
        rest = (windows @ inverse.T).abs().square() / norm
        left.append(rest.sum(1))
        power.append(windows.abs().square().mean(1))
        # Relations of nearly as many samples as places have learned these by heart.
        fresh = (1 - size / rows) ** 2
        expected.append((inverse.diagonal().real.sum() / norm / fresh).expand(count))
        alike = (inverse @ inverse).abs().square().sum() / norm.square()
        freedom.append(alike.expand(count))
        shares = squares.reshape(coils, size // coils, coils, -1).sum((1, 3)) / norm
        mixing = mixing + count * shares
        held = held + rest.reshape(count, coils, -1).sum((0, 2))
    values, chance = torch.cat(left), torch.cat(freedom).mean()
    variance, number = values.mean(), len(values)
    spread = torch.maximum(values.var() / variance.square(), chance)
    strength = calibration.abs().square().mean()
    # What is seen of signal at the centre leaks as much less as signal is weaker here.
    signal = torch.cat(power).mean() / strength * (1 - variance / strength).clamp_min(0)
    leak = (LEAK if coils > 1 else LEAK_OF_ONE) * signal * torch.cat(expected).mean() / variance
    chance = (spread / (4 * number) + LEAST_ERROR**2).sqrt()
    return variance, chance, leak, mixing / number, held / number


def _boxes(values: Tensor, width: int) -> Tensor:
    """Return all boxes of ``(coil, *spatial)``, ``(coil, *place, *box)``."""
    for axis in range(1, values.ndim):
        values = values.unfold(axis, width, 1)
    return values
