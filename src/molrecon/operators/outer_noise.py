r"""The noise level of a scan, measured in its outer k-space.

Far from the centre of k-space there is little signal. There, for complex white noise,
``|y|²`` is exponentially distributed with mean ``sigma²``. So ``sigma²`` of a coil is the mean
of the middle half of the sorted ``|y|²`` of the outermost samples, corrected to be unbiased,
and the result is the root of the mean of ``sigma²`` over the coils. A few samples with strong
signal have no effect.

*Outermost* are the measured samples in the corners, beyond 1.1 times the ellipse inscribed in
k-space; or, where masks spare the corners, those of largest radius that give at least 256
values. Samples that are zero in all coils to single precision (zero filling, partial Fourier)
do not count, and the size of k-space is the extent of the rest.

Low-field scanners and vendors filter k-space, so that noise is not white. Signal is nearly
symmetric in k-space: where the noise powers at the two opposite ends of an axis differ, a
filter is the cause, and the corners are no measure of the whole. Then ``sigma²`` is the mean
over that axis, as seen at the ends of the others, of local values of ``sigma²``: the mean
noise power, which is what the background of the image shows. Between powers that differ by a
quarter and by three quarters one value passes into the other, and for several such axes the
one that differs most has the largest share.

The estimate is therefore a continuous function of the k-space, and Lipschitz around every
measured one: no small change of the data makes it jump, as long as the same samples are
nonzero.

Signal that reaches the outermost samples biases the result upward, by 3 % on a real 8-coil
brain scan. Noise filtered alike on both sides cannot be told from signal and is
underestimated, since only the ends of k-space are looked at: by up to 30 % on gradient-echo
scans at 0.055 T, against the background of their images.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from molrecon.errors import InputError

ROUNDING = 1e-6
"""Samples below this fraction of the largest are zero to single precision: not measured."""
SMALLEST_NUMBER = 16
"""Fewer usable samples than this give no estimate."""
WANTED_VALUES = 256
"""Samples times coils an estimate should rest on: its standard error is then 4 %."""
CORNER = 1.1
"""Radius, in half-widths of k-space, beyond which a sample lies in a corner."""
RIM = 0.85
"""Fraction of the half-width of k-space beyond which a sample lies at the end of an axis."""
SIDE = 0.7
"""Fraction of the half-width of k-space beyond which the two sides of an axis are compared."""
WANTED_PER_SIDE = 128
"""Samples by which the noise on one side of an axis is judged, at least."""
WHITE, FILTERED = 1.25, 1.75
"""Ratio of powers at two opposite ends up to which noise counts as white, and as filtered from."""
GROUP = 15
"""Samples in one local mean."""
TRIMMED = 0.25
"""Share of the samples left out at either end: the largest may hold signal."""


def check_mask(kspace: Tensor, mask: Tensor) -> None:
    """Refuse a mask that does not fit k-space ``(batch, coil, *spatial)``."""
    batch, _, *spatial = kspace.shape
    if mask.shape not in ((1, 1, *spatial), (batch, 1, *spatial)):
        raise InputError(
            f"mask has shape {tuple(mask.shape)}, expected {(1, 1, *spatial)} or "
            f"{(batch, 1, *spatial)} to fit the k-space; give the mask of the same scan"
        )


def outer_noise(kspace: Tensor, measured: Tensor, index: int) -> tuple[Tensor, Tensor, Tensor]:
    """Estimate the noise of one ``(coil, *spatial)`` item, in double precision.

    Returns the level of every coil, their root mean square, and how uncertain that is: how much
    the power of the coils still falls towards the end of k-space.
    """
    magnitude = kspace.detach().abs().amax(dim=0)
    usable = measured & (magnitude > ROUNDING * magnitude.max())
    positions = usable.nonzero()
    if positions.shape[0] < SMALLEST_NUMBER:
        raise InputError(
            f"sigma: item {index} of the k-space has {positions.shape[0]} measured samples that "
            f"are not zero, and {SMALLEST_NUMBER} are needed to estimate its noise; give sigma"
        )
    power = kspace[:, usable].to(torch.complex128).abs().square()
    centre = torch.tensor([n // 2 for n in usable.shape], device=positions.device)
    offset = (positions - centre).double()
    coordinates = offset / offset.abs().amax(dim=0).clamp_min(1)

    per_coil = _variance(power[:, _outermost(coordinates, power.shape[0])])
    variance = per_coil.mean()
    filtered = _filtered(power, coordinates)
    degree = filtered.max()
    if bool(degree > 0):
        # The fourth power: nearly all of the weight on the largest, and still continuous.
        shares = filtered**4 / (filtered**4).sum()
        axes = [axis for axis, share in enumerate(shares.tolist()) if share > 0]
        along = [shares[axis] * _mean_along_axis(power, coordinates, axis) for axis in axes]
        variance = torch.lerp(variance, torch.stack(along).sum(), degree.clamp_max(1))
    sigma = variance.sqrt()
    if not bool(torch.isfinite(sigma) & (sigma > 0)):
        raise InputError(
            f"sigma: the estimate for item {index} of the k-space is {sigma.item()}, expected a "
            "positive number; check k-space for NaN and zeros, or give sigma"
        )
    return per_coil.sqrt(), sigma, _doubt(power, coordinates)


def _doubt(power: Tensor, coordinates: Tensor) -> Tensor:
    """Return the relative standard error of the level, from the fall of power along the radius.

    The power of signal falls about with the third power of the radius, to which the level would
    be wholly uncertain; noise is white. Two rings of as many samples are compared.
    """
    radius = coordinates.square().sum(dim=1).sqrt()
    count = len(radius)
    wanted = min(count // 2, max(math.ceil(count / 8), WANTED_VALUES))
    order = radius.argsort(descending=True, stable=True)
    rings = order[:wanted], order[wanted : 2 * wanted]
    outer, inner = (_variance(power[:, ring]).mean() for ring in rings)
    fall = (inner / outer).log().abs()
    steps = (radius[rings[0]].mean() / radius[rings[1]].mean()).log()
    # Each ring's level has the standard error of its number of values.
    chance = 2 / (wanted * power.shape[0])
    return (2 * fall / (3 * steps)).square().add(chance).sqrt()


def _outermost(coordinates: Tensor, coils: int) -> Tensor:
    """Select the corners or, where too few samples lie there, those of largest radius."""
    radius = coordinates.square().sum(dim=1).sqrt()
    wanted = max(math.ceil(WANTED_VALUES / coils), SMALLEST_NUMBER)
    return radius >= min(_largest(radius, wanted), CORNER)


def _filtered(power: Tensor, coordinates: Tensor) -> Tensor:
    """Return for every axis how much noise looks filtered along it: from 0, for white, to 10.

    From 1 on it counts as filtered.
    """
    degrees = power.new_zeros(coordinates.shape[1])
    if coordinates.shape[1] == 1:
        return degrees
    for axis, along in enumerate(coordinates.T):
        if int(min((along > 0).sum(), (along < 0).sum())) < WANTED_PER_SIDE:
            continue
        inner = min(SIDE, *(_largest(side * along, WANTED_PER_SIDE) for side in (-1, 1)))
        ends = [_variance(power[:, side * along >= inner]).mean() for side in (-1, 1)]
        degrees[axis] = (max(ends) / min(ends) - WHITE) / (FILTERED - WHITE)
    return degrees.clamp(0, 10)


def _mean_along_axis(power: Tensor, coordinates: Tensor, axis: int) -> Tensor:
    """Return the mean over ``axis`` and coils of local variances at the ends of the other axes."""
    others = [other for other in range(coordinates.shape[1]) if other != axis]
    reach = coordinates[:, others].abs().amax(dim=1)
    wanted = max(WANTED_VALUES // power.shape[0], 4 * GROUP)
    at_end = reach >= min(_largest(reach, wanted), RIM)
    along, order = coordinates[at_end, axis].sort(stable=True)
    groups = max(along.numel() // GROUP, 2)
    parts = power[:, at_end][:, order].tensor_split(groups, dim=1)
    variances = torch.stack([_variance(part).mean() for part in parts])
    # Sampling is denser at the centre, so groups are weighted by the range they stand for.
    places = torch.stack([part.mean() for part in along.tensor_split(groups)])
    return torch.trapezoid(variances, places) / (places[-1] - places[0])


def _largest(values: Tensor, number: int) -> float:
    """Return the value that ``number`` others reach, or all if there are fewer."""
    return float(values.topk(min(number, values.numel())).values[-1])


def _variance(power: Tensor) -> Tensor:
    """Return, per row, the mean of exponentially distributed values, from their middle half.

    The k-th smallest of n has the expectation ``1/n + 1/(n − 1) + …`` times the mean, with k terms.
    A median would do as well, but hangs on one sample, and so moves more when that one does.
    """
    n = power.shape[1]
    cut = int(TRIMMED * n)
    ranks = torch.arange(n, 0, -1, device=power.device, dtype=power.dtype)
    expected = (1 / ranks).cumsum(0)[cut : n - cut]
    return power.sort(dim=1).values[:, cut : n - cut].mean(1) / expected.mean()
