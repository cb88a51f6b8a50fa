"""Whether lines lie where the trajectory says: near the centre of k-space they tell.

Lines in another order, at other angles, or run through in the other direction differ there from
what their neighbours predict about as much as any two lines do.

What all lines have in common is not seen: positions that are all turned, mirrored, scaled or with
their axes exchanged fit an object that is turned, mirrored, scaled or transposed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from molrecon.data.check.findings import Finding
from molrecon.data.check.line_agreement import Agreement, CloseLines, empty_lines
from molrecon.data.check.peaks import delay_of_peaks
from molrecon.data.check.registry import evenly
from molrecon.data.check.wrong_lines import without_few
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
AGREED = DOUBTFUL / 3
"""Share up to which few wrong lines, or a delay, explain why lines disagree: what is left is then
hardly more than in right scans."""
DELAYS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0)
"""Samples by which positions are moved along the lines to see whether they then fit."""
FINER = (0.5, 0.25, 0.125)
"""Samples by which a delay is then changed, one after the other, to see whether they fit better."""


def check_lines(scan: NonCartesianScan) -> Iterator[Finding]:
    """Find lines that lie elsewhere than the trajectory says, and lines without any sample.

    Parameters
    ----------
    scan
        The scan.
    """
    yield from _empty(scan)
    agreement = agreement_of(scan)
    if agreement is None or not agreement.told(LEAST):
        # Of lines that agree the peaks are not asked: a phase of the object moves these, too.
        delay = _delay_of_peaks(scan)
        if delay is not None:
            yield _delayed(
                f"the peaks of the lines lie {abs(delay):.2g} samples "
                f"{'behind' if delay > 0 else 'before'} the centre of the trajectory, whichever "
                "way the lines run"
            )
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
    if agreement.unexplained > DOUBTFUL:
        yield _unexplained(scan, agreement.unexplained)
        return
    apart = agreement.apart(ONE, ONE_LEAST)
    if apart:
        yield _wrong(apart)


def _empty(scan: NonCartesianScan) -> Iterator[Finding]:
    if scan.trajectory.ndim < 3:
        return
    found = empty_lines(scan.kspace.flatten(2, -2)).nonzero().flatten().tolist()
    if found:
        one = len(found) == 1
        yield Finding(
            "empty lines",
            "warning",
            f"{_named(found)} {'holds' if one else 'hold'} zeros alone",
            "nothing was measured or stored there, but the zeros count as measured values",
            f"leave {'it' if one else 'them'} out of the samples and of the trajectory "
            "(trajectory)",
        )


def _named(lines: list[int]) -> str:
    shown = ", ".join(map(str, lines[:5])) + (" and others" if len(lines) > 5 else "")
    return f"the {'line' if len(lines) == 1 else 'lines'} {shown}"


def _wrong(lines: list[int]) -> Finding:
    """Return the finding of single lines that the others contradict."""
    one = len(lines) == 1
    return Finding(
        "lines",
        "warning",
        f"near the centre of k-space {_named(lines)} {'is' if one else 'are'} not what the other "
        "lines show",
        f"{'it lies' if one else 'they lie'} elsewhere than the trajectory says, as where its "
        "lines are moved on by one, or the object moved",
        "give the trajectory of the scan, its lines in the order of the samples (trajectory)",
    )


def _delayed(seen: str) -> Finding:
    return Finding(
        "delays",
        "warning",
        seen,
        "the gradients were delayed, or the trajectory is shifted along the readout",
        "correct the trajectory by the delay (trajectory)",
    )


def _unexplained(scan: NonCartesianScan, share: float) -> Finding:
    """Return the finding of lines that disagree, and whether few lines or a delay explain it."""
    seen = (
        "near the centre of k-space lines differ from what the other lines show by "
        f"{min(share, 1):.0%} of the difference between any two"
    )
    few = _few(scan)
    by, moved = _best_delay(scan)
    if moved < min(AGREED, share / 4) and (few is None or moved < few[0]):
        return _delayed(
            f"{seen}, and by {max(moved, 0):.0%} where positions are moved by {by:+.3g} "
            "samples along the lines"
        )
    if few is not None:
        return _wrong(few[1])
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


def _few(scan: NonCartesianScan) -> tuple[float, list[int]] | None:
    """Return the lines without which all others agree, and what these leave unexplained."""
    rest, wrong = [], []
    for close in _close_lines(scan):
        one = without_few(close, AGREED, DOUBTFUL, LEAST)
        if one is None:
            return None
        rest.append(one.rest)
        wrong += one.wrong
    return (Agreement.joined(rest).unexplained, wrong) if wrong else None


def _best_delay(scan: NonCartesianScan) -> tuple[float, float]:
    """Return the samples by which lines are moved to agree best, and what is left unexplained."""
    delay = _delay_of_peaks(scan)
    tried = [sign * size for size in DELAYS for sign in (-1, 1)]
    shares = {by: _share_delayed(scan, by) for by in (*tried, *([] if delay is None else [-delay]))}
    # Positions of spirals may agree again farther along; the smallest delay is the likeliest.
    fitting = [by for by in shares if shares[by] < AGREED]
    best = min(fitting, key=abs) if fitting else min(shares, key=lambda by: shares[by])
    for step in FINER:
        near = (best, best - step, best + step)
        shares |= {by: _share_delayed(scan, by) for by in near if by not in shares}
        best = min(near, key=lambda by: shares[by])
    return best, shares[best]


def _delay_of_peaks(scan: NonCartesianScan) -> float | None:
    if scan.trajectory.ndim < 3:
        return None
    power = scan.kspace.abs().double().square().sum((0, 1)).flatten(0, -2)
    return delay_of_peaks(power, scan.trajectory.flatten(0, -3))


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
    found = [close.agreement() for close in _close_lines(scan, delay)]
    told = [one for one in found if one is not None]
    return Agreement.joined(told) if told else None


def _close_lines(scan: NonCartesianScan, delay: float = 0.0) -> Iterator[CloseLines]:
    """Yield what was measured near the centre, frame by frame."""
    frames = scan.axes.time
    lines = scan.trajectory.shape[1 if frames else 0 : -2]
    if not lines or scan.trajectory.shape[-2] < 2:
        return
    kspace = scan.kspace[evenly(len(scan.kspace), MOST_ITEMS)]
    trajectory = _moved(scan.trajectory, delay) if delay else scan.trajectory
    for frame in evenly(scan.shape[0], MOST_FRAMES) if frames else [0]:
        y = (kspace[:, :, frame] if frames else kspace).flatten(2, -2)
        places = (trajectory[frame] if frames else trajectory).flatten(0, -3)
        one = CloseLines.of(y, places)
        if one is not None:
            yield replace(one, numbers=one.numbers + frame * math.prod(lines))


def _moved(trajectory: Tensor, by: float) -> Tensor:
    """Return positions moved along their lines by a number of samples, which go on at the ends."""
    samples = trajectory.shape[-2]
    places = torch.arange(samples, dtype=torch.float64) + by
    first = places.floor().long().clamp(0, samples - 2)
    part = (places - first)[:, None]
    return trajectory[..., first, :] * (1 - part) + trajectory[..., first + 1, :] * part
