"""Spikes: samples, and lines, far above all of their neighbours, as sparks or a gain leave them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from molrecon.data.check.findings import Finding
from molrecon.data.scan import Scan

if TYPE_CHECKING:
    from molrecon.data.check.evidence import Evidence

REACH = 3
"""Samples to either side that count as neighbours."""
ABOVE = 8.0
"""A spike is so many times the third largest of its neighbours, which may hold another spike."""
FEWEST = 4
"""Neighbours that must have been measured."""
MOST = 256
"""Candidates that are looked at in a plane."""
LOUD = 25.0
"""A line is too loud with so many times the power of each of the measured lines next to it, up to
`REACH` to either side: away from the centre, signal falls off, and noise is even."""
GRAVE = 1e-3
"""Share of the energy in spikes from which on they spoil the image, 30 dB below the signal."""


def find_spikes(magnitude: Tensor, fourier: int) -> Tensor:
    """Return where samples, or lines of them, stand out of their neighbours, in any coil.

    The peak of k-space at its centre or corner is none, although a uniform object has it alone.

    Parameters
    ----------
    magnitude
        Of k-space, ``(batch, coil, *spatial)``.
    fourier
        Number of Fourier axes, the last ones.

    Returns
    -------
    Tensor
        bool ``(batch, 1, *spatial)``.
    """
    largest = magnitude.amax(1)
    found = torch.zeros_like(largest, dtype=torch.bool)
    planes = largest.reshape(-1, *largest.shape[-2:])
    into = found.reshape(planes.shape)
    depth = largest.shape[1] if largest.ndim == 4 else 1
    for number, plane in enumerate(planes):
        central = fourier == 2 or number % depth in _central(depth)
        for y, x in _of_plane(plane, central):
            into[number, y, x] = True
        into[number] |= _loud_lines(plane) | _loud_lines(plane.mT).mT
    return found.unsqueeze(1)


def _central(n: int) -> set[int]:
    """Indices next to zero frequency, at the centre or in the corner."""
    return {place % n for about in (n // 2, 0) for place in (about - 1, about, about + 1)}


def _loud_lines(plane: Tensor) -> Tensor:
    """Return where rows are too loud; none unless rows are measured alike, as lines are."""
    rows = len(plane)
    measured = plane > 0
    there = measured.any(1).nonzero().flatten()
    none = torch.zeros_like(measured)
    if len(there) <= 2 * REACH or not bool((measured[there] == measured[there[:1]]).all()):
        return none
    # Spikes of single samples are none of the line.
    power = plane[there][:, measured[there[0]]].square().median(1).values
    padded = pad(power, (REACH, REACH))
    windows = padded.unfold(0, 2 * REACH + 1, 1).clone()
    windows[:, REACH] = 0
    centre = torch.minimum((there - rows // 2).abs(), torch.minimum(there, rows - there))
    loud = (power > LOUD * windows.amax(1)) & (centre > max(2, rows // 16))
    none[there[loud]] = True
    return none & measured


def _of_plane(plane: Tensor, central: bool) -> Iterator[tuple[int, int]]:
    power = plane.square()[None]
    width = 2 * REACH + 1
    if min(plane.shape) < width:
        return
    around = avg_pool2d(power, width, 1, REACH, count_include_pad=True)[0] * width**2 - power[0]
    measured = (plane > 0).float()[None]
    count = avg_pool2d(measured, width, 1, REACH, count_include_pad=True)[0] * width**2 - 1
    # A mean of neighbours that holds one more spike is larger by a 48th of it.
    suspects = (plane > 0) & (power[0] * count > 4 * around) & (plane > ABOVE * plane.mean() / 4)
    if not bool(suspects.any()):
        return
    ratio = torch.where(suspects, power[0], 0)
    values, order = ratio.flatten().topk(min(MOST, ratio.numel()))
    rows, columns = plane.shape
    middle = (_central(rows), _central(columns))
    for index in order[values > 0].tolist():
        y, x = divmod(index, columns)
        if central and y in middle[0] and x in middle[1]:
            continue
        near = plane[max(0, y - REACH) : y + REACH + 1, max(0, x - REACH) : x + REACH + 1]
        near = near[near > 0]
        if near.numel() > FEWEST and bool(plane[y, x] > ABOVE * near.topk(4).values[3]):
            yield y, x


def without_spikes(scan: Scan) -> Scan:
    """Return the scan as if its spikes had not been measured.

    Parameters
    ----------
    scan
        The scan.
    """
    spikes = find_spikes(scan.kspace.abs(), scan.axes.fourier)
    number = int(spikes.sum())
    if not number:
        return scan
    notes = (*scan.notes, f"{number} spikes taken out")
    return replace(scan, kspace=scan.kspace * ~spikes, mask=scan.mask & ~spikes, notes=notes)


def check_spikes(evidence: Evidence) -> Iterator[Finding]:
    """Find samples that stand out."""
    spikes, kspace = evidence.spikes, evidence.scan.kspace
    places = spikes[:, 0].nonzero()
    if not len(places):
        return
    total = kspace.abs().square().sum()
    share = float((kspace * spikes).abs().square().sum() / total)
    where = ", ".join(map(str, places[0, 1:].tolist()))
    more = f" and {len(places) - 1} more" if len(places) > 1 else ""
    measured = kspace.abs().amax(1, keepdim=True) > 0
    filled = [(spikes.sum(axis) > measured.sum(axis).clamp_min(8) / 2).any() for axis in (-1, -2)]
    lines = bool(filled[0] | filled[1])
    yield Finding(
        "spikes",
        "refused" if share > GRAVE else "warning",
        f"the sample at ({where}){more} stands far above its neighbours and holds {share:.2%} of "
        "the energy",
        f"{'a line of another gain' if lines else 'a spike'}, which puts stripes over the whole "
        "image",
        "leave spikes out (despike)",
    )
