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
alike. How much leaks is judged three times: by what the calibration region leaves of itself, as
much less as the windows are weaker than it; by how much more the windows differ than noise lets
them; and by what relations leave of the same windows that were learned in a smaller part of the
calibration region. Of noise that is as much, whatever they were learned from; of signal it is more,
the less they were learned from.
"""

from __future__ import annotations

import itertools
import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
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
CANDIDATES, SHARED = 128, 0.5
"""Best windows of a ring that are looked at, and samples that two of them share, at most, unless
too few are left."""
CUT = 12
"""Places of a window along an axis of the calibration region per place that is left out at either
end to see what relations leave that were learned from less."""
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
    by the signal that may be in it. ``slope`` ``(ring,)`` is the derivative of that logarithm by
    the one of the number of places that relations are learned from, negative: zero for noise.
    ``held`` ``(ring, coil)`` is the power that is left of each coil, and ``mixing``
    ``(ring, coil, coil)`` the share of the power of every coil, the last axis, in it.
    """

    variance: Tensor
    chance: Tensor
    leak: Tensor
    slope: Tensor
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
        for width, places in _windows(measured, region[0].stop - region[0].start, len(kspace))
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


def coil_powers(mixing: Tensor, held: Tensor) -> Tensor:
    """Return the noise power of every coil, ``(ring, coil)``.

    What is left of each coil, ``held`` ``(ring, coil)``, is a mixture of the noise of all, with
    entries ``mixing`` ``(ring, coil, coil)`` that are not negative. It is inverted by a few
    multiplicative steps towards the likeliest powers (Richardson, J. Opt. Soc. Am. 62 (1972) 55).
    """
    powers = held / mixing.sum(2)
    for _ in range(ROUNDS):
        explained = (mixing @ powers[..., None])[..., 0]
        factor = (mixing.mT @ (held / explained)[..., None])[..., 0]
        powers = powers * factor / mixing.sum(1)
    return powers


def least_powers(rings: RingNoise, weights: Tensor, agree: float) -> Tensor:
    """Return the noise power of every coil, ``(coil,)``.

    Signal leaks into coils differently, and less into some rings than into others: of the powers
    that rings show the smallest counts, with those that agree with it.

    Parameters
    ----------
    rings
        What was measured.
    weights
        How far each ring counts, ``(ring,)``.
    agree
        Difference of the logarithms at which a power counts a factor e less, beyond its error by
        chance.
    """
    powers = coil_powers(rings.mixing, rings.held).log()
    coils = powers.shape[1]
    # Of one coil there are so many times fewer samples.
    chance = 2 * rings.chance[:, None] * coils**0.5
    excess = (powers - (powers + chance).amin(0)).clamp_min(0)
    shares = weights[:, None] * (-(excess / (2 * agree)).square()).exp()
    return Tensor((shares * powers).sum(0) / shares.sum(0)).exp()


def _windows(measured: Tensor, width: int, coils: int) -> list[tuple[int, Tensor]]:
    """Return for every ring the width of its windows and where they start, ``(window, axis)``.

    Windows share few samples with the calibration region, of that width. The choice depends on
    the mask alone, and the slices of a file often have the same: it is kept.
    """
    packed = np.packbits(measured.cpu().numpy()).tobytes()
    chosen = _chosen_windows(packed, tuple(measured.shape), width, coils)
    return [(size, places.to(measured.device)) for size, places in chosen]


@lru_cache(maxsize=4)
def _chosen_windows(
    packed: bytes, shape: tuple[int, ...], width: int, coils: int
) -> list[tuple[int, Tensor]]:
    """Return `_windows` of a mask given by its bits."""
    bits = np.unpackbits(np.frombuffer(packed, np.uint8), count=math.prod(shape))
    measured = torch.from_numpy(bits).reshape(shape).to(torch.bool)
    ndim = measured.ndim
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
            middle = torch.arange(n - size + 1) + (size - 1) / 2 - n // 2
            middle = middle.reshape(-1, *[1] * (ndim - 1 - axis))
            inner = inner & (middle.abs() < width / 2 + size / 4)
            radius = radius + (2 * middle / n).square()
        for ring, (low, high) in enumerate(itertools.pairwise(RINGS)):
            inside = (radius >= low**2) & (radius < high**2)
            places = (fitting & ~inner & inside).nonzero()
            if len(places) < FEWEST:
                continue
            places = places[torch.randperm(len(places), generator=generator)]
            scores = score[tuple(places.T)]
            order = scores.argsort(descending=True, stable=True)[:CANDIDATES]
            order = order[_apart(shared_samples(measured, size, places[order]))]
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


def shared_samples(measured: Tensor, size: int, places: Tensor) -> Tensor:
    """Return the share of samples that windows have in common, ``(window, window)``."""
    inside = torch.cartesian_prod(*[torch.arange(size, device=places.device)] * measured.ndim)
    index = places[:, None] + inside.reshape(1, -1, measured.ndim)
    sampled = measured[tuple(index.movedim(-1, 0))]
    steps = torch.tensor(measured.stride(), device=places.device)
    number = torch.unique((index * steps).sum(-1), return_inverse=True)[1]
    holds = torch.zeros(len(places), int(number.max()) + 1, dtype=torch.float64)
    holds = holds.to(places.device).scatter_(1, number, sampled.double())
    common = holds @ holds.T
    own = common.diagonal()
    return common / (own[:, None] * own).sqrt()


def _apart(shared: Tensor) -> Tensor:
    """Return up to `WINDOWS` windows, the first first, that share few samples."""
    apart: list[int] = []
    rest: list[int] = []
    close = (shared > SHARED).tolist()
    for window, row in enumerate(close):
        (rest if any(row[other] for other in apart) else apart).append(window)
    return torch.tensor((apart + rest[: max(0, FEWEST - len(apart))])[:WINDOWS])


def _of_windows(
    kspace: Tensor, measured: Tensor, calibration: Tensor, width: int, places: Tensor
) -> tuple[Tensor, ...]:
    """Measure the windows of one ring; see `RingNoise`."""
    coils, ndim, index = len(kspace), measured.ndim, tuple(places.T)
    rows, total = _gram(calibration, width)
    cut = max(1, round((calibration.shape[1] - width + 1) / CUT))
    fewer, smaller = _gram(calibration[(slice(None), *[slice(cut, -cut)] * ndim)], width)
    boxes = _boxes(kspace, width)[(slice(None), *index)].flatten(2)
    sampled = _boxes(measured[None], width)[0][index].flatten(1)
    patterns, which = torch.unique(sampled, dim=0, return_inverse=True)
    left, power, expected, freedom, both = [], [], [], [], []
    mixing, held = kspace.real.new_zeros(coils, coils), kspace.real.new_zeros(coils)
    for number, pattern in enumerate(patterns):
        windows = boxes[:, which == number][:, :, pattern].transpose(0, 1).flatten(1)
        count, size = windows.shape
        inverse = _relations(total, pattern)
        squares = _power(inverse)
        norm = squares.sum()
        rest = _power(windows @ inverse.T) / norm
        left.append(rest.sum(1))
        if number % 2 == 0:
            # Half of them show as well what is left by relations that were learned from less.
            other = _relations(smaller, pattern)
            again = _power(windows @ other.T).sum() / _power(other).sum()
            both.append(torch.stack([again, rest.sum()]))
        power.append(windows.abs().square().mean(1))
        # Relations of nearly as many samples as places have learned these by heart.
        fresh = (1 - size / rows) ** 2
        expected.append((inverse.diagonal().real.sum() / norm / fresh).expand(count))
        # Of a number that says how much chance there is, single precision is more than enough.
        unit = (inverse / norm.sqrt()).to(torch.complex64)
        alike = _power(unit @ unit).sum().double()
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
    # Windows that share samples are as many as their overlaps, squared, leave.
    independent = number**2 / shared_samples(measured, width, places).square().sum()
    chance = (spread / (4 * independent) + LEAST_ERROR**2).sqrt()
    again, once = torch.stack(both).sum(0)
    slope = (again / once).log() / 2 / math.log(rows / fewer)
    return variance, chance, leak, slope, mixing / number, held / number


def _gram(region: Tensor, width: int) -> tuple[int, Tensor]:
    """Return the number of boxes in a region, and their Gram matrix by coil, place, coil, place."""
    coils, ndim = len(region), region.ndim - 1
    matrix = _boxes(region, width).flatten(1, ndim).flatten(2).transpose(0, 1).flatten(1)
    rows = len(matrix)
    return rows, (matrix.T @ matrix.conj() / rows).reshape(coils, -1, coils, width**ndim)


def _relations(total: Tensor, pattern: Tensor) -> Tensor:
    """Return the inverse of the Gram matrix of the samples of a box that were measured."""
    gram = total[:, pattern][..., pattern].flatten(2).flatten(0, 1)
    gram.diagonal().add_(ROUNDING * gram.diagonal().real.mean())
    factor, failed = torch.linalg.cholesky_ex(gram)
    # Half the work; a matrix that rounding leaves indefinite has no such factor.
    return torch.linalg.inv(gram) if bool(failed) else torch.cholesky_inverse(factor)


def _power(values: Tensor) -> Tensor:
    """Return squared magnitudes, without the roots that a magnitude takes."""
    return values.real.square() + values.imag.square()


def _boxes(values: Tensor, width: int) -> Tensor:
    """Return all boxes of ``(coil, *spatial)``, ``(coil, *place, *box)``."""
    for axis in range(1, values.ndim):
        values = values.unfold(axis, width, 1)
    return values
