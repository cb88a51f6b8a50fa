"""Coils that are dead, and coils with much more noise than the others."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from molrecon.data.check.findings import Finding
from molrecon.data.scan import Scan, sampled
from molrecon.data.whitening import intensity_text, with_mixed_coils
from molrecon.errors import InputError
from molrecon.operators.noise import coil_noise_levels

if TYPE_CHECKING:
    from molrecon.data.check.evidence import Evidence

DEAD = 1e-3
"""Root mean square of a coil over the median of all, below which it measured nothing."""
UNEQUAL, SUSPECT = 4.0, 2.0
"""Noise of a coil over the median of all, from which on coils are made alike; and that of outermost
samples from which on a better estimate is made: signal that reaches them hides half of it or more.
"""
OUTER, SHARE = 1.1, 0.03
"""Radius, in half-widths of k-space, beyond which there is mostly noise: the corners; where fewer
samples than this share lie there, the outermost are taken."""
FEWEST = 64
LOUDER = 1.5
"""Level of noise samples over that of k-space, signal and noise, from which on units differ."""


def dead_coils(kspace: Tensor) -> Tensor:
    """Return which coils of ``(batch, coil, *spatial)`` measured nothing, bool ``(coil,)``."""
    size = torch.linalg.vector_norm(kspace.transpose(0, 1).flatten(1), dim=1)
    # Where most coils are dead their median is.
    alive = size[size > DEAD**2 * size.max()]
    dead: Tensor = size < DEAD * alive.median()
    return dead


def coil_noise(scan: Scan) -> Tensor:
    """Return the noise of every coil relative to their median, ``(coil,)``.

    It is 1 for all where they are not very unequal. The median power of the outermost samples
    raises the suspicion, unless it is only as unequal as the signal of the coils: that of coils
    near the object reaches farther. How unequal they are is measured in the noise subspace of the
    calibration region where there is one, since the signal of the quieter coils reaches the
    outermost samples, too.
    """
    kspace = scan.kspace
    ones = kspace.real.new_ones(kspace.shape[1])
    measured = sampled(kspace)[:, 0]
    shape = kspace.shape[-scan.axes.fourier :]
    grids = torch.meshgrid(*((torch.arange(n) - n // 2) / (n / 2) for n in shape), indexing="ij")
    radius = torch.stack(grids).square().sum(0).sqrt().expand(measured.shape)
    reach = radius[measured]
    wanted = min(reach.numel(), max(FEWEST, int(SHARE * reach.numel())))
    outer = measured & (radius >= min(OUTER, float(reach.topk(wanted).values[-1])))
    if len(ones) < 3 or int(outer.sum()) < FEWEST:
        return ones
    power = kspace.abs().square().transpose(0, 1)
    noise = power[:, outer].median(1).values.sqrt() / math.sqrt(math.log(2))
    signal = power.flatten(1).amax(1).sqrt()
    least = torch.finfo(noise.dtype).tiny
    noise = noise / noise.median().clamp_min(least)
    apart = noise / (signal / signal.median().clamp_min(least)).clamp_min(least)
    suspects = (noise > SUSPECT) & (apart > 2 * apart.median())
    if not bool(suspects.any()) or not bool((noise > 0).all()):
        return ones
    found = _levels(scan)
    if found is not None:
        noise, suspects = found, torch.ones_like(suspects)
    if not bool((suspects & (noise > UNEQUAL)).any()):
        return ones
    # The others are alike as far as is known, and dividing them would change the intensity.
    return noise.where(noise > SUSPECT, 1)


def _levels(scan: Scan) -> Tensor | None:
    """Return the noise of the coils relative to their median, by the calibration region."""
    middle = len(scan.kspace) // 2
    item, measured = scan.kspace[middle], sampled(scan.kspace[middle : middle + 1])[0, 0]
    if scan.axes.time:
        item, measured = item[:, 0], measured[0]
    try:
        levels = coil_noise_levels(item, measured)
    except InputError:
        return None
    return None if levels is None else (levels / levels.median()).to(item.real.dtype)


def without_dead_coils(scan: Scan) -> Scan:
    """Return the scan without the coils that measured nothing.

    Parameters
    ----------
    scan
        The scan.
    """
    dead = dead_coils(scan.kspace)
    if not bool(dead.any()):
        return scan
    chosen = torch.eye(len(dead), dtype=torch.complex64, device=dead.device)[~dead]
    notes = (*scan.notes, f"{int(dead.sum())} of {len(dead)} coils left out, which are dead")
    return replace(with_mixed_coils(scan, chosen), notes=notes)


def with_equal_noise(scan: Scan) -> Scan:
    """Return the scan with its coils divided by their noise, where that is very unequal.

    Coil maps are divided alike, so that they stay those of the scan. A scan with noise samples is
    left as it is: its noise is known better.

    Parameters
    ----------
    scan
        The scan.
    """
    noise = scan.kspace.real.new_ones(1) if scan.noise is not None else coil_noise(scan)
    if bool((noise == 1).all()):
        return scan
    matrix = torch.diag(1 / noise + 0j)
    said = f"coils divided by their noise, which is very unequal; {intensity_text(scan, matrix)}"
    return replace(with_mixed_coils(scan, matrix), notes=(*scan.notes, said))


def check_coils(evidence: Evidence) -> Iterator[Finding]:
    """Find dead and noisy coils."""
    scan = evidence.scan
    dead = dead_coils(scan.kspace).nonzero().flatten().tolist()
    if dead:
        yield Finding(
            "dead coils",
            "warning",
            f"the coils {', '.join(map(str, dead))} measured nothing",
            "they are dead, or were switched off, and the image is darker where they lay",
            "they are left out",
            mended=True,
        )
        scan = without_dead_coils(scan)
    if scan.noise is not None:
        yield from _noise_samples(scan, scan.noise)
        return
    noise = coil_noise(scan)
    loud = (noise > UNEQUAL).nonzero().flatten().tolist()
    if loud:
        yield Finding(
            "coil noise",
            "warning",
            f"the noise of the coils {', '.join(map(str, loud))} is {float(noise.max()):.0f} times "
            "that of the others",
            "a loose coil, or channels that were scaled by themselves",
            "every coil is divided by its noise; a noise scan would tell it better",
            mended=True,
        )


def _noise_samples(scan: Scan, noise: Tensor) -> Iterator[Finding]:
    """Find noise samples that hold signal, or are in other units than k-space."""
    power = noise.abs().square()
    mean = power.mean(1, keepdim=True)
    highest = float((power / mean.where(mean > 0, 1)).max())
    if highest > 4 * math.log(max(FEWEST, power.numel())):
        yield Finding(
            "noise samples",
            "refused",
            f"the highest noise sample has {highest:.0f} times the power of the others",
            "they hold signal or spikes, and coils whitened by them would be mixed up",
            "give noise that was measured without excitation, or leave it out of the file",
        )
    # Signal adds to noise, so that the median power of samples is no less than that of noise alone.
    measured = sampled(scan.kspace).expand_as(scan.kspace).transpose(0, 1)
    powers = scan.kspace.abs().square().transpose(0, 1)
    least = torch.stack([one[where].median() for one, where in zip(powers, measured, strict=True)])
    ratio = (mean[:, 0] * math.log(2) / least.where(least > 0, 1)).median().sqrt()
    if float(ratio) > LOUDER:
        yield Finding(
            "noise samples",
            "refused" if float(ratio) > 4 * LOUDER else "warning",
            f"the noise samples are {float(ratio):.1f} times as strong as most of k-space",
            "they are in other units than k-space, or of another bandwidth or gain",
            "scale them to k-space, or leave them out of the file",
        )
