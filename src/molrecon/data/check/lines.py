"""Whether lines lie where the trajectory says: near the centre of k-space they tell.

Lines in another order, at other angles, or run through in the other direction differ there from
what their neighbours predict about as much as any two lines do.

What all lines have in common is not seen: positions that are all turned, mirrored, scaled or with
their axes exchanged fit an object that is turned, mirrored, scaled or transposed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from molrecon.data.check.findings import Finding
from molrecon.data.check.line_agreement import Agreement, line_agreement
from molrecon.data.check.registry import evenly
from molrecon.data.non_cartesian_scan import NonCartesianScan

MOST_ITEMS, MOST_FRAMES = 3, 8
"""Slices, and frames, that are looked at, evenly spaced."""
LEAST = 5.0
"""How many times more than by chance lines differ from each other where anything can be told: all
spokes of a disc in the middle are alike."""
DOUBTFUL, CERTAIN = 0.1, 0.5
"""Share of the difference between lines that the others leave unexplained. Of 1191 simulated scans
of heads (32² to 96², radial, golden-angle and spiral, 1.2 to 10×, 1 to 12 coils, noise of 1e-4 to
0.3 of the peak) it was -0.06 to 0.013 with their own trajectories; with lines in random order 0.63
to 1.8, but for one scan in a hundred, of 5 or 6 lines. Other golden angles have 0.7 to 1.2, delays
of half a cycle 0.2 to 0.9. A public radial scan has -0.01, and 0.99 with lines in random order."""
ONE_LEAST, ONE = 20.0, 0.4
"""The same for single lines, of which fewer samples tell: up to 0.11 with their own positions, and
with those of a line across 1.4 in the median (0.26 in one scan of ten, as neighbours are wrong
too)."""
DELAYS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0)
"""Samples by which positions are moved along the lines to see whether they then fit."""


def check_lines(scan: NonCartesianScan) -> Iterator[Finding]:
    """Find lines that lie elsewhere than the trajectory says.

    Parameters
    ----------
    scan
        The scan.
    """
    agreement = agreement_of(scan)
    if agreement is None or not agreement.told(LEAST):
        yield Finding(
            "lines not checked",
            "note",
            "near the centre of k-space too few samples of different lines lie close together"
            if agreement is None
            else "near the centre of k-space lines differ by hardly more than noise",
            "whether the lines lie where the trajectory says was not checked",
            "nothing need be done if it is known to be that of the scan",
        )
        return
    share = agreement.unexplained
    if share > DOUBTFUL:
        yield _unexplained(scan, share)
        return
    apart = agreement.apart(ONE, ONE_LEAST)
    if apart:
        one = len(apart) == 1
        shown = ", ".join(map(str, apart[:5])) + (" and others" if len(apart) > 5 else "")
        yield Finding(
            "lines",
            "warning",
            f"near the centre of k-space the {'line' if one else 'lines'} {shown} "
            f"{'is' if one else 'are'} not what the other lines show",
            f"{'it lies' if one else 'they lie'} elsewhere than the trajectory says, as where its "
            "lines are moved on by one, or the object moved",
            "give the trajectory of the scan, its lines in the order of the samples (trajectory)",
        )


def _unexplained(scan: NonCartesianScan, share: float) -> Finding:
    """Return the finding of lines that disagree, and whether a delay explains it."""
    seen = (
        "near the centre of k-space lines differ from what the other lines show by "
        f"{min(share, 1):.0%} of the difference between any two"
    )
    shares = {by: _share_delayed(scan, by) for size in DELAYS for by in (-size, size)}
    best = min(shares, key=lambda by: shares[by])
    if shares[best] < min(DOUBTFUL, share / 4):
        return Finding(
            "delays",
            "warning",
            f"{seen}, and by {max(shares[best], 0):.0%} where positions are moved by {best:+g} "
            "samples along the lines",
            "the gradients were delayed, or the trajectory is shifted along the readout",
            "correct the trajectory by the delay (trajectory)",
        )
    certain = share > CERTAIN
    return Finding(
        "lines",
        "refused" if certain else "warning",
        seen,
        "lines were measured in another order, at other angles or in another direction than those "
        "of the trajectory, or the object is larger than the field of view"
        if certain
        else "some lines lie elsewhere than the trajectory says, gradients were delayed, or the "
        "object moved or is larger than the field of view",
        "give the trajectory of the scan, its lines in the order of the samples (trajectory), and "
        "its unit (unit)",
    )


def _share_delayed(scan: NonCartesianScan, by: float) -> float:
    agreement = agreement_of(scan, by)
    told = agreement is not None and agreement.told(LEAST)
    return agreement.unexplained if agreement is not None and told else math.inf


def agreement_of(scan: NonCartesianScan, delay: float = 0.0) -> Agreement | None:
    """Return how well the lines of a scan agree near the centre; None if too few are close.

    Parameters
    ----------
    scan
        The scan; the lines of a series are compared frame by frame.
    delay
        Samples by which positions are moved along the lines.
    """
    frames = scan.axes.time
    lines = scan.trajectory.shape[1 if frames else 0 : -2]
    if not lines or scan.trajectory.shape[-2] < 2:
        return None
    kspace = scan.kspace[evenly(len(scan.kspace), MOST_ITEMS)]
    trajectory = _moved(scan.trajectory, delay) if delay else scan.trajectory
    found = []
    for frame in evenly(scan.shape[0], MOST_FRAMES) if frames else [0]:
        y = (kspace[:, :, frame] if frames else kspace).flatten(2, -2)
        places = (trajectory[frame] if frames else trajectory).flatten(0, -3)
        one = line_agreement(y, places)
        if one is not None:
            one.numbers.add_(frame * math.prod(lines))
            found.append(one)
    return Agreement.joined(found) if found else None


def _moved(trajectory: Tensor, by: float) -> Tensor:
    """Return positions moved along their lines by a number of samples, which go on at the ends."""
    samples = trajectory.shape[-2]
    places = torch.arange(samples, dtype=torch.float64) + by
    first = places.floor().long().clamp(0, samples - 2)
    part = (places - first)[:, None]
    return trajectory[..., first, :] * (1 - part) + trajectory[..., first + 1, :] * part
