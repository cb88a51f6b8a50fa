"""The noise level of a scan, measured from its undersampled k-space."""

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
"""Samples times coils an estimate should rest on: its standard error is then 4.5 %."""
CORNER = 1.1
"""Radius, in half-widths of k-space, beyond which a sample lies in a corner."""
RIM = 0.85
"""Fraction of the half-width of k-space beyond which a sample lies at the end of an axis."""
SIDE = 0.7
"""Fraction of the half-width of k-space beyond which the two sides of an axis are compared."""
WANTED_PER_SIDE = 128
"""Samples by which the noise on one side of an axis is judged, at least."""
ASYMMETRY = 1.5
"""Ratio of powers on two opposite sides that neither white noise nor signal usually reaches."""
GROUP = 15
"""Samples in one local median."""


def estimate_sigma(kspace: Tensor, mask: Tensor) -> Tensor:
    r"""Estimate the noise standard deviation of one complex k-space sample, averaged over coils.

    Far from the centre of k-space there is little signal. There, for complex white noise,
    ``|y|²`` is exponentially distributed, with median ``sigma² ln 2``. So ``sigma²`` of a coil is
    the median of ``|y|²`` over the outermost samples, corrected to be unbiased, and the result is
    the root of the mean of ``sigma²`` over the coils. The median leaves a few samples with strong
    signal without effect.

    *Outermost* are the measured samples in the corners, beyond 1.1 times the ellipse inscribed in
    k-space; or, where masks spare the corners, those of largest radius that give at least 256
    values.
    Samples that are zero in all coils to single precision (zero filling, partial Fourier) do not
    count, and the size of k-space is the extent of the rest.

    Low-field scanners and vendors filter k-space, so that noise is not white. Where the noise
    powers at the two opposite ends of an axis differ by more than half (signal is nearly
    symmetric in k-space, so it is not the cause) the corners are no measure of the whole.
    Then ``sigma²`` is the mean over that axis, as seen at the ends of the others, of local medians
    of ``|y|²``: the mean noise power, which is what the background of the image shows.

    Parameters
    ----------
    kspace
        Complex ``(batch, coil, *spatial)``, zero frequency at ``n // 2``; every spatial axis a
        Fourier axis (put the frames of a dynamic scan into the batch).
    mask
        Boolean ``(batch or 1, 1, *spatial)``, true where sampled.

    Returns
    -------
    Tensor
        Real ``(batch,)``, ``sqrt(E|n|²)`` in the units of ``kspace``; real and imaginary part
        each have ``sigma / sqrt(2)``.

    Raises
    ------
    InputError
        If the mask does not fit, fewer than 16 samples of an item are usable, or the estimate is
        not a positive number.

    Notes
    -----
    Signal that reaches the outermost samples biases the result upward, by 3 % on a real 8-coil
    brain scan. Noise filtered alike on both sides cannot be told from signal and is
    underestimated, since only the ends of k-space are looked at: by up to 30 % on gradient-echo
    scans at 0.055 T, against the background of their images.
    """
    batch, _, *spatial = kspace.shape
    if mask.shape not in ((1, 1, *spatial), (batch, 1, *spatial)):
        raise InputError(
            f"mask: found shape {tuple(mask.shape)}, expected {(1, 1, *spatial)} or "
            f"{(batch, 1, *spatial)} to fit the k-space; give the mask of the same scan."
        )
    sampled = mask.to(torch.bool).expand(batch, 1, *spatial)[:, 0]
    return torch.stack(
        [
            _sigma_of_item(item, measured, index)
            for index, (item, measured) in enumerate(zip(kspace.detach(), sampled, strict=True))
        ]
    ).to(kspace.real.dtype)


def estimate_frames_sigma(kspace: Tensor, mask: Tensor) -> Tensor:
    """Estimate the noise of series of frames: the root mean square of `estimate_sigma` over them.

    Frames too sparse to show their noise are left out, unless all are.

    Parameters
    ----------
    kspace
        Complex ``(batch, coil, t, y, x)``, zero frequency at ``n // 2`` of y and x.
    mask
        ``(batch or 1, 1, t, y, x)``, true where sampled.

    Returns
    -------
    Tensor
        Real ``(batch,)``.

    Raises
    ------
    InputError
        As `estimate_sigma`.
    """
    frames = kspace.transpose(1, 2)
    masks = mask.expand(len(kspace), *mask.shape[1:]).transpose(1, 2)
    sigmas = []
    for series, sampled in zip(frames, masks, strict=True):
        measured = (sampled != 0) & (series != 0).any(1, keepdim=True)
        rich = measured.flatten(1).sum(1) >= SMALLEST_NUMBER
        chosen = rich if bool(rich.any()) else torch.ones_like(rich)
        sigma = estimate_sigma(series[chosen], sampled[chosen])
        sigmas.append(sigma.square().mean().sqrt())
    return torch.stack(sigmas)


def _sigma_of_item(kspace: Tensor, measured: Tensor, index: int) -> Tensor:
    """Estimate sigma of one ``(coil, *spatial)`` item, in double precision."""
    magnitude = kspace.abs().amax(dim=0)
    usable = measured & (magnitude > ROUNDING * magnitude.max())
    positions = usable.nonzero()
    if positions.shape[0] < SMALLEST_NUMBER:
        raise InputError(
            f"sigma: item {index} of the k-space has {positions.shape[0]} measured samples that "
            f"are not zero, and {SMALLEST_NUMBER} are needed to estimate its noise; give sigma."
        )
    power = kspace[:, usable].to(torch.complex128).abs().square()
    centre = torch.tensor([n // 2 for n in usable.shape], device=positions.device)
    offset = (positions - centre).double()
    coordinates = offset / offset.abs().amax(dim=0).clamp_min(1)

    filtered = _filtered_axis(power, coordinates)
    if filtered is None:
        variance = _median_variance(power[:, _outermost(coordinates, power.shape[0])])
    else:
        variance = _mean_along_axis(power, coordinates, filtered)
    sigma = variance.mean().sqrt()
    if not (bool(torch.isfinite(sigma)) and float(sigma) > 0):
        raise InputError(
            f"sigma: the estimate for item {index} of the k-space is {float(sigma)}, expected a "
            "positive number; check k-space for NaN and zeros, or give sigma."
        )
    return sigma


def _outermost(coordinates: Tensor, coils: int) -> Tensor:
    """Select the corners or, where too few samples lie there, those of largest radius."""
    radius = coordinates.square().sum(dim=1).sqrt()
    number = min(max(math.ceil(WANTED_VALUES / coils), SMALLEST_NUMBER), radius.numel())
    threshold = radius.topk(number).values[-1]
    return radius >= threshold.clamp_max(CORNER)


def _filtered_axis(power: Tensor, coordinates: Tensor) -> int | None:
    """Return the axis at whose two ends the noise powers differ most, if they differ at all."""
    if coordinates.shape[1] == 1:
        return None
    ratios = []
    for axis in range(coordinates.shape[1]):
        along = coordinates[:, axis]
        if int(min((along > 0).sum(), (along < 0).sum())) < WANTED_PER_SIDE:
            ratios.append(1.0)
            continue
        inner = min(float((side * along).topk(WANTED_PER_SIDE).values[-1]) for side in (-1, 1))
        inner = min(inner, SIDE)
        ends = [power[:, side * along >= inner] for side in (-1, 1)]
        low, high = sorted(float(_median_variance(end).mean()) for end in ends)
        ratios.append(high / low if low > 0 else math.inf)
    largest = max(ratios)
    return ratios.index(largest) if largest > ASYMMETRY else None


def _mean_along_axis(power: Tensor, coordinates: Tensor, axis: int) -> Tensor:
    """Return per coil the mean over ``axis`` of local medians, at the ends of the other axes."""
    others = [other for other in range(coordinates.shape[1]) if other != axis]
    reach = coordinates[:, others].abs().amax(dim=1)
    number = min(max(WANTED_VALUES // power.shape[0], 4 * GROUP), reach.numel())
    at_end = reach >= reach.topk(number).values[-1].clamp_max(RIM)
    along, order = coordinates[at_end, axis].sort(stable=True)
    groups = max(along.numel() // GROUP, 2)
    variances = torch.stack(
        [_median_variance(part) for part in power[:, at_end][:, order].tensor_split(groups, dim=1)],
        dim=1,
    )
    # Sampling is denser at the centre, so groups are weighted by the range they stand for.
    places = torch.stack([part.mean() for part in along.tensor_split(groups)])
    return torch.trapezoid(variances, places, dim=1) / (places[-1] - places[0])


def _median_variance(power: Tensor) -> Tensor:
    """Return, per row, the variance whose exponential distribution has the median observed.

    The lower median of ``n`` values is the order statistic ``(n + 1) // 2``; for an exponential
    distribution its expectation is ``sigma² (1/n + 1/(n - 1) + …)`` with that many terms.
    """
    n = power.shape[1]
    expectation = sum(1.0 / (n - term) for term in range((n + 1) // 2))
    return power.median(dim=1).values / expectation
