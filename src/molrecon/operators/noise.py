"""The noise level of a scan, measured from its k-space, and how well it is known.

Linear relations between neighbouring samples of all coils suppress signal; what they leave of the
samples at several distances from the centre (`null_space_noise`) is noise, and signal where it
leaks. The outer k-space as it is (`outer_noise`) is one level more. Signal makes each of them too
large and none too small, so the smallest that is well known counts, with those that agree with it.
The level is known as well as these are and agree, and where only one counts it is not known well.

The estimate is a continuous function of k-space, and Lipschitz around every measured one: no small
change of the data makes it jump, as long as the same samples are nonzero. Which samples are looked
at depends on the mask alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from molrecon.operators.checks import check_tensor
from molrecon.operators.null_space_noise import (
    RingNoise,
    calibration_cube,
    least_powers,
    ring_noise,
)
from molrecon.operators.outer_noise import ROUNDING, SMALLEST_NUMBER, check_mask, outer_noise

UNCERTAIN = 0.3
"""Relative standard error from which on a noise level counts as uncertain."""
AGREE = 0.15
"""Relative difference from the smallest level, beyond its error by chance, at which one counts a
factor e less."""
SPREAD = 3.0
"""Error per standard deviation of the levels that count: they differ by signal, and all by it."""
ALONE = 0.35
"""Error where one level alone counts."""
STEEPEST = 0.4
"""Slope from which on the error that it means grows in proportion."""
EQUAL = 0.3
"""Standard deviation of the logarithms of the powers of coils up to which the coils are taken for
equal, and twice as much from which on they have these powers."""
STEPS = 4
"""Steps in which very unequal coils are scaled to equal noise."""
OUTER_CHANCE = 0.05
"""Error of the level of the outer k-space by the number of its samples."""
GIVEN, NOISE_SCAN = "given", "noise scan"
"""Sources of noise levels that are not measured in the scan itself."""
MOST_FRAMES = 8
"""Frames of a series that are looked at, where each has a calibration region."""


@dataclass(frozen=True, eq=False)
class NoiseEstimate:
    """The noise of a scan as it was measured.

    Attributes
    ----------
    sigma
        Standard deviation ``sqrt(E|n|²)`` of the noise of one complex k-space sample, averaged over
        coils, real ``(batch,)``.
    uncertainty
        Relative standard error of it, ``(batch,)``.
    source
        What it was measured in, in words.

    Examples
    --------
    >>> found = NoiseEstimate(torch.tensor([0.1]), torch.tensor([0.05]), "outer k-space")
    >>> found.facts()["source"]
    'outer k-space'
    """

    sigma: Tensor
    uncertainty: Tensor
    source: str

    @property
    def estimated(self) -> bool:
        """Whether it was measured in the scan itself."""
        return self.source not in (GIVEN, NOISE_SCAN)

    @property
    def doubt(self) -> str:
        """The largest uncertainty in words, as in ± 13%; empty where there is none."""
        return doubt_text(float(self.uncertainty.max()))

    def facts(self) -> dict[str, Any]:
        """Return the level and its uncertainty, the largest of a batch, as plain values."""
        return {
            "sigma": float(self.sigma.max()),
            "uncertainty": float(self.uncertainty.max()),
            "source": self.source,
        }


def doubt_text(uncertainty: float) -> str:
    """Say how uncertain a noise level is, by its relative standard error.

    From 100 % on the level may be zero, and only how large it may be is known.

    Examples
    --------
    >>> doubt_text(0.13), doubt_text(10.08), doubt_text(0)
    ('± 13%', 'or up to 11.1 times that', '')
    """
    if uncertainty >= 1:
        return f"or up to {1 + uncertainty:.3g} times that"
    return f"± {uncertainty:.0%}" if uncertainty > 0 else ""


def estimate_sigma(kspace: Tensor, mask: Tensor) -> Tensor:
    """Estimate the noise standard deviation of one complex k-space sample, averaged over coils.

    The level of `estimate_noise`, without what is known about it. It is a continuous function of
    the k-space, and differentiable almost everywhere.

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

    Examples
    --------
    >>> import torch
    >>> from molrecon import estimate_sigma
    >>> noise = torch.randn(1, 4, 64, 64, dtype=torch.complex64, generator=torch.manual_seed(0))
    >>> sigma = estimate_sigma(0.5 * noise, torch.ones(1, 1, 64, 64, dtype=torch.bool))
    >>> print(f"{sigma.item():.1f}")
    0.5
    """
    return estimate_noise(kspace, mask).sigma


def estimate_noise(kspace: Tensor, mask: Tensor) -> NoiseEstimate:
    """Estimate the noise level of a scan and its uncertainty.

    Parameters
    ----------
    kspace
        Complex ``(batch, coil, *spatial)``, zero frequency at ``n // 2``; every spatial axis a
        Fourier axis.
    mask
        Boolean ``(batch or 1, 1, *spatial)``, true where sampled.

    Raises
    ------
    InputError
        As `estimate_sigma`.

    Examples
    --------
    >>> noise = torch.randn(1, 4, 64, 64, dtype=torch.complex64, generator=torch.manual_seed(0))
    >>> found = estimate_noise(noise, torch.ones(1, 1, 64, 64, dtype=torch.bool))
    >>> found.source, bool(found.uncertainty < 0.1)
    ('linear relations of samples', True)
    """
    check_tensor("kspace", kspace)
    check_tensor("mask", mask)
    batch, _, *spatial = kspace.shape
    check_mask(kspace, mask)
    sampled = mask.to(torch.bool).expand(batch, 1, *spatial)[:, 0]
    found = [
        _noise_of_item(item, measured, index)
        for index, (item, measured) in enumerate(zip(kspace, sampled, strict=True))
    ]
    kind = kspace.real.dtype
    return NoiseEstimate(
        torch.stack([sigma for sigma, _, _ in found]).to(kind),
        torch.stack([uncertainty.detach() for _, uncertainty, _ in found]).to(kind),
        ", ".join(dict.fromkeys(source for _, _, source in found)),
    )


def estimate_frames_noise(kspace: Tensor, mask: Tensor) -> NoiseEstimate:
    """Estimate the noise of series of frames: the root mean square of `estimate_sigma` over them.

    Frames too sparse to show their noise are left out, unless all are; of many frames with a
    calibration region eight are looked at. K-space is complex ``(batch, coil, t, y, x)``, zero
    frequency at ``n // 2`` of y and x, its mask ``(batch or 1, 1, t, y, x)``.
    """
    frames = kspace.transpose(1, 2)
    masks = mask.expand(len(kspace), *mask.shape[1:]).transpose(1, 2)
    found = []
    for series, sampled in zip(frames, masks, strict=True):
        measured = (sampled != 0) & (series != 0).any(1, keepdim=True)
        rich = measured.flatten(1).sum(1) >= SMALLEST_NUMBER
        chosen = (rich if bool(rich.any()) else torch.ones_like(rich)).nonzero().flatten()
        if calibration_cube(sampled.to(torch.bool).all(0)[0]) is not None:
            places = torch.linspace(0, len(chosen) - 1, min(MOST_FRAMES, len(chosen)))
            chosen = chosen[places.round().long().to(chosen.device)]
        found.append(estimate_noise(series[chosen], sampled[chosen]))
    return NoiseEstimate(
        torch.stack([one.sigma.square().mean().sqrt() for one in found]),
        torch.stack([one.uncertainty.mean() for one in found]),
        ", ".join(dict.fromkeys(one.source for one in found)),
    )


def coil_noise_levels(kspace: Tensor, mask: Tensor) -> Tensor | None:
    """Return the noise of every coil relative to the root mean square of all, double ``(coil,)``.

    It is what linear relations leave of the coils, free of signal; None where these cannot be
    learned, or where signal leaks. K-space is ``(coil, *spatial)``, no coil of zeros alone, its
    mask ``(*spatial)``.
    """
    measured = mask.to(torch.bool)
    levels, _, doubt = outer_noise(kspace, measured, 0)
    uncertainty = doubt
    # Very unequal coils are scaled alike by what is known of them, step by step.
    for _ in range(STEPS):
        scaled = kspace.to(torch.complex128) / levels.reshape(-1, *[1] * measured.ndim)
        rings = ring_noise(scaled, measured)
        if rings is None:
            return None
        _, uncertainty, weights = _combined(rings, torch.ones_like(doubt), doubt)
        levels = levels * least_powers(rings, weights, AGREE).sqrt()
    if bool(uncertainty > UNCERTAIN):
        return None
    return levels / levels.square().mean().sqrt()


def _noise_of_item(kspace: Tensor, measured: Tensor, index: int) -> tuple[Tensor, Tensor, str]:
    """Estimate the noise of one ``(coil, *spatial)`` item, in double precision."""
    levels, outer, doubt = outer_noise(kspace, measured, index)
    alive = levels.detach() > ROUNDING * levels.detach().max()
    # Noise is that of the coils that have any; the root mean square is over all coils.
    share = alive.double().mean()
    # In units of the noise: powers of higher order overflow in extreme units.
    unit = outer.detach()
    samples = kspace[alive].to(torch.complex128) / unit
    found = _by_relations(samples, measured, outer / unit / share.sqrt(), doubt)
    if found is None:
        return outer, doubt, "outer k-space"
    level, uncertainty, powers = found
    sigma = unit * level.exp() * (share * powers.mean()).sqrt()
    return sigma, uncertainty, "linear relations of samples"


def _by_relations(
    kspace: Tensor, measured: Tensor, outer: Tensor, doubt: Tensor
) -> tuple[Tensor, Tensor, Tensor] | None:
    """Return the logarithm of a level, its uncertainty, and the power of every coil in units of it.

    None where no relations can be learned.
    """
    rings = ring_noise(kspace, measured)
    if rings is None:
        return None
    level, uncertainty, weights = _combined(rings, outer, doubt)
    powers = least_powers(rings, weights, AGREE)
    # Small differences are those of chance and of signal that leaks.
    believed = ((powers.log().std(correction=0) - EQUAL) / EQUAL).clamp(0, 1)
    scale = powers**believed / (powers**believed).mean()
    if bool(believed > 0):
        # Relations rest on quiet coils, and show the noise of others where these are scaled alike.
        again = ring_noise(kspace / scale.sqrt().reshape(-1, *[1] * measured.ndim), measured)
        assert again is not None
        rings = again
        level, uncertainty, weights = _combined(rings, outer, doubt)
        powers = least_powers(rings, weights, AGREE) ** believed
        # The level is a mean over coils by their share in what is left.
        shares = (weights[:, None] * rings.mixing.sum(1)).sum(0)
        scale = scale * powers * shares.sum() / (shares * powers).sum()
    return level, uncertainty, scale


def _leaking(slope: Tensor) -> Tensor:
    """Return the error of the logarithm of a level whose slope is `RingNoise.slope`.

    The power of signal that leaks falls with the number of places that relations are learned from,
    in proportion or faster. In proportion, its share in the power of a level is twice the slope.
    """
    slope = slope.clamp_min(0)
    small = slope.clamp_max(STEEPEST)
    return -(1 - 2 * small).log() / 2 + (slope - small) / (1 - 2 * STEEPEST)


def _combined(rings: RingNoise, outer: Tensor, doubt: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the logarithm of the level, its uncertainty, and how far every ring counts."""
    logs = torch.cat([rings.variance.sqrt(), outer[None]]).log()
    chance = torch.cat([rings.chance, torch.full_like(outer, OUTER_CHANCE)[None]])
    leak = torch.cat([rings.leak.square().add(_leaking(rings.slope).square()).sqrt(), doubt[None]])
    # Signal makes a level too large: the smallest is nearest to the noise, however much leaks.
    excess = (logs - (logs + chance).min()).clamp_min(0)
    weights = (-(excess / AGREE).square()).exp() / (chance.square() + leak.square())
    total = weights.sum()
    level = (weights * logs).sum() / total
    spread = (weights * (logs - level).square()).sum() / total
    alone = (2 - total.square() / weights.square().sum()).clamp(0, 1)
    # Signal that relations do not know leaks into all rings alike: its error is no smaller in a
    # mean of them, while that of the slopes is.
    leaking = _leaking((weights[:-1] * rings.slope).sum() / total)
    uncertainty = (1 / total + SPREAD**2 * spread + (ALONE * alone).square()).add(leaking.square())
    uncertainty = uncertainty.sqrt()
    return level, uncertainty, weights[:-1]
